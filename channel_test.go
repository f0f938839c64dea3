// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/internal/wire"
)

// headerOf returns a header.
func headerOf(length, id uint32, t messageType, flags uint8) messageHeader {
	return messageHeader{Length: length, StreamID: id, Type: t, Flags: flags}
}

// frameBytes returns the bytes of one frame.
func frameBytes(id uint32, t messageType, flags uint8, data []byte) []byte {
	return wire.AppendFrame(nil, id, t, flags, data)
}

// unixPair returns the two ends of a unix stream socket.
func unixPair(t testing.TB) (*net.UnixConn, *net.UnixConn) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// connPairs are the kinds of connections that a channel treats differently.
var connPairs = map[string]func(t testing.TB) (net.Conn, net.Conn){
	"unix": func(t testing.TB) (net.Conn, net.Conn) { return unixPair(t) },
	"memory": func(testing.TB) (net.Conn, net.Conn) {
		a, b := memconn.Pipe(0)
		return a, b
	},
	"packets": func(testing.TB) (net.Conn, net.Conn) {
		a, b := memconn.PacketPipe()
		return a, b
	},
	"stream": func(testing.TB) (net.Conn, net.Conn) {
		a, b := memconn.StreamPipe(0)
		return a, b
	},
	"tls": tlsPair,
	"tls, silent": func(t testing.TB) (net.Conn, net.Conn) {
		a, b := tlsPair(t)
		return struct{ net.Conn }{a}, struct{ net.Conn }{b} // which hide what they are
	},
	"synchronous": func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() },
}

func TestChannelRoundTrip(t *testing.T) {
	sizes := []int{0, 1, 4085, 4086, 4087, 4096, 8191, 8192, 32757, 32758, 65536, 1 << 20, messageLengthMax}
	for name, pair := range connPairs {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t)
			sender, receiver := newChannel(a), newChannel(b)
			sent := make(chan error, 1)
			go func() {
				defer a.Close()
				for i, n := range sizes {
					if err := sender.send(uint32(i), messageTypeData, 0, pattern(n)); err != nil {
						sent <- err
						return
					}
				}
				sent <- nil
			}()
			for i, n := range sizes {
				h, p, err := receiver.recv()
				if err != nil {
					t.Fatalf("frame of %d bytes: %v", n, err)
				}
				if h.StreamID != uint32(i) || int(h.Length) != n || !bytes.Equal(p, pattern(n)) {
					t.Fatalf("frame of %d bytes came as %+v", n, h)
				}
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			if _, _, err := receiver.recv(); err != io.EOF {
				t.Errorf("B5: after the last frame: %v, want io.EOF", err)
			}
			b.Close()
		})
	}
}

// pattern returns n bytes that differ from their neighbours.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

// chunks is a conn whose reads return the given pieces, one each.
type chunks struct {
	net.Conn
	pieces [][]byte
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.pieces[0])
	if c.pieces[0] = c.pieces[0][n:]; len(c.pieces[0]) == 0 {
		c.pieces = c.pieces[1:]
	}
	return n, nil
}

func TestFramesCutAnywhere(t *testing.T) {
	frames := [][]byte{
		frameBytes(1, messageTypeRequest, 0, []byte("request")),
		frameBytes(3, messageTypeData, flagRemoteClosed|flagNoData, nil),
		frameBytes(5, messageTypeData, 0, pattern(5000)),
		frameBytes(7, 0x42, 0xff, []byte("x")),
	}
	all := bytes.Join(frames, nil)
	for cut := range len(all) + 1 {
		ch := newChannel(&chunks{pieces: [][]byte{all[:cut], all[cut:]}})
		for i, f := range frames {
			h, p, err := ch.recv()
			if err != nil || !bytes.Equal(frameBytes(h.StreamID, h.Type, h.Flags, p), f) {
				t.Fatalf("cut at %d: frame %d came as %+v, %d bytes, %v", cut, i, h, len(p), err)
			}
		}
		if _, _, err := ch.recv(); err != io.EOF {
			t.Fatalf("cut at %d: %v at the end, want io.EOF", cut, err)
		}
	}
}

func TestStreamOfFramesEndsAnywhere(t *testing.T) {
	one := frameBytes(1, messageTypeRequest, 0, pattern(4200))
	for end := range len(one) {
		ch := newChannel(&chunks{pieces: [][]byte{one[:end]}})
		want := io.ErrUnexpectedEOF
		if end == 0 {
			want = io.EOF
		}
		if _, _, err := ch.recv(); err != want {
			t.Fatalf("B5: the connection ended after %d of %d bytes: %v, want %v", end, len(one), err, want)
		}
	}
}

func TestSendOversized(t *testing.T) {
	a, _ := memconn.Pipe(0)
	err := newChannel(a).send(1, messageTypeRequest, 0, make([]byte, messageLengthMax+1))
	var big *OversizedMessageErr
	if !errors.As(err, &big) || big.RejectedLength() != messageLengthMax+1 || big.MaximumLength() != messageLengthMax {
		t.Errorf("B6: %v", err)
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("B6: code %v, want ResourceExhausted", status.Code(err))
	}
	if len(a.Writes()) != 0 {
		t.Error("B6: bytes of a refused message were written")
	}
}

func TestRecvOversized(t *testing.T) {
	for name, pair := range connPairs {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t)
			defer b.Close()
			go func() {
				out := newChannel(a)
				out.write(frameBytes(9, messageTypeRequest, 0, make([]byte, messageLengthMax+1)))
				out.write(frameBytes(11, messageTypeRequest, 0, []byte("next")))
				a.Close()
			}()
			ch := newChannel(b)
			h, p, err := ch.recv()
			var big *OversizedMessageErr
			if h.StreamID != 9 || p != nil || !errors.As(err, &big) {
				t.Fatalf("B7: %+v, %d bytes, %v", h, len(p), err)
			}
			if want := "rpc error: code = ResourceExhausted desc = message length 4194305 exceed maximum message size of 4194304"; err.Error() != want {
				t.Errorf("B7: %q, want %q", err, want)
			}
			if h, p, err := ch.recv(); h.StreamID != 11 || string(p) != "next" || err != nil {
				t.Errorf("B7: the frame after it: %+v, %q, %v", h, p, err)
			}
		})
	}
}

func TestRecvImpossibleLength(t *testing.T) {
	for _, first := range []byte{1, 0x7f, 0xff, 'G'} {
		ch := newChannel(&chunks{pieces: [][]byte{append([]byte{first}, make([]byte, 9)...)}})
		_, _, err := ch.recv()
		var wrong *connError
		if !errors.As(err, &wrong) || !errors.Is(err, ErrProtocol) {
			t.Errorf("B7: a length that begins with %#x: %v, want a protocol error", first, err)
		}
	}
}

func TestWritesOnOtherConns(t *testing.T) {
	a, b := memconn.PacketPipe()
	ch := newChannel(a)
	for _, n := range []int{0, 100, 4086, 4087, 9000, messageLengthMax} {
		before := len(a.Writes())
		go ch.send(1, messageTypeData, 0, make([]byte, n))
		if h, _, err := newChannel(b).recv(); err != nil || int(h.Length) != n {
			t.Fatalf("B43: %d bytes of data came as %+v, %v", n, h, err)
		}
		rest := n + messageHeaderLength
		for i, size := range a.Writes()[before:] {
			if size > packetSize && size != rest {
				t.Errorf("B43: write %d of a frame with %d bytes is %d bytes long", i, n, size)
			}
			rest -= size
		}
		if rest != 0 {
			t.Errorf("B43: %d bytes of a frame with %d were not written", rest, n)
		}
	}
}

// TestPromisedMemory holds that a header alone is no reason to allocate.
func TestPromisedMemory(t *testing.T) {
	a, b := unixPair(t)
	ch := newChannel(b)
	data := pattern(messageLengthMax)
	if _, err := a.Write(frameBytes(1, messageTypeData, 0, data)[:messageHeaderLength+100]); err != nil {
		t.Fatal(err)
	}
	if _, err := ch.recvFrame(false); err != errNoFrame {
		t.Fatal(err)
	}
	if got := cap(ch.part.data); got > packetSize {
		t.Errorf("%d bytes are held for a frame of which 100 arrived", got)
	}
	go a.Write(data[100:])
	if _, p, err := ch.recv(); err != nil || !bytes.Equal(p, data) {
		t.Errorf("the frame came with %d bytes, %v", len(p), err)
	}
}

// TestNoBufferWhileIdle holds that a channel that waits holds no memory.
func TestNoBufferWhileIdle(t *testing.T) {
	a, b := unixPair(t)
	ch := newChannel(b)
	if err := newChannel(a).send(1, messageTypeData, 0, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ch.recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := ch.recvFrame(false); err != errNoFrame {
		t.Fatal(err)
	}
	if ch.buf != nil || ch.part != nil {
		t.Error("an idle channel holds a buffer")
	}
	frame := frameBytes(3, messageTypeData, 0, []byte("slowly"))
	for i := range len(frame) {
		if _, err := ch.recvFrame(false); err != errNoFrame {
			t.Fatal(err)
		}
		if ch.buf != nil {
			t.Errorf("a channel that has %d bytes of a frame holds a buffer", i)
		}
		if _, err := a.Write(frame[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if h, data, err := ch.recv(); err != nil || h.StreamID != 3 || string(data) != "slowly" {
		t.Errorf("a frame that came byte by byte: %+v, %q, %v", h, data, err)
	}
}

// A fittingConn takes note of reads with room beyond the length of the buffer.
type fittingConn struct {
	net.Conn
	t *testing.T
}

func (c fittingConn) Read(p []byte) (int, error) {
	if cap(p) != len(p) {
		c.t.Errorf("B43: Read is given %d bytes with a capacity of %d", len(p), cap(p))
	}
	return c.Conn.Read(p)
}

// TestReadsOnOtherConns holds that the capacity of what Read is given is its
// length: NRI's multiplexer compares one and fills the other.
func TestReadsOnOtherConns(t *testing.T) {
	a, b := memconn.PacketPipe()
	to, from := newChannel(a), newChannel(fittingConn{b, t})
	for _, n := range []int{0, 100, 4085, 4096, 5000, 70_000} {
		go to.send(1, messageTypeData, 0, make([]byte, n))
		if h, _, err := from.recv(); err != nil || int(h.Length) != n {
			t.Fatalf("%d bytes of data came as %+v, %v", n, h, err)
		}
	}
}

// TestWrappedSocket holds that a conn which embeds a socket is not taken for
// one: its own methods may do something else.
func TestWrappedSocket(t *testing.T) {
	a, _ := unixPair(t)
	if newChannel(struct{ *net.UnixConn }{a}).kind != packetConn {
		t.Error("a type that embeds *net.UnixConn is used as a socket")
	}
	if newChannel(a).kind != socketConn && os.PathSeparator == '/' {
		t.Error("a *net.UnixConn is not used as a socket")
	}
}

func TestFrameMemory(t *testing.T) {
	for _, n := range []int{0, 1, 256, 257, 4096, 1 << 20, 1<<24 - 1, 1<<24 + 1} {
		f := newFrame(n)
		if cap(f.data) < n || len(f.data) != 0 {
			t.Errorf("newFrame(%d) has room for %d, holds %d", n, cap(f.data), len(f.data))
		}
		f.data = append(f.data, "abc"...)
		f.grow(2*n + 3)
		if string(f.data) != "abc" || cap(f.data) < 2*n+3 {
			t.Errorf("grow lost data or has room for %d, want %d", cap(f.data), 2*n+3)
		}
		f.release()
	}
}

func TestFrameQueue(t *testing.T) {
	var q frameQueue
	fs := []*frame{newFrame(1), newFrame(1), newFrame(1), newFrame(1)}
	q.push(fs[1])
	q.push(fs[2])
	q.push(fs[3])
	q.pushFront(fs[0])
	if q.count != 4 || q.bytes != 4*fs[0].cost() {
		t.Errorf("count %d, bytes %d", q.count, q.bytes)
	}
	q.remove(fs[1])
	q.remove(fs[3])
	for _, want := range []*frame{fs[0], fs[2], nil} {
		if got := q.pop(); got != want {
			t.Errorf("popped %p, want %p", got, want)
		}
	}
	if q.count != 0 || q.bytes != 0 || q.head != nil || q.tail != nil {
		t.Errorf("left: %+v", q)
	}
}

// TestEndGivesBufferBack holds that a connection that has ended keeps no read buffer.
func TestEndGivesBufferBack(t *testing.T) {
	a, b := unixPair(t)
	if _, err := a.Write(make([]byte, messageHeaderLength/2)); err != nil {
		t.Fatal(err)
	}
	a.Close()
	ch := newChannel(b)
	if _, err := ch.recvFrame(true); err != io.ErrUnexpectedEOF {
		t.Errorf("B5: the end within a header is %v", err)
	}
	if ch.buf != nil {
		t.Error("the read buffer is kept")
	}
}

// TestHasFrame holds that a frame counts as there once all of it is, and only one that the
// reader can take.
func TestHasFrame(t *testing.T) {
	whole := frameBytes(3, messageTypeData, 0, make([]byte, 100))
	large := frameBytes(3, messageTypeData, 0, make([]byte, 17+4*packetSize))
	for _, test := range []struct {
		what  string
		after []byte // a frame of 100 bytes that has been read
		want  bool
	}{
		{"nothing", nil, false},
		{"less than a header", whole[:messageHeaderLength-1], false},
		{"a header", whole[:messageHeaderLength], false},
		{"all but a byte", whole[:len(whole)-1], false},
		{"a frame", whole, true},
		{"one without data", frameBytes(3, messageTypeData, 0, nil), true},
		{"more than a frame", append(whole[:len(whole):len(whole)], 1), true},
		{"much of a large frame", large[:len(large)/8], false},
	} {
		a, b := memconn.StreamPipe(0)
		ch := newChannel(b)
		ch.full = true // so that all is read at once
		a.Write(append(whole[:len(whole):len(whole)], test.after...))
		f, err := ch.recvFrame(true)
		if err != nil {
			t.Fatal(err)
		}
		f.release()
		if got := ch.hasFrame(); got != test.want {
			t.Errorf("B35: %s after a frame: %v, want %v", test.what, got, test.want)
		}
		if f, err := ch.parse(); err != nil || (f != nil) != test.want {
			t.Errorf("B35: %s after a frame: parsed as %v, %v", test.what, f, err)
		}
		if ch.hasFrame() && len(test.after) <= len(whole) {
			t.Errorf("B35: %s after a frame is there still", test.what)
		}
	}
}

// TestPacketHasRoom holds B43: what remains of a frame has room before it is read.
func TestPacketHasRoom(t *testing.T) {
	_, b := memconn.Pipe(0)
	ch := newChannel(b)
	f := newFrame(10)
	f.data = append(f.data, "begun"...)
	ch.receiveInto(f, 10*packetSize)
	if rest := cap(f.data) - len(f.data); ch.kind != packetConn || rest < 10*packetSize-5 || string(f.data) != "begun" {
		t.Errorf("B43: there is room for %d bytes behind %q", rest, f.data)
	}
}
