// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// The schemes of addresses that need no registration. "@name" is short for
// "unix-abstract:name".
const (
	schemeUnix     = "unix"
	schemeAbstract = "unix-abstract"
	schemeTCP      = "tcp"
	schemeVsock    = "vsock"
	schemeHvsock   = "hvsock"

	schemePipe = "npipe" // not built in, but \\server\pipe\name is short for it
)

// builtIn lists them. It is no variable, so that programs that never dial do not have it.
func builtIn() []string {
	return []string{schemeUnix, schemeAbstract, schemeTCP, schemeVsock, schemeHvsock}
}

// registry holds the schemes of RegisterScheme.
var registry struct {
	mu      sync.Mutex
	schemes map[string]schemeDialer
}

type schemeDialer = func(ctx context.Context, rest string) (net.Conn, error)

// RegisterScheme has [Dial] and [DialAddress] understand addresses that begin with scheme
// and a colon: dial is called with what stands after the colon. It is for the whole
// program and may be called at any time. It panics if the name is not of lower-case
// letters, digits, "+", "-" and "." after a first letter, if it is built in or registered
// already, or if dial is nil.
func RegisterScheme(scheme string, dial func(ctx context.Context, rest string) (net.Conn, error)) {
	switch {
	case !isScheme(scheme):
		panic(fmt.Errorf("ttrpc: %q cannot be a scheme", scheme))
	case dial == nil:
		panic(fmt.Errorf("ttrpc: the dialer of scheme %q is nil", scheme))
	}
	registry.mu.Lock()
	defer registry.mu.Unlock()
	if registry.schemes[scheme] != nil || slices.Contains(builtIn(), scheme) {
		panic(fmt.Errorf("ttrpc: scheme %q is registered already", scheme))
	}
	if registry.schemes == nil {
		registry.schemes = make(map[string]schemeDialer)
	}
	registry.schemes[scheme] = dial
}

func isScheme(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	return s != "" && strings.Contains(letters, s[:1]) && strings.Trim(s, letters+"0123456789+-.") == ""
}

// registered returns the dialer of a registered scheme, or nil.
func registered(scheme string) schemeDialer {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	return registry.schemes[scheme]
}

// DialAddress makes one connection to an address. These are understood:
//
//	unix:path                    a unix socket; also unix:///absolute/path, or the path
//	                             alone if it has a slash
//	unix-abstract:name, @name    one without a file, on Linux; also unix:@name
//	tcp:host:port                also tcp://host:port
//	vsock:cid:port               a socket between a virtual machine and its host, on
//	                             Linux; also vsock://cid:port. The cid may be host,
//	                             local or any, too
//	hvsock:path:port             the unix socket of Firecracker or Cloud Hypervisor, which
//	                             leads to a port in their machine; also hvsock:///path:port
//
// and the schemes of [RegisterScheme]. \\server\pipe\name, a pipe of Windows, is for the scheme
// npipe, if that is registered. "ttrpc+" may stand before each of them, as containerd's shims
// write it. All else is an error that lists them.
func DialAddress(ctx context.Context, address string) (net.Conn, error) {
	a, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	return a.dial(ctx)
}

// ListenAddress listens on an address that [DialAddress] understands. The host of tcp and
// the cid of vsock may be left out, which stands for any. The port 0 stands for a free
// one. hvsock and registered schemes cannot be listened on.
func ListenAddress(ctx context.Context, address string) (net.Listener, error) {
	a, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	switch a.scheme {
	case schemeUnix, schemeTCP:
		return new(net.ListenConfig).Listen(ctx, a.scheme, a.rest)
	case schemeVsock:
		return listenVsock(a.vsock)
	}
	return nil, a.wrong("nobody can listen on %s:", a.scheme)
}

// ParseAddress tells what an address means to [DialAddress], and what is wrong with it, without
// dialling. Of a unix socket the scheme is "unix" and rest its path, or its name with an @ before
// it. Of tcp rest is "host:port", of vsock "cid:port", of hvsock "path:port". What a registered
// scheme makes of rest shows when it is dialled.
func ParseAddress(address string) (scheme, rest string, err error) {
	a, err := parseAddress(address)
	switch {
	case err != nil:
		return "", "", err
	case a.scheme == schemeVsock:
		return a.scheme, a.vsock.String(), nil
	case a.scheme == schemeHvsock:
		return a.scheme, fmt.Sprintf("%s:%d", a.rest, a.vsock.Port), nil
	}
	return a.scheme, a.rest, nil
}

// targetDialer returns the dialer for a target of Dial.
func targetDialer(target string) (func(context.Context, string) (net.Conn, error), error) {
	a, err := parseAddress(target)
	if err != nil {
		return nil, err
	}
	switch {
	case a.scheme == schemeVsock && a.vsock.CID == anyCID:
		return nil, a.wrong("there is no cid")
	case a.scheme == schemeTCP && strings.HasSuffix(a.rest, ":0"):
		return nil, a.wrong("nobody can be reached at port 0")
	}
	return func(ctx context.Context, _ string) (net.Conn, error) { return a.dial(ctx) }, nil
}

// An address is one that was understood.
type address struct {
	text   string // as it was given
	scheme string
	rest   string       // a path, a name with its @, or host and port; of hvsock the path
	vsock  VsockAddr    // of vsock, and the port of hvsock
	other  schemeDialer // of a registered scheme, else nil
}

func (a *address) dial(ctx context.Context) (net.Conn, error) {
	switch a.scheme {
	case schemeUnix, schemeTCP:
		return new(net.Dialer).DialContext(ctx, a.scheme, a.rest)
	case schemeVsock:
		if a.vsock.CID == anyCID {
			return nil, a.wrong("there is no cid")
		}
		return dialVsock(ctx, a.vsock)
	case schemeHvsock:
		return dialHvsock(ctx, a.rest, a.vsock.Port)
	}
	return a.other(ctx, a.rest)
}

// wrong says what is wrong with the address.
func (a *address) wrong(format string, args ...any) error {
	return fmt.Errorf("ttrpc: address %q: %w", a.text, fmt.Errorf(format, args...))
}

func parseAddress(text string) (*address, error) {
	a := &address{text: text}
	plain := strings.TrimPrefix(text, "ttrpc+")
	scheme, rest, ok := strings.Cut(plain, ":")
	switch {
	case strings.HasPrefix(plain, "@"):
		scheme, rest, ok = schemeAbstract, plain[1:], true
	case strings.HasPrefix(plain, `\\`):
		scheme, rest, ok = schemePipe, plain, true
	case strings.Contains(scheme, "/") && scheme != "":
		scheme, rest, ok = schemeUnix, plain, true
	}
	a.scheme, a.rest = scheme, rest
	var err error
	switch {
	case !ok:
		err = a.unknownScheme("there is no scheme")
	case scheme == schemeUnix:
		err = a.parsePath()
	case scheme == schemeAbstract:
		a.scheme, a.rest = schemeUnix, "@"+rest
		err = checkAbstract(rest)
	case scheme == schemeTCP:
		a.rest = strings.TrimPrefix(rest, "//")
		err = checkHostPort(a.rest)
	case scheme == schemeVsock:
		err = a.parseVsock()
	case scheme == schemeHvsock:
		if err = a.cutPort(); err == nil {
			err = a.parsePath()
		}
	default:
		if a.other = registered(scheme); a.other == nil {
			err = a.unknownScheme(fmt.Sprintf("unknown scheme %q", scheme))
		}
	}
	if err != nil {
		return nil, a.wrong("%w", err)
	}
	return a, nil
}

// unknownScheme returns an error that lists those that are known, and says which one may be
// meant.
func (a *address) unknownScheme(what string) error {
	registry.mu.Lock()
	others := slices.Sorted(maps.Keys(registry.schemes))
	registry.mu.Unlock()
	known := strings.Join(append(builtIn(), others...), ":, ")
	meant := ""
	switch {
	case checkHostPort(a.text) == nil:
		meant = "; is tcp:" + a.text + " meant?"
	case a.text != "" && !strings.Contains(a.text, ":"):
		meant = "; is ./" + a.text + " meant, a unix socket?"
	}
	return fmt.Errorf("%s: an address begins with %s: or @%s", what, known, meant)
}

// parsePath takes the slashes of a URL off rest, and checks that it can be a socket's path.
func (a *address) parsePath() error {
	path, isURL := strings.CutPrefix(a.rest, "//")
	a.rest = path
	most := maxUnixPath() - 1 // a zero byte follows
	switch {
	case path == "":
		return errors.New("there is no path")
	case isURL && !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "@"):
		return fmt.Errorf("the path after %s:// is not absolute", a.scheme)
	case strings.HasPrefix(path, "@"): // for a path that begins with @ there is ./@
		return checkAbstract(path[1:])
	case strings.Contains(path, "\x00"):
		return errors.New("there is a zero byte in the path")
	case len(path) > most:
		return fmt.Errorf("the path has %d bytes, and %d are the most of a unix socket's", len(path), most)
	}
	return nil
}

func checkAbstract(name string) error {
	most := maxUnixPath() - 1 // a zero byte is before it
	switch {
	case runtime.GOOS != "linux":
		return errors.New("there are abstract sockets on Linux only")
	case name == "":
		return errors.New("there is no name")
	case len(name) > most:
		return fmt.Errorf("the name has %d bytes, and %d are the most of an abstract socket's", len(name), most)
	}
	return nil
}

// maxUnixPath is how many bytes the kernel's address of a unix socket has.
func maxUnixPath() int {
	switch runtime.GOOS {
	case "darwin", "ios", "dragonfly", "freebsd", "netbsd", "openbsd":
		return 104
	}
	return 108
}

func checkHostPort(s string) error {
	_, port, err := net.SplitHostPort(s)
	switch {
	case err != nil:
		return err
	case port == "":
		return errors.New("there is no port")
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("%q is no port", port)
	}
	return nil
}

func (a *address) parseVsock() error {
	a.rest = strings.TrimPrefix(a.rest, "//")
	if err := a.cutPort(); err != nil {
		return err
	}
	switch a.rest {
	case "", "any":
		a.vsock.CID = anyCID
		return nil
	case "local":
		a.vsock.CID = 1
		return nil
	case "host":
		a.vsock.CID = 2
		return nil
	}
	cid, err := strconv.ParseUint(a.rest, 10, 32)
	if err != nil || cid == anyCID {
		return fmt.Errorf("%q is no cid", a.rest)
	}
	a.vsock.CID = uint32(cid)
	return nil
}

// cutPort takes the port of a vsock off the end of rest.
func (a *address) cutPort() error {
	i := strings.LastIndexByte(a.rest, ':')
	if i < 0 {
		return errors.New("there is no port")
	}
	port, err := strconv.ParseUint(a.rest[i+1:], 10, 32)
	if err != nil || port == anyPort {
		return fmt.Errorf("%q is no port", a.rest[i+1:])
	}
	a.rest, a.vsock.Port = a.rest[:i], uint32(port)
	return nil
}
