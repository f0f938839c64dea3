// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/address"
	"github.com/containerd/ttrpc/internal/leak"
	"github.com/containerd/ttrpc/internal/wire"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// listen listens, and has serve serve until the test ends.
func listen(t *testing.T, serve func(net.Listener)) func(context.Context) (net.Conn, error) {
	t.Helper()
	dir, err := os.MkdirTemp("", "p")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); serve(l) }()
	t.Cleanup(func() { l.Close(); <-done; os.RemoveAll(dir) })
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
}

// each has serve serve each connection, and closes what is left when the listener closes.
func each(serve func(net.Conn)) func(net.Listener) {
	return func(l net.Listener) {
		var all sync.WaitGroup
		var conns []net.Conn
		for {
			conn, err := l.Accept()
			if err != nil {
				break
			}
			conns = append(conns, conn)
			all.Go(func() { serve(conn); conn.Close() })
		}
		for _, conn := range conns {
			conn.Close()
		}
		all.Wait()
	}
}

// ours serves with this library, by way of wrap.
func ours(t *testing.T, wrap func(net.Conn) net.Conn, opts ...ttrpc.ServerOpt) func(net.Listener) {
	return func(l net.Listener) {
		server, err := ttrpc.NewServer(opts...)
		if err != nil {
			t.Error(err)
			return
		}
		server.Serve(context.Background(), &wrapped{l, wrap})
		server.Close()
	}
}

type wrapped struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (w wrapped) Accept() (net.Conn, error) {
	conn, err := w.Listener.Accept()
	if err != nil || w.wrap == nil {
		return conn, err
	}
	return w.wrap(conn), nil
}

// old is a peer that answers each request with a status, as releases were seen to do, and a
// frame of id 0 with another one or not at all.
func old(code codes.Code, text string, zero bool, falling codes.Code) func(net.Listener) {
	return each(func(conn net.Conn) {
		last := uint32(0)
		for {
			header := make([]byte, wire.HeaderLength)
			if _, err := io.ReadFull(conn, header); err != nil {
				return
			}
			h, _ := wire.ParseHeader(header)
			io.CopyN(io.Discard, conn, int64(h.Length))
			st := &spb.Status{Code: int32(code), Message: text}
			switch {
			case h.StreamID == 0 && !zero:
				continue
			case h.StreamID == 0:
				st = &spb.Status{Code: int32(codes.InvalidArgument)}
			case h.StreamID < last:
				st.Code = int32(falling)
			}
			last = h.StreamID
			b, _ := proto.Marshal(st)
			conn.Write(wire.AppendFrame(nil, h.StreamID, wire.TypeResponse, 0, wire.AppendResponseFront(nil, b, 0)))
		}
	})
}

func TestKinds(t *testing.T) {
	const none = codes.Unimplemented
	for name, test := range map[string]struct {
		serve    func(net.Listener)
		kind     Kind
		extended bool
	}{
		"extended":  {ours(t, nil, ttrpc.WithServerExtensions()), ThisLibrary, true},
		"required":  {ours(t, nil, ttrpc.WithExtensionsRequired()), ThisLibrary, true},
		"classic":   {ours(t, nil), ThisLibrary, false},
		"v1.2":      {old(none, "service "+nobody, true, codes.InvalidArgument), Version12, false},
		"v1.1":      {old(none, "service "+nobody, false, none), Version11, false},
		"v1.0":      {old(codes.NotFound, "service "+nobody, false, codes.NotFound), Version10, false},
		"rust":      {old(codes.InvalidArgument, "/"+nobody+"/"+method+" does not exist", false, codes.InvalidArgument), Rust, false},
		"any error": {old(codes.Internal, "out of order", false, codes.Internal), Other, false},
		"answers":   {old(codes.OK, "", false, codes.OK), Other, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told := 0
			p := &Probe{Dial: listen(t, test.serve), Count: 2, Patience: time.Minute, Answered: func(n int, _ time.Duration) { told = n }}
			peer, err := p.Run(context.Background())
			if err != nil {
				t.Fatalf("B171: %v", err)
			}
			if peer.Kind != test.kind || peer.Extended != test.extended || len(peer.Trips) != 2 || told != 2 {
				t.Errorf("B171: %+v, told of %d; want %v, %v", peer, told, test.kind, test.extended)
			}
		})
	}
}

// TestOnce is of an address that can be dialled once.
func TestOnce(t *testing.T) {
	dial, dials := listen(t, ours(t, nil)), 0
	p := &Probe{Count: 1, Patience: time.Minute, Dial: func(ctx context.Context) (net.Conn, error) {
		if dials++; dials > 1 {
			return nil, errors.New("no more")
		}
		return dial(ctx)
	}}
	if peer, err := p.Run(context.Background()); err != nil || peer.Kind != Version1x {
		t.Errorf("B171: %+v, %v", peer, err)
	}
}

// TestNotTTRPC asks servers of other protocols, which are real ones.
func TestNotTTRPC(t *testing.T) {
	for name, test := range map[string]struct {
		serve func(net.Listener)
		want  *NotTTRPC
	}{
		"grpc": {func(l net.Listener) { grpc.NewServer().Serve(l) }, isGRPC},
		"grpc that waits": {each(func(conn net.Conn) { // for the client to speak first
			hello := make([]byte, 24)
			if _, err := io.ReadFull(conn, hello); err == nil && strings.HasPrefix(string(hello), "PRI") {
				conn.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0})
			}
		}), isGRPC},
		"http": {func(l net.Listener) { http.Serve(l, nil) }, isHTTP},
		"tls": {func(l net.Listener) {
			each(func(conn net.Conn) { tls.Server(conn, new(tls.Config)).Handshake() })(l)
		}, isTLS},
		"nri": {ours(t, address.NRIRuntime), isNRI},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Some wait for more than a call.
			p := &Probe{Dial: listen(t, test.serve), Trunk: address.NRIRuntime, Count: 1, Patience: 300 * time.Millisecond}
			peer, err := p.Run(context.Background())
			var other *NotTTRPC
			if !errors.As(err, &other) || other != test.want {
				t.Errorf("B171: %+v, %v; want %v", peer, err, test.want)
			}
		})
	}
}

func TestNoAnswer(t *testing.T) {
	refuse := ttrpc.WithServerHandshaker(refusing{})
	for name, test := range map[string]struct {
		serve func(net.Listener)
		want  error
	}{
		"closes":  {each(func(net.Conn) {}), ttrpc.ErrClosed},
		"hangs":   {each(func(conn net.Conn) { io.Copy(io.Discard, conn) }), context.DeadlineExceeded},
		"refuses": {ours(t, nil, ttrpc.WithServerExtensions(), refuse), ttrpc.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &Probe{Dial: listen(t, test.serve), Count: 1, Patience: 50 * time.Millisecond}
			if test.want == ttrpc.ErrClosed {
				p.Patience = time.Minute
			}
			if peer, err := p.Run(context.Background()); !errors.Is(err, test.want) {
				t.Errorf("B171: %+v, %v; want %v", peer, err, test.want)
			}
		})
	}
	p := &Probe{Dial: func(context.Context) (net.Conn, error) { return nil, io.ErrUnexpectedEOF }}
	if _, err := p.Run(context.Background()); !errors.Is(err, ErrConnect) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("B171: nobody to dial: %v", err)
	}
}

// refusing takes nobody.
type refusing struct{}

func (refusing) Handshake(context.Context, net.Conn) (net.Conn, any, error) {
	return nil, nil, errors.New("go away")
}
