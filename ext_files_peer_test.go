// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && linux

package ttrpc

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// socketOption is a handshaker that sets an option of the conn, as whoever made it may have.
type socketOption struct{ option, value int }

func (o socketOption) Handshake(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	var setErr error
	err = raw.Control(func(fd uintptr) { setErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, o.option, o.value) })
	return conn, nil, errors.Join(err, setErr)
}

// refuseRights has the conn's kernel socket refuse files, behind the library's back.
func refuseRights(t *testing.T, nc net.Conn, value int) {
	t.Helper()
	if !knowsPassRights(t) {
		t.Skip("the kernel cannot refuse files")
	}
	if _, _, err := (socketOption{soPassRights, value}).Handshake(t.Context(), nc); err != nil {
		t.Fatal(err)
	}
}

// newLimitedPair is newFilePair where the ends ask for so many files.
func newLimitedPair(t *testing.T, server, client int, opts ...ServerOpt) *extendedPair {
	t.Helper()
	p := newExtendedPair(t, append(opts, WithServerLimits(Limits{Files: server})), WithClientLimits(Limits{Files: client}))
	p.server.RegisterService("files", fileService())
	p.services.RegisterService("files", fileService())
	if is, err := p.client.Extended(t.Context()); !is || err != nil {
		t.Fatal(err)
	}
	return p
}

// withFiles is a context with n files.
func withFiles(t *testing.T, n int) (context.Context, *CallFiles) {
	t.Helper()
	ctx, files := WithFiles(t.Context())
	if err := files.Attach(slices.Repeat([]*os.File{os.Stdin}, n)...); err != nil {
		t.Fatal(err)
	}
	return ctx, files
}

// callWithFiles makes a call with n files.
func callWithFiles(t *testing.T, c *Client, method string, n int) error {
	t.Helper()
	ctx, _ := withFiles(t, n)
	return c.Call(ctx, "files", method, wrapperspb.String(""), new(wrapperspb.StringValue))
}

// TestFilesAtTheEnd holds that a connection that ended before the peer could agree is not
// taken for one whose peer has declined.
func TestFilesAtTheEnd(t *testing.T) {
	for name, end := range map[string]func(*Client, net.Conn){
		"the peer is gone": func(_ *Client, far net.Conn) { far.Close() },
		"closed":           func(c *Client, _ net.Conn) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			near, far := unixPair(t)
			c := NewClient(near, WithExtensions(), WithClientLimits(Limits{Files: 1}))
			defer c.Close()
			end(c, far)
			<-c.config.over
			if err := callWithFiles(t, c, "Ignore", 1); !errors.Is(err, ErrClosed) || errors.Is(err, ErrNoFiles) {
				t.Errorf("B90: a call: %v", err)
			}
			ctx, _ := withFiles(t, 1)
			if _, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true}, "files", "Ignore", nil); !errors.Is(err, ErrClosed) || errors.Is(err, ErrNoFiles) {
				t.Errorf("B90: a stream: %v", err)
			}
		})
	}
}

// TestFilesAreAskedFor holds that both ends must ask, and who does not is told why there are
// none.
func TestFilesAreAskedFor(t *testing.T) {
	for _, test := range []struct {
		server, client int
		opts           []ServerOpt
		why            string // to the client; empty if files pass
	}{
		{1, 1, nil, ""},
		{1, 0, nil, "this side has not asked"},
		{0, 1, nil, "the peer takes none"},
		{0, 0, nil, "this side has not asked"},
		{1, 1, []ServerOpt{WithServerHandshaker(socketOption{soPassRights, 0})}, "the peer takes none"},
	} {
		if test.opts != nil && !knowsPassRights(t) {
			continue
		}
		p := newLimitedPair(t, test.server, test.client, test.opts...)
		if got, want := p.client.Snapshot().Files, test.why == ""; got != want {
			t.Errorf("B90: %+v: files pass: %v", test, got)
		}
		err := callWithFiles(t, p.client, "Ignore", 1)
		if test.why == "" && err != nil || test.why != "" && (!errors.Is(err, ErrNoFiles) || !strings.Contains(err.Error(), test.why)) {
			t.Errorf("B90: %+v: %v", test, err)
		}
	}
	a, b := memconn.Pipe(0)
	s := newExtendedServers(t, nil)
	s.server.accept(t.Context(), b)
	s.connect(t, a, []ClientOpts{WithClientLimits(Limits{Files: 1})})
	s.client.Extended(t.Context())
	if err := callWithFiles(t, s.client, "Ignore", 1); !errors.Is(err, ErrNoFiles) || !strings.Contains(err.Error(), "over a unix socket") {
		t.Errorf("B90: in memory: %v", err)
	}
	for name, make := range map[string]func() error{
		"NewServer": func() error { _, err := NewServer(WithServerLimits(Limits{Files: 1})); return err },
		"Dial":      func() error { _, err := Dial("unix:/nowhere", WithClientLimits(Limits{Files: 1})); return err },
	} {
		if err := make(); err == nil || !strings.Contains(err.Error(), "Limits.Files") {
			t.Errorf("B90: %s with files and without extensions: %v", name, err)
		}
	}
}

// TestFilesUnasked holds that a connection which takes none has none, whatever the kernel
// knows and the mode is.
func TestFilesUnasked(t *testing.T) {
	before := openFiles(t)
	t.Run("classic server", func(t *testing.T) {
		a, b := unixPair(t)
		s, _ := NewServer()
		s.accept(t.Context(), b)
		defer s.Close()
		wantNotTaken(t, &filePeer{t: t, conn: a}, b)
	})
	t.Run("extended server", func(t *testing.T) {
		a, b := unixPair(t)
		s, _ := NewServer(WithServerExtensions())
		s.accept(t.Context(), b)
		defer s.Close()
		p := &filePeer{t: t, conn: a}
		h := peerHello()
		h.Files = true
		p.send(frameBytes(1, messageTypeRequest, 0, helloRequest(t, h.Append(nil))))
		if f := p.read(); f.Type != messageTypeResponse {
			t.Fatal(f)
		}
		wantNotTaken(t, p, b)
	})
	t.Run("refused Hello", func(t *testing.T) {
		a, b := unixPair(t)
		c := NewClient(b, WithExtensions(), WithClientLimits(Limits{Files: 10}))
		defer c.Close()
		p := &filePeer{t: t, conn: a}
		p.read()
		p.send(frameBytes(1, messageTypeResponse, 0, responseFrame(1, status.New(codes.Unimplemented, "").Proto()).data[messageHeaderLength:]))
		if is, err := c.Extended(t.Context()); is || err != nil {
			t.Fatal(is, err)
		}
		wantNotTaken(t, p, b)
		if snap := c.Snapshot(); snap.HeldFiles != 0 || snap.State != "idle" {
			t.Errorf("B90: %+v", snap)
		}
	})
	wantNoMoreFiles(t, "B90", before)
}

// wantNotTaken requires that the other end, whose socket is b, does not keep files.
func wantNotTaken(t *testing.T, p *filePeer, b net.Conn) {
	t.Helper()
	for _, value := range []int{0, 1} { // as it is, and as with a kernel that cannot refuse
		if value == 1 {
			if !knowsPassRights(t) {
				return
			}
			refuseRights(t, b, 1)
		}
		f := newWatchedFile(t)
		_, err := sendTo(p.conn, frameBytes(99, messageTypeResponse, 0, nil), []*os.File{f.File})
		if value == 0 && knowsPassRights(t) && !errors.Is(err, unix.EPERM) {
			t.Errorf("B90: the kernel takes a file: %v", err)
		}
		f.wantClosed(t, "B90: a file that nobody has asked for")
	}
}

// TestFilesCap holds that what goes beyond the option fails alone, that what is held is seen,
// and counts no more once it is taken.
func TestFilesCap(t *testing.T) {
	p := newLimitedPair(t, 4, 4)
	started, release := make(chan struct{}), make(chan struct{})
	p.server.Register("hold", map[string]Method{"Hold": func(ctx context.Context, _ func(any) error) (any, error) {
		close(started)
		<-release
		files, err := FilesFromContext(ctx)
		closeFiles(files.Claim())
		return wrapperspb.String(""), err
	}})
	done := make(chan error, 1)
	go func() {
		ctx, _ := withFiles(t, 3)
		done <- p.client.Call(ctx, "hold", "Hold", wrapperspb.String(""), new(wrapperspb.StringValue))
	}()
	<-started
	if n := p.server.Snapshot()[0].HeldFiles; n != 3 {
		t.Errorf("B90: %d files are held", n)
	}
	err := callWithFiles(t, p.client, "Ignore", 2)
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "may hold 4") {
		t.Errorf("B90: %v", err)
	}
	s, err := p.client.NewStream(t.Context(), bidi, "files", "Ignores", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SendMsg(&FileMessage{wrapperspb.String(""), []*os.File{os.Stdin, os.Stdin}}); err != nil {
		t.Error(err)
	}
	if err := s.RecvMsg(new(wrapperspb.StringValue)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("B90: a stream: %v", err)
	}
	p.wantHeld(t, 3)
	if err := callWithFiles(t, p.client, "Ignore", 1); err != nil {
		t.Errorf("B90: within the cap: %v", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Errorf("B90: the call that holds files: %v", err)
	}
	p.wantHeld(t, 0)
	if err := callWithFiles(t, p.client, "Ignore", 4); err != nil {
		t.Errorf("B90: as many as the cap: %v", err)
	}
	p.wantHeld(t, 0)
	p.server.Register("give", map[string]Method{"Give": func(ctx context.Context, _ func(any) error) (any, error) {
		files, err := FilesFromContext(ctx)
		return wrapperspb.String(""), errors.Join(err, files.Attach(slices.Repeat([]*os.File{os.Stdin}, 5)...))
	}})
	err = p.client.Call(t.Context(), "give", "Give", wrapperspb.String(""), new(wrapperspb.StringValue))
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "5 files") {
		t.Errorf("B90: an answer: %v", err)
	}
	if err := p.echo(t.Context(), "a"); err != nil {
		t.Errorf("B90: the connection: %v", err)
	}
}

// wantHeld waits until the server holds so many files.
func (p *extendedPair) wantHeld(t *testing.T, n int) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for openFiles(t); p.server.Snapshot()[0].HeldFiles != n; openFiles(t) {
		if time.Now().After(end) {
			t.Fatalf("B90: %d files are held, want %d", p.server.Snapshot()[0].HeldFiles, n)
		}
	}
}

// TestFilesOfUnfinished holds that files of messages which are not complete count.
func TestFilesOfUnfinished(t *testing.T) {
	onFileServer(t, func(t *testing.T, p *filePeer, c *conn) {
		f := newWatchedFile(t)
		p.send(frameBytes(3, messageTypeFiles, 0, number(2)), f.File, f.File)
		p.wantAlive("B90")
		if n := c.snapshot().HeldFiles; n != 2 {
			t.Errorf("B90: %d files are held", n)
		}
		p.send(frameBytes(3, messageTypePart, flagReset, nil))
		f.wantClosed(t, "B90: after a reset")
	})
}

// TestPidfdsAreClosed holds that descriptors which come with other control data do not stay.
func TestPidfdsAreClosed(t *testing.T) {
	for _, files := range []int{0, 10} {
		p := newLimitedPair(t, files, files, WithServerHandshaker(socketOption{unix.SO_PASSPIDFD, 1}))
		if err := p.echo(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		before := openFiles(t)
		for range 50 {
			if err := p.echo(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
		wantNoMoreFiles(t, "B93", before)
		if files > 0 {
			ctx, passed := withFiles(t, 2)
			if err := p.client.Call(ctx, "files", "Reverse", wrapperspb.String(""), new(wrapperspb.StringValue)); err != nil {
				t.Errorf("B93: %v", err)
			}
			if got := passed.Claim(); len(got) != 2 {
				t.Errorf("B93: %d files with SO_PASSPIDFD", len(got))
			} else {
				closeFiles(got)
			}
		}
	}
}

// lingering is a socket whose last close takes 10 minutes.
func lingering(t *testing.T) *os.File {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	o, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close(); l.Close() }) // after which nothing lingers
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	fd := int(f.Fd())
	unix.SetNonblock(fd, true)
	for err = nil; err == nil; {
		_, err = unix.Write(fd, make([]byte, 64<<10))
	}
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 600}); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestLingeringFiles holds that to close what a peer sends holds up nobody: not other calls,
// nor who looks at the connection or ends it.
func TestLingeringFiles(t *testing.T) {
	end := func(t *testing.T, what string, f func()) {
		t.Helper()
		done := make(chan struct{})
		go func() { defer close(done); f() }()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatalf("B91: %s hangs", what)
		}
	}
	send := func(t *testing.T, p *filePeer, b []byte) {
		t.Helper()
		f := lingering(t)
		p.send(b, f)
		go f.Close() // which lingers if it is the last
	}
	request := func(id uint32) []byte {
		return append(frameBytes(id, messageTypeFiles, 0, number(1)), frameBytes(id, messageTypeRequest, 0, encode(t, &Request{Service: "none", Method: "None"}))...)
	}
	t.Run("unknown service", func(t *testing.T) {
		onFileServer(t, func(t *testing.T, p *filePeer, c *conn) {
			for i := range uint32(5) {
				send(t, p, request(3+2*i))
			}
			for range 5 {
				p.read()
			}
			end(t, "Snapshot", func() { c.snapshot() })
			end(t, "a ping", func() { p.wantAlive("B91") })
			end(t, "Close", func() { c.close(ErrClosed) })
		})
	})
	t.Run("not read", func(t *testing.T) {
		onFileServer(t, func(t *testing.T, p *filePeer, c *conn) {
			c.mu.Lock() // so that the reader does not get on
			p.send(frameBytes(0, messageTypePing, 0, make([]byte, pingLength)))
			for range 3 {
				send(t, p, frameBytes(0, messageTypePing, 0, make([]byte, pingLength)))
			}
			c.mu.Unlock()
			end(t, "Close", func() { c.close(ErrClosed) })
		})
	})
	t.Run("unfinished", func(t *testing.T) {
		onFileServer(t, func(t *testing.T, p *filePeer, c *conn) {
			send(t, p, frameBytes(3, messageTypeFiles, 0, number(1)))
			end(t, "a ping", func() { p.wantAlive("B91") })
			p.conn.Close()
			end(t, "the end", func() {
				ended := make(chan struct{})
				c.onEnd(func(error) { close(ended) })
				<-ended
			})
		})
	})
	t.Run("a client's stream", func(t *testing.T) {
		a, b := unixPair(t)
		client := NewClient(b, WithExtensions(), WithClientLimits(Limits{Files: 10}))
		defer client.Close()
		p := &filePeer{t: t, conn: a}
		f := p.read()
		h := peerHello()
		h.Files = true
		hello := h.Append(nil)
		p.send(frameBytes(f.StreamID, messageTypeResponse, 0, append(appendResponseFront(nil, nil, len(hello)), hello...)))
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := client.NewStream(ctx, bidi, "test", "Stream", nil); err != nil {
			t.Fatal(err)
		}
		send(t, p, append(frameBytes(3, messageTypeFiles, flagStream, number(1)), frameBytes(3, messageTypeData, 0, nil)...))
		for client.Snapshot().HeldFiles == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
		short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		end(t, "a call", func() {
			if err := client.Call(short, "test", "Echo", wrapperspb.String(""), new(wrapperspb.StringValue)); err == nil {
				t.Error("a call is answered by nobody")
			}
		})
		end(t, "Close", func() { client.Close() })
	})
}

// TestOwnEndSent holds that a peer which sends its own end of the connection, and dies, does
// not live on as a connection.
func TestOwnEndSent(t *testing.T) {
	onFileServer(t, func(t *testing.T, p *filePeer, c *conn) {
		own, err := p.conn.File()
		if err != nil {
			t.Fatal(err)
		}
		p.send(frameBytes(3, messageTypeFiles, 0, number(1)), own)
		p.wantAlive("B92")
		own.Close()
		c.mu.Lock()
		x := extOf(c)
		if x.pings.timer == nil || x.pings.as.Interval != silenceWithFiles {
			t.Errorf("B92: nobody looks whether the peer is alive")
		}
		x.pings.as = Keepalive{Interval: time.Millisecond, Timeout: 2 * time.Millisecond} // not to wait for so long
		x.pings.timer.Reset(0)
		c.mu.Unlock()
		p.conn.Close()
		ended := make(chan error, 1)
		c.onEnd(func(err error) { ended <- err })
		select {
		case err := <-ended:
			if err != ErrKeepalive {
				t.Errorf("B92: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("B92: the connection lives")
		}
	})
}
