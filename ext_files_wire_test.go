// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && linux

package ttrpc

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A filePeer is a raw peer on a unix socket.
type filePeer struct {
	t     *testing.T
	conn  *net.UnixConn
	files []*os.File // came, and were not asked for
}

// onFileServer runs f with a raw peer that has agreed with a server to pass files.
func onFileServer(t *testing.T, f func(t *testing.T, p *filePeer, c *conn)) {
	t.Helper()
	a, b := unixPair(t)
	ts, err := NewServer(WithServerExtensions(), WithServerLimits(Limits{Files: manyFiles}), WithServerLogger(new(countingLogger)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ts.Close() })
	ts.RegisterService("files", fileService())
	ts.RegisterService("test", extendedService())
	ts.accept(t.Context(), b)
	p := &filePeer{t: t, conn: a}
	t.Cleanup(func() { closeFiles(p.files) })
	h := peerHello()
	h.Files = true
	p.send(frameBytes(1, messageTypeRequest, 0, helloRequest(t, h.Append(nil))))
	p.read()
	ts.mu.Lock()
	var c *conn
	for c = range ts.connections {
	}
	ts.mu.Unlock()
	f(t, p, c)
}

// send writes bytes with files.
func (p *filePeer) send(b []byte, files ...*os.File) {
	p.t.Helper()
	if n, err := sendTo(p.conn, b, files); err != nil || n != len(b) {
		p.t.Fatalf("%d of %d bytes are sent: %v", n, len(b), err)
	}
}

func sendTo(c *net.UnixConn, b []byte, files []*os.File) (int, error) {
	if len(files) == 0 {
		return c.Write(b) // all of it
	}
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	n, _, err := c.WriteMsgUnix(b, unix.UnixRights(fds...), nil)
	return n, err
}

// read returns the next frame; files that came with it are kept.
func (p *filePeer) read() rawFrame {
	p.t.Helper()
	fill := func(b []byte) {
		for at := 0; at < len(b); {
			control := make([]byte, controlSize())
			n, used, _, _, err := p.conn.ReadMsgUnix(b[at:], control)
			if err != nil || n == 0 {
				p.t.Fatalf("no frame came: %v", err)
			}
			at += n
			messages, _ := unix.ParseSocketControlMessage(control[:used])
			for _, m := range messages {
				fds, _ := unix.ParseUnixRights(&m)
				for _, fd := range fds {
					unix.CloseOnExec(fd)
					p.files = append(p.files, os.NewFile(uintptr(fd), "came"))
				}
			}
		}
	}
	b := make([]byte, messageHeaderLength)
	fill(b)
	h, _ := parseHeader(b)
	data := make([]byte, h.Length)
	fill(data)
	return rawFrame{h, data}
}

// TestFilesOnTheWire holds the example of PROTOCOL.md, and when descriptors leave.
func TestFilesOnTheWire(t *testing.T) {
	onFileServer(t, func(t *testing.T, p *filePeer, _ *conn) {
		files := numberedFiles(t, 3)
		request := encode(t, &Request{Service: "files", Method: "Reverse"})
		p.send(append(frameBytes(3, messageTypeFiles, 0, number(3)), frameBytes(3, messageTypeRequest, 0, request)...), files...)
		f := p.read()
		if want := raw(3, messageTypeFiles, 0, number(3)); f.messageHeader != want.messageHeader || string(f.data) != string(want.data) {
			t.Errorf("B51: %v %x comes before the answer", f.messageHeader, f.data)
		}
		if len(p.files) != 3 {
			t.Errorf("B51: %d descriptors have come with the files frame", len(p.files))
		}
		if f := p.read(); f.messageHeader != headerOf(0, 3, messageTypeResponse, 0) {
			t.Errorf("B51: the answer is %v", f.messageHeader)
		}
		wantNumbered(t, "B51", p.files, 2, 1, 0)
		p.files = nil
	})
}

// TestFilesArrive holds where files and bytes may stand: split at each byte, files of two
// messages in one write, before, between and after parts, and ahead of their frame.
func TestFilesArrive(t *testing.T) {
	onFileServer(t, func(t *testing.T, p *filePeer, _ *conn) {
		files := numberedFiles(t, 2)
		request := encode(t, &Request{Service: "files", Method: "Reverse"})
		id := uint32(1)
		want := func(rule string, want ...int) {
			t.Helper()
			for f := p.read(); f.Type != messageTypeResponse; f = p.read() {
			}
			wantNumbered(t, rule, p.files, want...)
			p.files = nil
		}
		build := func() []byte {
			id += 2
			return append(frameBytes(id, messageTypeFiles, 0, number(2)), frameBytes(id, messageTypeRequest, 0, request)...)
		}
		for cut := 1; cut < len(build()); cut++ {
			b := build()
			p.send(b[:cut], files...)
			p.send(b[cut:])
			want("B51: split in "+strconv.Itoa(cut), 1, 0)
		}
		p.send(frameBytes(0, messageTypePing, flagAnswer, make([]byte, 8)), files...) // with an earlier frame
		p.send(build())
		want("B51: with an earlier frame", 1, 0)
		more := numberedFiles(t, 4)
		p.send(append(build(), build()...), more...)
		got := map[uint32][]*os.File{} // answers come in any order
		for answers := 0; answers < 2; {
			switch f := p.read(); f.Type {
			case messageTypeFiles:
				got[f.StreamID], p.files = p.files[:2], p.files[2:]
			case messageTypeResponse:
				answers++
			}
		}
		wantNumbered(t, "B51: the first of two", got[id-2], 1, 0)
		wantNumbered(t, "B51: the second of two", got[id], 3, 2)
		for at := range 3 { // before, between, and after parts
			id += 2
			for i := range 3 {
				if i == at {
					p.send(frameBytes(id, messageTypeFiles, 0, number(2)), files...)
				}
				if i < 2 {
					p.send(frameBytes(id, messageTypePart, 0, request[3*i:3*i+3]))
				}
			}
			p.send(frameBytes(id, messageTypeRequest, 0, request[6:]))
			want("B51: around parts", 1, 0)
		}
	})
}

// TestFilesOfQueuedAnswers holds that each files frame has its own, also where many answers
// leave together because the peer did not read.
func TestFilesOfQueuedAnswers(t *testing.T) {
	onFileServer(t, func(t *testing.T, p *filePeer, c *conn) {
		large := encode(t, wrapperspb.String(string(make([]byte, 2<<20))))
		p.send(cutBytes(3, messageTypeRequest, encode(t, &Request{Service: "test", Method: "Echo", Payload: large})))
		files := numberedFiles(t, 10)
		request := encode(t, &Request{Service: "files", Method: "Reverse"})
		for i := range uint32(5) {
			id := 5 + 2*i
			p.send(append(frameBytes(id, messageTypeFiles, 0, number(2)), frameBytes(id, messageTypeRequest, 0, request)...), files[2*i:2*i+2]...)
		}
		for running := 1; running > 0; runtime.Gosched() { // until all have answered, behind the large one
			c.mu.Lock()
			running = len(c.streams) + 13 - int(extOf(c).lastPeer) // 13 is the last id
			c.mu.Unlock()
		}
		got := map[uint32][]*os.File{}
		for answers := 0; answers < 6; {
			switch f := p.read(); f.Type {
			case messageTypeFiles:
				if len(p.files) < 2 {
					t.Fatalf("B51: %d descriptors have come with a files frame", len(p.files))
				}
				got[f.StreamID], p.files = p.files[:2], p.files[2:]
			case messageTypeResponse:
				answers++
			}
		}
		for i := range 5 {
			wantNumbered(t, "B51", got[uint32(5+2*i)], 2*i+1, 2*i)
		}
	})
}

// TestFilesDropped holds that files of what is dropped are closed, and the connection lives.
func TestFilesDropped(t *testing.T) {
	files := func(id uint32) []byte { return frameBytes(id, messageTypeFiles, 0, number(1)) }
	for name, after := range map[string][]byte{
		"reset":                {},
		"a response":           frameBytes(3, messageTypeResponse, 0, nil),
		"data on a new id":     frameBytes(3, messageTypeData, 0, nil),
		"data with no message": frameBytes(3, messageTypeData, flagNoData, nil),
		"an unknown method":    frameBytes(3, messageTypeRequest, 0, encode(t, &Request{Service: "files", Method: "None"})),
		"too large":            cutBytes(3, messageTypeRequest, make([]byte, messageLengthMax+1)),
	} {
		t.Run(name, func(t *testing.T) {
			onFileServer(t, func(t *testing.T, p *filePeer, c *conn) {
				f := newWatchedFile(t)
				p.send(files(3), f.File)
				if name == "reset" {
					after = frameBytes(3, messageTypePart, flagReset, nil)
				}
				for len(after) > 0 {
					n := min(len(after), 10000)
					p.send(after[:n])
					after = after[n:]
				}
				f.wantClosed(t, "B51: "+name)
				p.wantAlive("B51: " + name)
			})
		})
	}
	t.Run("gone", func(t *testing.T) {
		onFileServer(t, func(t *testing.T, p *filePeer, _ *conn) {
			p.send(frameBytes(9, messageTypeRequest, 0, echoRequest(t)))
			p.read()
			for _, id := range []uint32{9, 7, 2} {
				f := newWatchedFile(t)
				p.send(files(id), f.File)
				f.wantClosed(t, "B51: an id that is gone, or nobody's")
			}
			p.wantAlive("B51")
		})
	})
}

// wantAlive requires that a ping is answered.
func (p *filePeer) wantAlive(rule string) {
	p.t.Helper()
	p.send(frameBytes(0, messageTypePing, 0, []byte("12345678")))
	for f := p.read(); f.Type != messageTypePing; f = p.read() {
	}
}

// TestFilesViolations holds what ends the connection, and that all that came is closed.
func TestFilesViolations(t *testing.T) {
	files := func(id, n uint32) []byte { return frameBytes(id, messageTypeFiles, 0, number(n)) }
	for name, test := range map[string]struct {
		with int // how many come with each frame
		send [][]byte
	}{
		"none announced":          {1, [][]byte{files(3, 0)}},
		"254 announced":           {200, [][]byte{frameBytes(0, 0x80, 0, nil), files(3, 254)}},
		"fewer than announced":    {1, [][]byte{files(3, 2)}},
		"none came":               {0, [][]byte{files(3, 1)}},
		"2^32-1 announced":        {1, [][]byte{files(3, 1<<32-1)}},
		"two for one message":     {1, [][]byte{files(3, 1), files(3, 1)}},
		"two around a part":       {1, [][]byte{files(3, 1), append(frameBytes(3, messageTypePart, 0, nil), files(3, 1)...)}},
		"1,013 wait":              {203, [][]byte{files(3, 203), files(5, 203), files(7, 203), files(9, 203), files(11, 203)}},
		"files of nobody's":       {200, [][]byte{frameBytes(0, 0x80, 0, nil), frameBytes(0, 0x80, 0, nil), frameBytes(0, 0x80, 0, nil)}},
		"the connection is ended": {1, [][]byte{files(3, 1), frameBytes(0, 0x7f, 0, nil)}},
	} {
		t.Run(name, func(t *testing.T) {
			onFileServer(t, func(t *testing.T, p *filePeer, c *conn) {
				f := newWatchedFile(t)
				for _, b := range test.send {
					if _, err := sendTo(p.conn, b, slices.Repeat([]*os.File{f.File}, test.with)); err != nil && !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
						t.Fatal(err)
					}
				}
				f.wantClosed(t, "B51: "+name)
				p.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
				if n, err := p.conn.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("B51: the connection lives: %d, %v", n, err)
				}
			})
		})
	}
	t.Run("1,218 nobody wants", func(t *testing.T) {
		onFileServer(t, func(t *testing.T, p *filePeer, _ *conn) {
			for i := range uint32(6) {
				f := newWatchedFile(t)
				p.send(frameBytes(3+2*i, messageTypeFiles, flagStream, number(203)), slices.Repeat([]*os.File{f.File}, 203)...)
				f.wantClosed(t, "B51: for a stream that there is not")
			}
			p.wantAlive("B51: they do not wait")
		})
	})
	t.Run("1,012 wait", func(t *testing.T) {
		onFileServer(t, func(t *testing.T, p *filePeer, _ *conn) {
			f := newWatchedFile(t)
			var limit unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 1200 {
				t.Skipf("only %d descriptors may be open, %v", limit.Cur, err)
			}
			for i := range uint32(4) {
				p.send(files(3+2*i, maxFiles), slices.Repeat([]*os.File{f.File}, maxFiles)...)
			}
			p.wantAlive("B51: 1,012 wait")
			for i := range uint32(4) {
				p.send(frameBytes(3+2*i, messageTypePart, flagReset, nil))
			}
			f.wantClosed(t, "B51: after resets")
			p.wantAlive("B51")
		})
	})
}

// TestFilesWithoutFeature holds that files are not taken where only one side has them.
func TestFilesWithoutFeature(t *testing.T) {
	a, b := unixPair(t)
	ts, _ := NewServer(WithServerExtensions(), WithServerLimits(Limits{Files: manyFiles}), WithServerLogger(new(countingLogger)))
	t.Cleanup(func() { ts.Close() })
	ts.RegisterService("test", extendedService())
	ts.accept(t.Context(), b)
	p := &filePeer{t: t, conn: a}
	h := peerHello()
	p.send(frameBytes(1, messageTypeRequest, 0, helloRequest(t, h.Append(nil))))
	p.read()
	f := newWatchedFile(t)
	ping := frameBytes(0, messageTypePing, 0, make([]byte, 8))
	if knowsPassRights(t) {
		if _, err := sendTo(p.conn, ping, []*os.File{f.File}); !errors.Is(err, unix.EPERM) {
			t.Errorf("B90: the kernel takes a file that nobody asks for: %v", err)
		}
		p.send(ping)
	} else {
		p.send(ping, f.File)
	}
	p.read()
	f.wantClosed(t, "B51: what is not asked for is closed")
	p.send(frameBytes(3, messageTypeFiles, 0, number(1)))
	if n, err := p.conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("B51: the connection lives: %d, %v", n, err)
	}
}

// knowsPassRights tells whether the kernel can refuse files for a socket.
func knowsPassRights(t *testing.T) bool {
	t.Helper()
	a, _ := unixPair(t)
	return newChannel(a).takeRights(true)
}

// TestFilesTruncated holds that control data which is cut off is an error that closes what
// came.
func TestFilesTruncated(t *testing.T) {
	a, b := unixPair(t)
	f := newWatchedFile(t)
	if _, err := sendTo(a, []byte("x"), slices.Repeat([]*os.File{f.File}, 20)); err != nil {
		t.Fatal(err)
	}
	before := openFiles(t)
	raw, err := b.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var files []int
	var recvErr error
	if err := raw.Read(func(fd uintptr) bool {
		_, files, recvErr = recvFiles(int(fd), make([]byte, 10), make([]byte, unix.CmsgSpace(4*10)))
		return recvErr != unix.EAGAIN
	}); err != nil {
		t.Fatal(err)
	}
	if recvErr != errFilesTruncated {
		t.Errorf("B51: %d files, %v", len(files), recvErr)
	}
	closing.dropOwn(files)
	if after := openFiles(t); after != before {
		t.Errorf("B51: %d descriptors before and %d after", before, after)
	}
	f.wantClosed(t, "B51: truncated")
}

// TestFilesOfLostConnection holds that what a handler has neither claimed nor sent is closed
// when its connection has ended.
func TestFilesOfLostConnection(t *testing.T) {
	p := newFilePair(t)
	f := newWatchedFile(t)
	claimed := make(chan struct{})
	p.server.Register("hold", map[string]Method{"Hold": func(ctx context.Context, _ func(any) error) (any, error) {
		files, err := FilesFromContext(ctx)
		close(claimed)
		<-ctx.Done() // and does not claim them
		return nil, errors.Join(err, files.Attach(f.File))
	}})
	ctx, files := WithFiles(t.Context())
	if err := files.Attach(f.File); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- p.client.Call(ctx, "hold", "Hold", wrapperspb.String(""), new(wrapperspb.StringValue))
	}()
	<-claimed
	p.client.Close()
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("B51: %v", err)
	}
	f.wantClosed(t, "B51: the connection has ended")
}

// TestFilesOfCutMessages holds that the files of a message are closed, and its memory goes,
// if that ends while a part of it is being written, which the peer does not read.
func TestFilesOfCutMessages(t *testing.T) {
	for name, end := range map[string]func(*filePeer, *conn){
		"closed":    func(_ *filePeer, c *conn) { c.close(ErrClosed) },
		"lost":      func(p *filePeer, _ *conn) { p.conn.Close() },
		"cancelled": func(p *filePeer, _ *conn) { p.send(frameBytes(3, messageTypeCancel, 0, nil)) },
	} {
		t.Run(name, func(t *testing.T) {
			onFileServer(t, func(t *testing.T, p *filePeer, c *conn) {
				f := newWatchedFile(t)
				request := encode(t, &Request{Service: "files", Method: "Enlarge"})
				p.send(append(frameBytes(3, messageTypeFiles, 0, number(1)), frameBytes(3, messageTypeRequest, 0, request)...), f.File)
				cuts := func() bool {
					c.mu.Lock()
					defer c.mu.Unlock()
					return extOf(c).cut != nil
				}
				await(t, "B51: a part", cuts)
				end(p, c)
				if f.wantClosed(t, "B51: "+name); t.Failed() {
					return
				}
				c.close(ErrClosed)
				await(t, "B51: the message is not kept", func() bool { return !cuts() })
			})
		})
	}
}

// TestSocketIsEmptied holds that what a socket has received before it is closed is taken out
// of it, however many reads that takes.
func TestSocketIsEmptied(t *testing.T) {
	a, b := unixPair(t)
	var sent [3]watchedFile
	for i := range sent {
		sent[i] = newWatchedFile(t)
		if n, err := sendTo(a, []byte("something"), []*os.File{sent[i].File}); n != 9 || err != nil {
			t.Fatalf("%d bytes are sent: %v", n, err)
		}
	}
	s := newSocket(b)
	emptySocket(s, closing.account(manyFiles, nil))
	for _, f := range sent {
		f.wantClosed(t, "B91: before the socket is")
	}
	s.raw.Control(func(fd uintptr) {
		if n, fds, err := recvFiles(int(fd), make([]byte, 100), make([]byte, controlSize())); n != 0 || fds != nil || err != nil {
			t.Errorf("B91: %d bytes and the files %v are still there: %v", n, fds, err)
		}
	})
}

// TestFilesOfDroppedPartAreNotHeld holds that files whose message is dropped with a part of it
// do not count as waiting.
func TestFilesOfDroppedPartAreNotHeld(t *testing.T) {
	_, b := unixPair(t)
	f := newWatchedFile(t)
	fd, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	a := newAssembler(true)
	a.files, a.arrived = closing.account(manyFiles, nil), []int{fd}
	if err := a.assign(3, 1, true); err != nil || a.held != 1 {
		t.Fatalf("B51: %d files are held: %v", a.held, err)
	}
	a.takePart(newChannel(b), messageHeader{StreamID: 3, Type: messageTypePart}, false)
	if a.held != 0 {
		t.Errorf("B51: %d files are held of a message that is dropped", a.held)
	}
	f.wantClosed(t, "B51")
}

// cutBytes is frameBytes in parts.
func cutBytes(id uint32, t messageType, data []byte) (b []byte) {
	for ; len(data) > partSize; data = data[partSize:] {
		b = append(b, frameBytes(id, messageTypePart, 0, data[:partSize])...)
	}
	return append(b, frameBytes(id, t, 0, data)...)
}
