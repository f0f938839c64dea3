// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package address understands the addresses that the command takes: those of
// [ttrpc.DialAddress], and these, which it registers there.
//
//	shim:[namespace/]id   the shim of one of containerd's containers
//	containerd:[path]     containerd's own ttrpc socket
//	nri:[path]            NRI's socket, whose connections are a trunk of others
//	npipe:path            a named pipe, on Windows
//	fd:n                  a socket that the process was started with
package address

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/containerd/ttrpc"
)

// The schemes that are registered here.
const (
	schemeShim       = "shim"
	schemeContainerd = "containerd"
	schemeNRI        = "nri"
	schemePipe       = "npipe"
	schemeFD         = "fd"
)

// Forms are the forms of addresses, for help.
const Forms = `An ADDRESS is one of

  unix:PATH, or a path with a slash     a unix socket
  @NAME                                 an abstract one, on Linux
  tcp://HOST:PORT
  vsock://CID:PORT                      CID is a number, host, local or any
  hvsock://PATH:PORT                    a port behind the socket of Firecracker or Cloud Hypervisor
  npipe:PATH, \\.\pipe\NAME             a named pipe, on Windows
  fd:N                                  a socket that the program was started with
  shim:[NAMESPACE/]ID                   the shim of one of containerd's containers
  containerd:[PATH]                     containerd's own ttrpc socket
  nri:[PATH]                            NRI's socket

each with "ttrpc+" before it, or without.`

// An Address is one that was understood.
type Address struct {
	Text      string // as it was given
	Path      string // of the unix socket that it names, or ""
	NRI       bool   // whether NRI's trunk is spoken there
	Namespace string // containerd's, of a shim

	scheme, rest string // what to dial
}

// register has ttrpc know the schemes of this package.
var register = sync.OnceFunc(func() {
	for _, scheme := range []string{schemeShim, schemeContainerd, schemeNRI, schemePipe, schemeFD} {
		ttrpc.RegisterScheme(scheme, func(ctx context.Context, rest string) (net.Conn, error) {
			a, err := parse(scheme, rest)
			if err != nil {
				return nil, err
			}
			return a.dial(ctx)
		})
	}
})

// Parse understands an address. What has to be looked up, a shim's, is looked up here.
func Parse(text string) (*Address, error) {
	register()
	scheme, rest, err := ttrpc.ParseAddress(text)
	if err != nil {
		return nil, err
	}
	a, err := parse(scheme, rest)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", text, err)
	}
	a.Text = text
	return a, nil
}

func parse(scheme, rest string) (*Address, error) {
	a := &Address{scheme: scheme, rest: rest}
	var err error
	switch scheme {
	case "unix":
		if strings.HasPrefix(rest, "//") { // which would begin a URL
			a.rest = "/" + strings.TrimLeft(rest, "/")
		}
		if !strings.HasPrefix(rest, "@") {
			a.Path = a.rest
		}
	case schemeShim:
		return findShim(rest)
	case schemeContainerd:
		a.Path, err = socketPath(rest, containerdSockets())
	case schemeNRI:
		a.NRI = true
		a.Path, err = socketPath(rest, []string{defaultNRI})
	case schemePipe:
		a.rest, err = pipePath(rest)
	case schemeFD:
		_, err = fdNumber(rest)
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// socketPath returns the path that is given, or the first of the usual ones that is there, or
// the first one.
func socketPath(given string, usual []string) (string, error) {
	if given = strings.TrimPrefix(given, "//"); given != "" {
		if !strings.Contains(given, "/") {
			return "", fmt.Errorf("%q is no path: it has no slash", given)
		}
		return given, nil
	}
	for _, path := range usual {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return usual[0], nil
}

// String returns the address as it was given, and the socket's path if it does not tell that.
func (a *Address) String() string {
	if a.Text == "" {
		return a.Target()
	}
	if a.Path == "" || strings.Contains(a.Text, a.Path) {
		return a.Text
	}
	return fmt.Sprintf("%s (%s)", a.Text, a.Path)
}

// Target returns what the address leads to, as an address that is short of nothing: a unix
// socket by its path, for example, if a shim's or containerd's is meant.
func (a *Address) Target() string {
	if a.Path != "" && !a.NRI {
		return "unix:" + a.Path
	}
	return a.scheme + ":" + cmp.Or(a.Path, a.rest)
}

// Dial makes one connection to it. On NRI's trunk it is that of the runtime's service, which is
// the one that answers calls there. A file descriptor can be dialled once.
func (a *Address) Dial(ctx context.Context) (net.Conn, error) {
	return a.dial(ctx)
}

func (a *Address) dial(ctx context.Context) (net.Conn, error) {
	switch a.scheme {
	case schemePipe:
		return dialPipe(ctx, a.rest)
	case schemeFD:
		return fdConn(a.rest)
	case schemeNRI:
		trunk, err := new(net.Dialer).DialContext(ctx, "unix", a.Path)
		if err != nil {
			return nil, err
		}
		return NRIRuntime(trunk), nil
	case schemeContainerd:
		return new(net.Dialer).DialContext(ctx, "unix", a.Path)
	}
	return ttrpc.DialAddress(ctx, a.scheme+":"+a.rest)
}

// Listen listens on it. A shim, containerd and NRI listen themselves.
func (a *Address) Listen(ctx context.Context) (net.Listener, error) {
	switch a.scheme {
	case schemePipe:
		return listenPipe(a.rest)
	case schemeFD:
		return fdListener(a.rest)
	case schemeContainerd, schemeNRI:
		return nil, fmt.Errorf("nobody can listen on %s: give the socket's path", a.Text)
	}
	return ttrpc.ListenAddress(ctx, a.scheme+":"+a.rest)
}

// isOther tells whether there is something at a path that is no socket.
func isOther(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&fs.ModeSocket == 0
}

// Hint says what to try when an address could not be dialled or listened on; empty if nothing
// comes to mind.
func (a *Address) Hint(err error) string {
	op := new(net.OpError)
	switch {
	case errors.Is(err, fs.ErrNotExist) && errors.As(err, &op) && op.Op == "listen":
		return "The directory of that path is not there."
	case errors.Is(err, fs.ErrNotExist):
		return `No socket has that path. "ttrpc ps" shows what listens.`
	case errors.Is(err, fs.ErrPermission):
		return "The socket is another user's: try it as that one, or as root."
	case a.Path != "" && isOther(a.Path):
		return "What has that path is no socket."
	case errors.Is(err, syscall.EPROTOTYPE):
		return "It is a socket of another kind, for datagrams perhaps, so no ttrpc server's."
	case errors.Is(err, syscall.EADDRINUSE) && a.Path != "":
		return "Another process listens there, or one has left the socket behind: then remove it."
	case errors.Is(err, syscall.ECONNREFUSED) && a.Path != "":
		return `Nobody listens on that socket any more. "ttrpc ps" shows what listens.`
	case errors.Is(err, syscall.ECONNREFUSED):
		return "Nobody listens there."
	case errors.Is(err, context.DeadlineExceeded):
		return "--connect-timeout sets how long to try."
	}
	return ""
}
