// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && linux

package libchan

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// sockets returns the two ends of a connection.
func sockets(t *testing.T, network string) (a, b net.Conn) {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, addr)
	must(t, err)
	defer ln.Close()
	a, err = net.Dial(network, ln.Addr().String())
	must(t, err)
	b, err = ln.Accept()
	must(t, err)
	return a, b
}

// realSessions returns the ends of a session over a socket, and of a channel from near to far.
func realSessions(t *testing.T, network string, opts ...Option) (near, far *Session, s ContextSender, r ContextReceiver) {
	t.Helper()
	a, b := sockets(t, network)
	served := make(chan *Session)
	go func() {
		far, err := NewServer(b)
		if err != nil {
			t.Errorf("NewServer: %v", err)
		}
		served <- far
	}()
	near, err := NewClient(a, opts...)
	must(t, err)
	far = <-served
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	s, r = top(t, near, far)
	return near, far, s, r
}

// passes sends v and receives it into got. A message with files may wait for who receives.
func passes(t *testing.T, s Sender, r Receiver, v, got any) {
	t.Helper()
	sent := make(chan error)
	go func() { sent <- s.Send(v) }()
	must(t, r.Receive(got))
	must(t, <-sent)
}

// tempFile returns a file that has the text, at its start.
func tempFile(t *testing.T, flag int, text string) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(name, []byte(text), 0o600))
	f, err := os.OpenFile(name, flag, 0)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

type withFiles struct {
	F *os.File
	C net.Conn
	L net.Listener
	A any
}

// L4: over a unix socket the receiver gets the very thing, and the sender's is its own.
func TestDescriptors(t *testing.T) {
	_, _, out, in := realSessions(t, "unix")
	file := tempFile(t, os.O_RDWR, "0123456789")
	c, d := sockets(t, "tcp")
	defer d.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	udp, err := net.Dial("udp", "127.0.0.1:9")
	must(t, err)
	var got withFiles
	passes(t, out, in, withFiles{file, c, ln, udp}, &got)
	for _, own := range []io.Closer{c, ln, udp} {
		must(t, own.Close())
	}
	if _, err := file.Seek(4, io.SeekStart); err != nil {
		t.Error(err)
	}
	must(t, file.Close())
	buf := make([]byte, 3)
	if _, err := io.ReadFull(got.F, buf); string(buf) != "456" || err != nil {
		t.Errorf("L4: read %q, %v, want what follows the position of the file that was sent", buf, err)
	}
	must(t, got.F.Close())

	if conn, ok := got.C.(*net.TCPConn); !ok || conn.LocalAddr().String() != c.LocalAddr().String() {
		t.Errorf("L4: a connection arrives as %T, %v, want the very one, %v", got.C, got.C.LocalAddr(), c.LocalAddr())
	}
	go d.Write([]byte("tcp"))
	if _, err := io.ReadFull(got.C, buf); string(buf) != "tcp" || err != nil {
		t.Errorf("L4: read %q, %v", buf, err)
	}
	must(t, got.C.Close())
	if n, err := d.Read(buf); n != 0 || err != io.EOF {
		t.Errorf("L4: after the sender and the receiver have closed a connection: %d, %v, want io.EOF", n, err)
	}

	dialled, err := net.Dial("tcp", ln.Addr().String())
	must(t, err)
	accepted, err := got.L.Accept()
	must(t, err)
	if _, ok := got.L.(*net.TCPListener); !ok || accepted.RemoteAddr().String() != dialled.LocalAddr().String() {
		t.Errorf("L4: a listener arrives as %T", got.L)
	}
	for _, c := range []io.Closer{dialled, accepted, got.L} {
		must(t, c.Close())
	}
	if conn, ok := got.A.(*net.UDPConn); !ok {
		t.Errorf("L4: a socket of datagrams arrives as %T, want the very one", got.A)
	} else {
		must(t, conn.Close())
	}
}

// L4: an io.Reader that is a file gives no more than that away.
func TestFileAsReader(t *testing.T) {
	_, _, out, in := realSessions(t, "unix")
	var got struct{ R any }
	passes(t, out, in, struct{ R io.Reader }{tempFile(t, os.O_RDWR, "to read")}, &got)
	if _, ok := got.R.(*os.File); ok {
		t.Error("L4: an io.Reader arrives as the file that it is")
	}
	all, err := io.ReadAll(got.R.(io.Reader))
	if string(all) != "to read" || err != nil {
		t.Errorf("L4: read %q, %v", all, err)
	}
	if err := out.Send(struct{ R io.Reader }{tempFile(t, os.O_WRONLY, "")}); err == nil || !strings.Contains(err.Error(), "not open for") {
		t.Errorf("L4: an io.Reader that is open for writing: %v, want an error", err)
	}
	must(t, out.Send(struct{ R io.Reader }{tempFile(t, os.O_RDONLY, "good")})) // the channel is
	must(t, in.Receive(&got))
	all, err = io.ReadAll(got.R.(io.Reader))
	if string(all) != "good" || err != nil {
		t.Errorf("L4: read %q, %v", all, err)
	}
}

// elsewhere are connections that pass no files.
var elsewhere = map[string]func(t *testing.T) (near, far *Session, s ContextSender, r ContextReceiver){
	"tcp": func(t *testing.T) (near, far *Session, s ContextSender, r ContextReceiver) {
		return realSessions(t, "tcp")
	},
	"unix without files": func(t *testing.T) (near, far *Session, s ContextSender, r ContextReceiver) {
		return realSessions(t, "unix", WithFiles(0))
	},
}

// L4: elsewhere a file arrives as a byte stream of its direction, or as a file with a pump.
func TestFilesElsewhere(t *testing.T) {
	for name, make := range elsewhere {
		t.Run(name, func(t *testing.T) {
			_, _, out, in := make(t)
			for _, into := range []any{&struct{ F *os.File }{}, &struct{ F io.Reader }{}, &struct{ F any }{}} {
				passes(t, out, in, struct{ F *os.File }{tempFile(t, os.O_RDONLY, "of a file")}, into)
				f := fieldOf(into).(io.Reader)
				all, err := io.ReadAll(f)
				if string(all) != "of a file" || err != nil {
					t.Errorf("L4: read %q from %T, %v", all, f, err)
				}
				must(t, f.(io.Closer).Close())
			}
			r, w, err := os.Pipe()
			must(t, err)
			var got struct{ F *os.File }
			passes(t, out, in, struct{ F *os.File }{w}, &got)
			_, err = got.F.WriteString("into a file")
			must(t, err)
			must(t, got.F.Close())
			buf := [11]byte{}
			if _, err := io.ReadFull(r, buf[:]); string(buf[:]) != "into a file" || err != nil {
				t.Errorf("L4: read %q, %v", buf, err)
			}
			must(t, w.Close()) // it is still the sender's
			must(t, r.Close())

			// Both ways: a socket as a file.
			a, b := sockets(t, "unix")
			f, err := a.(*net.UnixConn).File()
			must(t, err)
			must(t, a.Close())
			passes(t, out, in, struct{ F *os.File }{f}, &got)
			go func() {
				io.Copy(b, b)
				b.Close()
			}()
			_, err = got.F.WriteString("there and back")
			must(t, err)
			echo := [14]byte{}
			if _, err := io.ReadFull(got.F, echo[:]); string(echo[:]) != "there and back" || err != nil {
				t.Errorf("L4: read %q, %v", echo, err)
			}
			must(t, got.F.Close())
			must(t, unix.Shutdown(int(f.Fd()), unix.SHUT_RDWR))
			must(t, f.Close())
		})
	}
}

func fieldOf(v any) any {
	switch v := v.(type) {
	case *struct{ F *os.File }:
		return v.F
	case *struct{ F io.Reader }:
		return v.F
	default:
		return v.(*struct{ F any }).F
	}
}

// L4: elsewhere a net.Conn is a byte stream with both addresses and half-close, a listener a
// channel of these, and a socket of datagrams an error.
func TestSocketsElsewhere(t *testing.T) {
	for name, make := range elsewhere {
		t.Run(name, func(t *testing.T) {
			_, _, out, in := make(t)
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			must(t, out.Send(struct{ L net.Listener }{ln}))
			var l struct{ L net.Listener }
			must(t, in.Receive(&l))
			if l.L.Addr().String() != ln.Addr().String() || l.L.Addr().Network() != "tcp" {
				t.Errorf("L4: a listener arrives with the address %v", l.L.Addr())
			}
			for range 3 {
				dialled, err := net.Dial("tcp", ln.Addr().String())
				must(t, err)
				accepted, err := l.L.Accept()
				must(t, err)
				if accepted.RemoteAddr().String() != dialled.LocalAddr().String() || accepted.LocalAddr().String() != ln.Addr().String() {
					t.Errorf("L4: accepted a connection of %v with %v", accepted.LocalAddr(), accepted.RemoteAddr())
				}
				_, err = dialled.Write([]byte("question"))
				must(t, err)
				must(t, dialled.(*net.TCPConn).CloseWrite())
				if all, err := io.ReadAll(accepted); string(all) != "question" || err != nil {
					t.Errorf("L4: read %q, %v", all, err)
				}
				_, err = accepted.Write([]byte("answer"))
				must(t, err)
				must(t, accepted.Close())
				if all, err := io.ReadAll(dialled); string(all) != "answer" || err != nil {
					t.Errorf("L4: read %q, %v: who has accepted owns the connection, and has closed it", all, err)
				}
				must(t, dialled.Close())
			}
			must(t, l.L.Close())
			if _, err := l.L.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("L4: Accept after Close: %v, want net.ErrClosed", err)
			}
			must(t, ln.Close())

			udp, err := net.ListenPacket("udp", "127.0.0.1:0")
			must(t, err)
			file, err := udp.(*net.UDPConn).File()
			must(t, err)
			for _, v := range []any{struct{ P net.PacketConn }{udp}, struct{ P net.Conn }{udp.(*net.UDPConn)}, struct{ P any }{udp}, struct{ P *os.File }{file}} {
				if err := out.Send(v); err == nil || !strings.Contains(err.Error(), "datagrams") {
					t.Errorf("L4: Send of %T: %v, want an error of datagrams", v, err)
				}
			}
			must(t, udp.Close())
			must(t, file.Close())
			must(t, out.Send(1)) // the channel is good
			receives(t, in, 1)
		})
	}
}

// L5: a file that is passed on goes as a descriptor where that is possible, else as bytes; the
// middle keeps none.
func TestFilesPassOn(t *testing.T) {
	for _, networks := range [][2]string{{"unix", "unix"}, {"unix", "tcp"}, {"tcp", "unix"}} {
		t.Run(fmt.Sprint(networks), func(t *testing.T) {
			_, _, out, in := realSessions(t, networks[0])
			_, _, out2, in2 := realSessions(t, networks[1])
			c, d := sockets(t, "tcp")
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			copied := make(chan error)
			go func() {
				n, err := Copy(out2, in)
				if n != 1 {
					t.Errorf("L5: copied %d messages, want 1", n)
				}
				copied <- err
			}()
			var got withFiles
			passes(t, out, in2, withFiles{tempFile(t, os.O_RDONLY, "passed on"), c, ln, nil}, &got)
			must(t, out.Close())
			must(t, <-copied)
			if all, err := io.ReadAll(got.F); string(all) != "passed on" || err != nil {
				t.Errorf("L5: read %q, %v", all, err)
			}
			_, isSocket := got.C.(*net.TCPConn)
			if both := networks == [2]string{"unix", "unix"}; isSocket != both {
				t.Errorf("L5: a connection arrives as %T", got.C)
			}
			go d.Write([]byte("!"))
			if _, err := io.ReadFull(got.C, make([]byte, 1)); err != nil {
				t.Errorf("L5: %v", err)
			}
			if got.C.LocalAddr().String() != c.LocalAddr().String() {
				t.Errorf("L5: the connection has the address %v, want %v", got.C.LocalAddr(), c.LocalAddr())
			}
			dialled, err := net.Dial("tcp", ln.Addr().String())
			must(t, err)
			accepted, err := got.L.Accept()
			must(t, err)
			for _, c := range []io.Closer{got.F, got.C, c, accepted, got.L, dialled, ln} {
				must(t, c.Close())
			}
			if n, err := d.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("L5: the middle keeps a connection that is closed at its ends: %d, %v, want io.EOF", n, err)
			}
			must(t, d.Close())
		})
	}
}

// L4: what nobody takes is closed, wherever it is, and a channel full of files waits.
func TestFilesNobodyTakes(t *testing.T) {
	near, far, out, in := realSessions(t, "unix")
	r, w, err := os.Pipe()
	must(t, err)
	sent := make(chan int)
	go func() {
		n := 0
		for n < 300 && out.Send(struct{ F *os.File }{w}) == nil {
			n++
		}
		sent <- n
	}()
	for i := range 100 {
		switch i % 3 {
		case 0:
			must(t, in.Receive(&struct{ N int }{}))
		case 1:
			if err := in.Receive(&struct{ F Sender }{}); err == nil {
				t.Error("a file is received as a Sender")
			}
		case 2:
			var raw Raw
			must(t, in.Receive(&raw))
			if raw.Len() != 1 {
				t.Errorf("a message carries %d, want a file", raw.Len())
			}
			raw.Release()
		}
	}
	in.Cancel(errors.New("enough"))
	if n := <-sent; n < 100 || n > 100+maxUnclaimedFiles+1 {
		t.Errorf("L4: %d files were sent of which 100 were received, want %d more at most", n, maxUnclaimedFiles)
	}
	must(t, w.Close())
	near.Close()
	far.Close()
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("L4: the pipe whose other end nobody holds: %d, %v, want io.EOF", n, err)
	}
	must(t, r.Close())
}

// A peer's files to which its message does not refer, or not rightly, are closed, and the
// channel ends.
func TestHostileFiles(t *testing.T) {
	for name, refs := range map[string][]wireRef{
		"no reference":            nil,
		"too few":                 {{kind: refFile}},
		"one of a bad kind":       {{kind: refFile}, {kind: 77}},
		"more than have come":     {{kind: refFile}, {kind: refFile}, {kind: refFile}},
		"beside what is no file":  {{kind: refFile}, {id: 1001}},
		"with what is bad before": {{kind: refBytes}, {kind: refFile}, {kind: refFile}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, out, in := realSessions(t, "unix")
			must(t, out.Send(1))
			receives(t, in, 1)
			r, w, err := os.Pipe()
			must(t, err)
			bad := wireMessage{refs: refs}
			sent := make(chan error)
			go func() {
				sent <- rawStream(out).SendMsg(&ttrpc.FileMessage{Message: &ttrpc.RawMessage{Payload: bad.appendBeside(nil)}, Files: []*os.File{w, w}})
			}()
			if err := in.Receive(new(any)); status.Code(err) != codes.InvalidArgument {
				t.Errorf("Receive: %v, want InvalidArgument", err)
			}
			must(t, <-sent)
			must(t, w.Close())
			if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("the pipe whose other ends are closed: %d, %v", n, err)
			}
			must(t, r.Close())
		})
	}
}

// What is no socket, or no listener, though the peer says so, is an error of that Receive.
func TestHostileKinds(t *testing.T) {
	_, _, out, in := realSessions(t, "unix")
	must(t, out.Send(1))
	receives(t, in, 1)
	for _, kind := range []refKind{refConn, refSocketListener} {
		r, w, err := os.Pipe()
		must(t, err)
		bad := wireMessage{refs: []wireRef{{kind: kind}}}
		payload := bad.appendBeside(withBodyTag(refBody(t)))
		sent := make(chan error)
		go func() {
			sent <- rawStream(out).SendMsg(&ttrpc.FileMessage{Message: &ttrpc.RawMessage{Payload: payload}, Files: []*os.File{w}})
		}()
		if err := in.Receive(&struct{ X any }{}); err == nil || !strings.Contains(err.Error(), "X") {
			t.Errorf("a pipe is received as a socket: %v, want an error that names the field", err)
		}
		must(t, <-sent)
		must(t, w.Close())
		if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("the pipe whose other end is closed: %d, %v", n, err)
		}
		must(t, r.Close())
	}
	must(t, out.Send(2))
	receives(t, in, 2)
}

// refBody returns the encoding of a message whose field X is the reference 0, after headroom.
func refBody(t *testing.T) []byte {
	_, s := Pipe()
	b, err := Msgpack.Marshal(make([]byte, headroom), struct{ X any }{s}, new(sentRefs))
	must(t, err)
	return b
}
