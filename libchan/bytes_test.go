// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// sentOver sends one value over a new session and returns what arrives.
func sentOver[T any](t *testing.T, v T) (got T) {
	t.Helper()
	near, far := sessions(t)
	out, in := top(t, near, far)
	must(t, out.Send(&v))
	must(t, in.Receive(&got))
	return got
}

// streamWays are those in which the two ends of a byte stream get to where they are.
var streamWays = map[string]func(t *testing.T) (a, b ByteStream){
	"in memory": func(t *testing.T) (a, b ByteStream) { return NewByteStream() },
	"sent away": func(t *testing.T) (a, b ByteStream) {
		a, b = NewByteStream()
		return a, sentOver(t, b)
	},
	"both sent away": func(t *testing.T) (a, b ByteStream) {
		a, b = NewByteStream()
		return sentOver(t, a), sentOver(t, b)
	},
	"sent back": func(t *testing.T) (a, b ByteStream) {
		a, b = NewByteStream()
		near, far := sessions(t)
		there, in := top(t, near, far)
		back, out := top(t, far, near)
		must(t, there.Send(b))
		must(t, in.Receive(&b))
		must(t, back.Send(b))
		must(t, out.Receive(&b))
		return a, b
	},
	"passed on twice": func(t *testing.T) (a, b ByteStream) {
		a, b = NewByteStream()
		return a, sentOver(t, sentOver(t, sentOver(t, b)))
	},
	"passed on undecoded": func(t *testing.T) (a, b ByteStream) {
		a, b = NewByteStream()
		near, mid := sessions(t)
		mid2, far := sessions(t)
		out, in := top(t, near, mid)
		out2, in2 := top(t, mid2, far)
		must(t, out.Send(b))
		must(t, out.Close())
		if n, err := Copy(out2, in); n != 1 || err != nil {
			t.Fatalf("L5: copied %d, %v", n, err)
		}
		must(t, in2.Receive(&b))
		return a, b
	},
}

func eachStreamWay(t *testing.T, f func(t *testing.T, a, b ByteStream)) {
	for name, make := range streamWays {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				a, b := make(t)
				f(t, a, b)
			})
		})
	}
}

// L3, L5: bytes arrive both ways at once, in order, and after a half-close the other direction
// goes on.
func TestByteStream(t *testing.T) {
	eachStreamWay(t, func(t *testing.T, a, b ByteStream) {
		want := make([]byte, 3<<20)
		rand.New(rand.NewSource(1)).Read(want)
		failed := make(chan error, 4)
		for _, ends := range [][2]ByteStream{{a, b}, {b, a}} {
			go func() {
				rest := want
				for size := 1; len(rest) > 0; size = size*3 + 1 {
					size = min(size, len(rest))
					n, err := ends[0].Write(rest[:size])
					if n != size || err != nil {
						t.Errorf("L3: wrote %d of %d, %v", n, size, err)
						break
					}
					rest = rest[size:]
				}
				failed <- ends[0].CloseWrite()
			}()
			go func() {
				got := make([]byte, len(want))
				_, err := io.ReadFull(ends[1], got)
				if !bytes.Equal(got, want) {
					t.Error("L3: other bytes arrive than were written")
				}
				if n, err := ends[1].Read(got); n != 0 || err != io.EOF {
					t.Errorf("L3: after the half-close %d, %v, want io.EOF", n, err)
				}
				failed <- err
			}()
		}
		for range 4 {
			must(t, <-failed)
		}
		for _, s := range []ByteStream{a, b} {
			must(t, s.Close())
			must(t, s.Close())
		}
	})
}

// L3: a half-close ends one direction, and an answer still comes by the other.
func TestHalfClose(t *testing.T) {
	eachStreamWay(t, func(t *testing.T, a, b ByteStream) {
		_, err := a.Write([]byte("question"))
		must(t, err)
		must(t, a.CloseWrite())
		got, err := io.ReadAll(b)
		if string(got) != "question" || err != nil {
			t.Errorf("L3: read %q, %v", got, err)
		}
		if _, err := a.Write([]byte("more")); !errors.Is(err, net.ErrClosed) || !errors.Is(err, ErrClosed) {
			t.Errorf("L3: Write after CloseWrite: %v, want net.ErrClosed", err)
		}
		_, err = b.Write([]byte("answer"))
		must(t, err)
		must(t, b.Close())
		var out bytes.Buffer
		if n, err := io.Copy(&out, a); n != 6 || err != nil || out.String() != "answer" {
			t.Errorf("L3: copied %q, %d, %v", &out, n, err)
		}
	})
}

// L3: errors say what happened at the other end, after all that was written before.
func TestStreamErrors(t *testing.T) {
	eachStreamWay(t, func(t *testing.T, a, b ByteStream) {
		_, err := a.Write([]byte("all of it"))
		must(t, err)
		must(t, a.CloseWithError(status.Error(codes.DataLoss, "the disk is gone")))
		got, err := io.ReadAll(b)
		if string(got) != "all of it" || status.Code(err) != codes.DataLoss || status.Convert(err).Message() != "the disk is gone" {
			t.Errorf("L3: read %q, %v, want all and the error", got, err)
		}
		for err = nil; err == nil; synctest.Wait() { // what is under way when it ends is lost
			_, err = b.Write([]byte("x"))
		}
		if status.Code(err) != codes.DataLoss {
			t.Errorf("L3: Write to who has ended with an error: %v, want it", err)
		}
		for what, err := range map[string]error{"Read": second(a.Read(make([]byte, 1))), "Write": second(a.Write([]byte("x")))} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("L3: own %s after the end: %v, want net.ErrClosed", what, err)
			}
		}
	})
	eachStreamWay(t, func(t *testing.T, a, b ByteStream) {
		blocked := make(chan error)
		go func() {
			for {
				if _, err := a.Write(make([]byte, 100_000)); err != nil {
					blocked <- err
					return
				}
			}
		}()
		synctest.Wait()
		must(t, b.Close())
		if err := <-blocked; !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("L3: a blocked Write whose reader closes: %v, want io.ErrClosedPipe", err)
		}
		if n, err := a.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("L3: Read of who was closed: %d, %v, want io.EOF", n, err)
		}
	})
}

func second(_ int, err error) error { return err }

// L3: who does not read stops the writer, within bounds, and nobody else.
func TestStreamBackpressure(t *testing.T) {
	eachStreamWay(t, func(t *testing.T, a, b ByteStream) {
		const size = 4 << 20
		written := 0
		_, err := b.Write([]byte("other way")) // before somebody reads or writes, nothing is attached
		must(t, err)
		_, err = a.Write([]byte("x"))
		must(t, err)
		_, err = b.Read(make([]byte, 1))
		must(t, err)
		go func() {
			for written < size {
				n, err := a.Write(make([]byte, 10_000))
				if written += n; err != nil {
					t.Errorf("Write: %v", err)
					return
				}
			}
			a.CloseWrite()
		}()
		synctest.Wait()
		if written >= size {
			t.Errorf("L3: %d bytes were written that nobody reads", written)
		}
		buf := make([]byte, 9)
		_, err = io.ReadFull(a, buf)
		must(t, err)
		n, err := io.Copy(io.Discard, b)
		if int(n) != written || err != nil {
			t.Errorf("L3: %d bytes were read, %v, want %d", n, err, written)
		}
	})
}

// L3: deadlines are those of net.Conn, and the stream is good after them.
func TestStreamDeadlines(t *testing.T) {
	eachStreamWay(t, func(t *testing.T, a, b ByteStream) {
		start := time.Now()
		must(t, a.SetReadDeadline(start.Add(time.Minute)))
		n, err := a.Read(make([]byte, 1))
		var timeout net.Error
		if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(start) != time.Minute {
			t.Errorf("L3: Read: %d, %v after %v, want the deadline after a minute", n, err, time.Since(start))
		}
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("L3: Read after the deadline: %v", err)
		}
		must(t, a.SetDeadline(time.Now().Add(time.Second)))
		total, err := 0, error(nil)
		for err == nil {
			var n int
			n, err = a.Write(make([]byte, 100_000))
			total += n
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("L3: a blocked Write: %v, want the deadline", err)
		}
		must(t, a.SetDeadline(time.Time{}))

		// A deadline that is set while somebody waits, moved, and passed.
		result := make(chan error)
		go func() { result <- second(a.Read(make([]byte, 1))) }()
		synctest.Wait()
		must(t, a.SetReadDeadline(time.Now().Add(time.Second)))
		must(t, a.SetReadDeadline(time.Now().Add(time.Hour)))
		time.Sleep(time.Minute)
		if len(result) > 0 {
			t.Errorf("L3: Read returns %v before its deadline", <-result)
		}
		must(t, a.SetReadDeadline(time.Now().Add(-time.Second)))
		if err := <-result; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("L3: a Read whose deadline is set to the past: %v", err)
		}
		must(t, a.SetDeadline(time.Now().Add(time.Second)))
		must(t, a.SetDeadline(time.Time{}))
		time.Sleep(time.Minute)
		go func() {
			io.CopyN(io.Discard, b, int64(total))
			b.Write([]byte("still good"))
			b.Close()
		}()
		got, err := io.ReadAll(a)
		if string(got) != "still good" || err != nil {
			t.Errorf("L3: read %q, %v", got, err)
		}
	})
}

// L3: the rest of what was read in part moves with the stream, before what follows.
func TestHalfReadMoves(t *testing.T) {
	eachStreamWay(t, func(t *testing.T, a, b ByteStream) {
		_, err := a.Write([]byte("first and second, "))
		must(t, err)
		_, err = a.Write([]byte("third"))
		must(t, err)
		must(t, a.Close())
		buf := make([]byte, 10)
		_, err = io.ReadFull(b, buf)
		must(t, err)
		moved := sentOver(t, b)
		rest, err := io.ReadAll(moved)
		if string(buf)+string(rest) != "first and second, third" || err != nil {
			t.Errorf("L3: read %q, and %q elsewhere, %v", buf, rest, err)
		}
		if _, err := b.Read(buf); !errors.Is(err, ErrGivenAway) {
			t.Errorf("L3: Read of what was given away: %v, want ErrGivenAway", err)
		}
		if _, err := b.Write(buf); !errors.Is(err, ErrGivenAway) {
			t.Errorf("L3: Write of what was given away: %v, want ErrGivenAway", err)
		}
		moved.Close()
	})
}

// A stream that somebody reads and writes at this moment can be given away.
func TestStreamGivenAwayWhileUsed(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		a, b := NewByteStream()
		results := make(chan error)
		go func() { results <- second(b.Read(make([]byte, 1))) }()
		go func() {
			for {
				if _, err := b.Write(make([]byte, 1000)); err != nil {
					results <- err
					return
				}
			}
		}()
		synctest.Wait()
		must(t, out.Send(b))
		for range 2 {
			if err := <-results; !errors.Is(err, ErrGivenAway) {
				t.Errorf("who used the stream gets %v, want ErrGivenAway", err)
			}
		}
		must(t, in.Receive(&b))
		must(t, b.Close())
		n, err := io.Copy(io.Discard, a)
		if n == 0 || n%1000 != 0 || err != nil {
			t.Errorf("read %d, %v", n, err)
		}
	})
}

// L3: of a stream one direction can be sent, and the other stays.
func TestOneDirection(t *testing.T) {
	type command struct {
		In  io.Reader
		Out io.WriteCloser
		Any any
	}
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		a, b := NewByteStream()
		x, y := NewByteStream()
		must(t, out.Send(command{b, b, y}))
		var got command
		must(t, in.Receive(&got))
		go func() {
			io.Copy(got.Out, got.In)
			got.Out.Close()
		}()
		_, err := a.Write([]byte("echo"))
		must(t, err)
		must(t, a.CloseWrite())
		if echo, err := io.ReadAll(a); string(echo) != "echo" || err != nil {
			t.Errorf("L3: read %q, %v", echo, err)
		}
		if _, err := got.In.(io.Writer).Write([]byte("x")); err == nil {
			t.Error("L3: what was sent as an io.Reader can be written")
		}
		if _, err := got.Out.(io.Reader).Read(make([]byte, 1)); err == nil {
			t.Error("L3: what was sent as an io.Writer can be read")
		}
		go func() {
			io.Copy(got.Any.(io.Writer), got.Any.(io.Reader))
			got.Any.(io.Closer).Close()
		}()
		_, err = x.Write([]byte("any"))
		must(t, err)
		must(t, x.CloseWrite())
		if echo, err := io.ReadAll(x); string(echo) != "any" || err != nil {
			t.Errorf("L3: read %q, %v", echo, err)
		}
		synctest.Wait()
		if n := tables(near, far); n != 2 { // the top-level channel
			t.Errorf("%d entries in tables, want 2", n)
		}
	})
}

// A stream ends when its session does, and says so; what has arrived is read before.
func TestStreamSessionEnds(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		a, b := NewByteStream()
		must(t, out.Send(b))
		must(t, in.Receive(&b))
		_, err := b.Write([]byte("x"))
		must(t, err)
		_, err = a.Write([]byte("arrived"))
		must(t, err)
		buf := make([]byte, 3)
		_, err = io.ReadFull(b, buf)
		must(t, err)
		near.Close()
		synctest.Wait()
		rest, err := io.ReadAll(b)
		if string(buf)+string(rest) != "arrived" || !errors.Is(err, ErrSessionEnded) || errors.Is(err, io.EOF) {
			t.Errorf("L3: read %q and %q, %v, want all and ErrSessionEnded, which is not io.EOF", buf, rest, err)
		}
		if _, err := b.Write([]byte("x")); !errors.Is(err, ErrSessionEnded) {
			t.Errorf("L3: Write: %v, want ErrSessionEnded", err)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, ErrSessionEnded) {
			t.Errorf("L3: Write at the side that has closed: %v, want ErrSessionEnded", err)
		}
	})
}

// L6: who looks for io.EOF by errors.Is does not take a session that was lost, which is io.EOF to
// the session, for the end that the sender has made.
func TestLostIsNotTheEnd(t *testing.T) {
	for _, cause := range []error{io.EOF, fmt.Errorf("it has ended: %w", io.EOF), io.ErrUnexpectedEOF, ErrClosed} {
		err := sessionError(cause)
		if !errors.Is(err, ErrSessionEnded) || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), cause.Error()) {
			t.Errorf("L6: of a session that ends with %q all that waits ends with %q", cause, err)
		}
		if !errors.Is(cause, io.EOF) && !errors.Is(err, cause) {
			t.Errorf("L6: %q lacks its cause", err)
		}
	}
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		_, in := top(t, near, far)
		near.Close()
		var v any
		if err := in.Receive(&v); !errors.Is(err, ErrSessionEnded) || errors.Is(err, io.EOF) {
			t.Errorf("L6: Receive when the session is lost: %v", err)
		}
	})
}

// L4: a stream that was sent as a connection has its addresses.
func TestStreamAddresses(t *testing.T) {
	within(t, func(t *testing.T) {
		a, b := NewByteStream()
		if b.LocalAddr().Network() != "libchan" || b.RemoteAddr().String() == "" {
			t.Errorf("L4: a stream in memory has the addresses %v and %v", b.LocalAddr(), b.RemoteAddr())
		}
		conn := &addressed{a, address{"tcp", "10.0.0.1:80"}, address{"tcp", "10.0.0.2:1234"}}
		got := sentOver(t, sentOver[net.Conn](t, conn))
		if got.LocalAddr().String() != "10.0.0.1:80" || got.RemoteAddr().String() != "10.0.0.2:1234" || got.LocalAddr().Network() != "tcp" {
			t.Errorf("L4: a connection arrives with the addresses %v and %v", got.LocalAddr(), got.RemoteAddr())
		}
		must(t, got.Close())
		b.Close()
		a.Close()
	})
}

type addressed struct {
	net.Conn
	local, remote net.Addr
}

func (c *addressed) LocalAddr() net.Addr  { return c.local }
func (c *addressed) RemoteAddr() net.Addr { return c.remote }
