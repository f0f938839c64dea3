// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/ttrpc/internal/memconn"
)

// options are one of each option, a ClientOpts or a ServerOpt, as a program may give it.
func options() map[string]any {
	services, _ := NewServer()
	trace := new(Trace)
	return map[string]any{
		"WithOnClose":                      WithOnClose(func() {}),
		"WithUnaryClientInterceptor":       WithUnaryClientInterceptor(nil),
		"WithChainUnaryClientInterceptor":  WithChainUnaryClientInterceptor(),
		"WithChainStreamClientInterceptor": WithChainStreamClientInterceptor(),
		"WithClientHandshaker":             WithClientHandshaker(silentHandshaker{}),
		"WithClientTimeouts":               WithClientTimeouts(Timeouts{Call: time.Second}),
		"WithClientLimits":                 WithClientLimits(Limits{MessageSize: 1}),
		"WithClientLogger":                 WithClientLogger(new(errorLogger)),
		"WithClientTrace":                  WithClientTrace(trace),
		"WithVTProto":                      WithVTProto(),
		"WithStatusErrors":                 WithStatusErrors(),
		"WithDialer":                       WithDialer(Dialer{FailFast: true}),
		"WithExtensions":                   WithExtensions(),
		"WithClientServices":               WithClientServices(services),
		"WithKeepalive":                    WithKeepalive(Keepalive{Interval: time.Second}),
		"WithServerHandshaker":             WithServerHandshaker(silentHandshaker{}),
		"WithUnaryServerInterceptor":       WithUnaryServerInterceptor(nil),
		"WithChainUnaryServerInterceptor":  WithChainUnaryServerInterceptor(),
		"WithChainStreamServerInterceptor": WithChainStreamServerInterceptor(),
		"WithUnknownServiceHandler":        WithUnknownServiceHandler(func(context.Context, *UnknownCall, StreamServer) (any, error) { return nil, nil }),
		"WithServerTimeouts":               WithServerTimeouts(Timeouts{Call: time.Second}),
		"WithServerLimits":                 WithServerLimits(Limits{Handlers: 1}),
		"WithServerLogger":                 WithServerLogger(new(errorLogger)),
		"WithServerTrace":                  WithServerTrace(trace),
		"WithServerVTProto":                WithServerVTProto(),
		"WithRecoverPanics":                WithRecoverPanics(),
		"WithGoroutinePerCall":             WithGoroutinePerCall(),
		"WithServerExtensions":             WithServerExtensions(),
		"WithExtensionsRequired":           WithExtensionsRequired(),
		"WithServerKeepalive":              WithServerKeepalive(Keepalive{MinInterval: time.Second}),
		"WithPeerClientOptions":            WithPeerClientOptions(),
		"WithConnectionHook":               WithConnectionHook(func(context.Context) {}),
	}
}

// optionRow is a row of the table: NewClient, Dial, NewServer, the peer's client, the mode.
type optionRow [5]string

// documentedOptions returns the table of the package's documentation.
func documentedOptions(t *testing.T) map[string]optionRow {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]optionRow)
	for _, line := range strings.Split(file.Doc.Text(), "\n") {
		if words := strings.Fields(line); strings.HasPrefix(line, "\tWith") && len(words) > 5 {
			rows[words[0]] = optionRow{words[1], words[2], words[3], words[4], strings.Join(words[5:], " ")}
		}
	}
	return rows
}

// declaredOptions returns the functions of the package that return an option.
func declaredOptions(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || f.Type.Results == nil {
				continue
			}
			if result, ok := f.Type.Results.List[0].Type.(*ast.Ident); ok && (result.Name == "ClientOpts" || result.Name == "ServerOpt") {
				names = append(names, f.Name.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// TestOptionTable holds that the table in the package's documentation has all options, and
// that each of its cells is what happens.
func TestOptionTable(t *testing.T) {
	rows, all := documentedOptions(t), options()
	declared := declaredOptions(t)
	if names := slices.Sorted(maps.Keys(rows)); !slices.Equal(names, declared) {
		t.Errorf("the table has %q\nwant %q", names, declared)
	}
	if names := slices.Sorted(maps.Keys(all)); !slices.Equal(names, declared) {
		t.Fatalf("the test has %q\nwant %q", names, declared)
	}
	for name, opt := range all {
		row := rows[name]
		if row[3] == "Call" { // this field of the option only
			row[3] = "yes"
		}
		if row[4] != "asks for it" {
			row[4] = "no"
		}
		synctest.Test(t, func(t *testing.T) {
			if got := tryOption(opt); got != row {
				t.Errorf("%s: the table says %q, and it is %q", name, row, got)
			}
		})
	}
}

// tryOption gives an option to all that take one.
func tryOption(opt any) optionRow {
	row := optionRow{"-", "-", "-", "-", "no"}
	says := func(err error) string {
		if err != nil {
			return "no"
		}
		return "yes"
	}
	asks := false
	switch opt := opt.(type) {
	case ClientOpts:
		row[0] = says(tryNewClient(opt))
		c, err := Dial("target", WithDialer(Dialer{Dial: nowhere}), opt)
		if row[1] = says(err); err == nil {
			asks = c.config.extends != nil
			c.Close()
		}
		_, err = NewServer(WithPeerClientOptions(opt))
		row[3] = says(err)
	case ServerOpt:
		s, err := NewServer(opt)
		row[2] = says(err)
		asks = err == nil && s.config.extends != nil
	}
	if asks {
		row[4] = "asks for it"
	}
	return row
}

// nowhere is a dialer that fails.
func nowhere(context.Context, string) (net.Conn, error) { return nil, errors.New("nowhere") }

// tryNewClient returns the panic of NewClient as an error.
func tryNewClient(opts ...ClientOpts) (err error) {
	a, b := memconn.Pipe(0)
	defer b.Close()
	defer a.Close()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%v", v)
		}
	}()
	NewClient(a, opts...).Close()
	return nil
}

// TestMisplacedOptions holds what is said of options where they do not apply.
func TestMisplacedOptions(t *testing.T) {
	shake := WithClientHandshaker(silentHandshaker{})
	const twice = "ttrpc: only one handshaker allowed per client"
	if err := tryNewClient(shake, shake); err == nil || err.Error() != twice {
		t.Errorf("NewClient with two handshakers: %v", err)
	}
	if _, err := Dial("tcp:localhost:1", shake, shake); err == nil || err.Error() != twice {
		t.Errorf("Dial with two handshakers: %v", err)
	}
	for name, opts := range map[string][]ClientOpts{
		"ttrpc: WithClientTimeouts with Handshake was given to WithPeerClientOptions: the connection is the server's": {
			WithClientTimeouts(Timeouts{Handshake: 1, Call: 1}),
		},
		"ttrpc: WithClientLimits was given to WithPeerClientOptions: the connection is the server's": {
			WithOnClose(func() {}), WithClientLimits(Limits{Queue: StreamQueue{Window: 1}}),
		},
	} {
		if _, err := NewServer(WithPeerClientOptions(opts...)); err == nil || err.Error() != name {
			t.Errorf("NewServer: %v\nwant %s", err, name)
		}
	}
}

// TestNilOptions holds that an option which is nil is told of, by its place.
func TestNilOptions(t *testing.T) {
	const want = "ttrpc: option 2 is nil"
	if _, err := NewServer(WithServerVTProto(), nil); err == nil || err.Error() != want {
		t.Errorf("NewServer: %v", err)
	}
	if _, err := NewServer(WithPeerClientOptions(WithOnClose(func() {}), nil)); err == nil || err.Error() != want {
		t.Errorf("WithPeerClientOptions: %v", err)
	}
	if _, err := Dial("unix:/nowhere", WithExtensions(), nil); err == nil || err.Error() != want {
		t.Errorf("Dial: %v", err)
	}
	defer func() {
		if err, ok := recover().(error); !ok || err.Error() != want {
			t.Errorf("NewClient: %v", err)
		}
	}()
	a, _ := memconn.Pipe(0)
	NewClient(a, WithVTProto(), nil)
}

// TestZeroServer holds that a Server that NewServer has not made is closed.
func TestZeroServer(t *testing.T) {
	s := new(Server)
	s.Register("test", nil)
	a, b := memconn.Pipe(0)
	if err := s.ServeConn(context.Background(), b); err != ErrServerClosed {
		t.Errorf("ServeConn: %v", err)
	}
	if _, err := a.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the conn is left open: %v", err)
	}
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(context.Background(), l); err != ErrServerClosed {
		t.Errorf("Serve: %v", err)
	}
	for range 2 {
		if err := errors.Join(s.Shutdown(context.Background()), s.Close()); err != nil {
			t.Errorf("Shutdown and Close: %v", err)
		}
	}
	if snaps := s.Snapshot(); len(snaps) != 0 {
		t.Errorf("Snapshot: %v", snaps)
	}
}

// TestMethodAndStream holds that a name which is both is the method's, as with releases.
func TestMethodAndStream(t *testing.T) {
	s, err := NewServer()
	if err != nil {
		t.Fatal(err)
	}
	s.RegisterService("test", &ServiceDesc{
		Methods: map[string]Method{"Echo": func(context.Context, func(any) error) (any, error) { return nil, nil }},
		Streams: map[string]Stream{"Echo": {Handler: echoStream}},
	})
	if m, stream, err := s.dispatcher.services.find([]byte("test"), []byte("Echo")); m == nil || stream != nil || err != nil {
		t.Errorf("B28: the name is that of %v, %v, %v", m, stream, err)
	}
}

// TestImpossibleOptions holds that values that cannot be panic, on both sides alike.
func TestImpossibleOptions(t *testing.T) {
	limits := func(l Limits) [2]func() {
		return [2]func(){func() { WithClientLimits(l) }, func() { WithServerLimits(l) }}
	}
	timeouts := func(v Timeouts) [2]func() {
		return [2]func(){func() { WithClientTimeouts(v) }, func() { WithServerTimeouts(v) }}
	}
	keepalive := func(k Keepalive) [2]func() {
		return [2]func(){func() { WithKeepalive(k) }, func() { WithServerKeepalive(k) }}
	}
	dialer := func(b Backoff) [2]func() {
		return [2]func(){func() { WithDialer(Dialer{Backoff: b}) }}
	}
	for want, makes := range map[string][2]func(){
		"ttrpc: Limits.MessageSize is negative: -1":                                            limits(Limits{MessageSize: -1}),
		"ttrpc: Limits.MessageSize is over 1073741824: 1073741825":                             limits(Limits{MessageSize: 1<<30 + 1}),
		"ttrpc: Limits.Handlers is negative: -2":                                               limits(Limits{Handlers: -2}),
		"ttrpc: Limits.Connections is negative: -3":                                            limits(Limits{Connections: -3}),
		"ttrpc: Limits.Files is negative: -4":                                                  limits(Limits{Files: -4}),
		"ttrpc: StreamQueue.Messages is negative: -1":                                          limits(Limits{Queue: StreamQueue{Messages: -1}}),
		"ttrpc: StreamQueue.Bytes is negative: -1":                                             limits(Limits{Queue: StreamQueue{Bytes: -1}}),
		"ttrpc: StreamQueue.Patience is negative: -1s":                                         limits(Limits{Queue: StreamQueue{Patience: -time.Second}}),
		"ttrpc: StreamQueue.ConnectionBytes is negative: -1":                                   limits(Limits{Queue: StreamQueue{ConnectionBytes: -1}}),
		"ttrpc: StreamQueue.ConnectionBytes is below 5120: 1":                                  limits(Limits{Queue: StreamQueue{ConnectionBytes: 1}}),
		"ttrpc: StreamQueue.ConnectionBytes is below 5120: 5119":                               limits(Limits{Queue: StreamQueue{ConnectionBytes: 5119}}),
		"ttrpc: StreamQueue.Window is negative: -1":                                            limits(Limits{Queue: StreamQueue{Window: -1}}),
		"ttrpc: Timeouts.Handshake is negative: -1s":                                           timeouts(Timeouts{Handshake: -time.Second}),
		"ttrpc: Timeouts.Call is negative: -1s":                                                timeouts(Timeouts{Call: -time.Second}),
		"ttrpc: Keepalive.Interval is negative: -1s":                                           keepalive(Keepalive{Interval: -time.Second}),
		"ttrpc: Keepalive.Timeout is negative: -1s":                                            keepalive(Keepalive{Interval: 1, Timeout: -time.Second}),
		"ttrpc: Keepalive.MinInterval is negative: -1s":                                        keepalive(Keepalive{MinInterval: -time.Second}),
		"ttrpc: Keepalive has a Timeout without an Interval":                                   keepalive(Keepalive{Timeout: 1, MinInterval: 1}),
		"ttrpc: Keepalive has neither an Interval nor a MinInterval":                           keepalive(Keepalive{}),
		"ttrpc: Keepalive.Interval is below 10ms: 9ms":                                         keepalive(Keepalive{Interval: 9 * time.Millisecond}),
		"ttrpc: Keepalive.Timeout is below 10ms: 1ns":                                          keepalive(Keepalive{Interval: time.Second, Timeout: 1}),
		"ttrpc: Backoff.Min is negative: -1s":                                                  dialer(Backoff{Min: -time.Second}),
		"ttrpc: Backoff.Max is negative: -1s":                                                  dialer(Backoff{Max: -time.Second}),
		"ttrpc: Backoff.Max is less than Backoff.Min: 1s, 2s":                                  dialer(Backoff{Min: 2 * time.Second, Max: time.Second}),
		"ttrpc: the logger is nil":                                                             {func() { WithClientLogger(nil) }, func() { WithServerLogger(nil) }},
		"ttrpc: the trace is nil":                                                              {func() { WithClientTrace(nil) }, func() { WithServerTrace(nil) }},
		"ttrpc: an interceptor is nil":                                                         {func() { WithChainStreamClientInterceptor(nil) }, func() { WithChainStreamServerInterceptor(nil) }},
		"ttrpc: the server of the client's services is nil":                                    {func() { WithClientServices(nil) }},
		"ttrpc: the server of the client's services was not made by NewServer":                 {func() { WithClientServices(new(Server)) }},
		"ttrpc: the hook of connections is nil":                                                {func() { WithConnectionHook(nil) }},
		"ttrpc: the handler of unknown services is nil":                                        {func() { WithUnknownServiceHandler(nil) }},
		"ttrpc: Limits.Handlers and Limits.Connections are those of a server, not of a client": {func() { WithClientLimits(Limits{Handlers: 1}) }, func() { WithClientLimits(Limits{Connections: 1}) }},
	} {
		for _, option := range makes {
			if option == nil {
				continue
			}
			func() {
				defer func() {
					if v := recover(); v != want {
						t.Errorf("the panic is %v\nwant %s", v, want)
					}
				}()
				option()
			}()
		}
	}
}

// TestOptionsGivenTwice holds that of structs the fields that are not zero count.
func TestOptionsGivenTwice(t *testing.T) {
	s, err := NewServer(
		WithServerLimits(Limits{1, StreamQueue{1, 2, 3, 5120, 6000}, 6, 7, 8}), WithServerLimits(Limits{}),
		WithServerLimits(Limits{MessageSize: 10, Queue: StreamQueue{Bytes: 20}}),
		WithServerTimeouts(Timeouts{1, 2}), WithServerTimeouts(Timeouts{Call: 3}),
		WithServerKeepalive(Keepalive{MinInterval: 5}), WithServerKeepalive(Keepalive{Interval: time.Minute}))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.config.limits, (Limits{10, StreamQueue{1, 20, 3, 5120, 5120}, 6, 7, 8}); got != want {
		t.Errorf("limits %+v, want %+v", got, want)
	}
	if got, want := s.config.timeouts, (Timeouts{1, 3}); got != want {
		t.Errorf("timeouts %+v, want %+v", got, want)
	}
	if got, want := s.config.extensions().keepalive, (Keepalive{time.Minute, defaultPingTimeout, 5}); got != want {
		t.Errorf("keep-alive %+v, want %+v", got, want)
	}
	hooked := 0
	c := &Client{config: newClientConfig()}
	for _, d := range []Dialer{
		{Dial: nowhere, Events: func(ConnectionEvent) { hooked++ }},
		{Backoff: Backoff{1, 2}, FailFast: true},
		{Backoff: Backoff{Max: 3}},
	} {
		WithDialer(d)(c)
	}
	d := c.config.dialer.(*Dialer)
	if d.Events(ConnectionEvent{}); hooked != 1 || d.Dial == nil || !d.FailFast || d.Backoff != (Backoff{1, 3}) {
		t.Errorf("dialer %+v", d)
	}
}
