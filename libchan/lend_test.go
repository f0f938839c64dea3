// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

type ioFields struct {
	R   io.Reader
	W   io.Writer
	RC  io.ReadCloser
	WC  io.WriteCloser
	RW  io.ReadWriter
	RWC io.ReadWriteCloser
	C   net.Conn
	B   ByteStream
	A   any
}

// L4: in memory the very value arrives.
func TestValueInMemory(t *testing.T) {
	within(t, func(t *testing.T) {
		r, s := Pipe()
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		reader := strings.NewReader("x")
		sent := ioFields{R: reader, W: b, RC: b, WC: b, RW: b, RWC: b, C: b, A: b}
		must(t, s.Send(sent))
		var got ioFields
		must(t, r.Receive(&got))
		if !reflect.DeepEqual(got, sent) {
			t.Errorf("L4: received %v, want the very %v", got, sent)
		}
		must(t, s.Send(os.Stderr))
		var f any
		must(t, r.Receive(&f))
		if f != any(os.Stderr) {
			t.Errorf("L4: received %v, want os.Stderr itself", f)
		}
		// Less than all of it, by its field's type.
		must(t, s.Send(struct{ X io.Reader }{b}))
		var more struct{ X io.ReadWriter }
		if err := r.Receive(&more); err == nil || !strings.Contains(err.Error(), "X") {
			t.Errorf("L4: an io.Reader is received as an io.ReadWriter: %v", err)
		}
		// A type that it is not.
		must(t, s.Send(struct{ X any }{reader}))
		var stream struct{ X io.ReadCloser }
		must(t, r.Receive(&stream))
		if got, err := io.ReadAll(stream.X); string(got) != "x" || err != nil {
			t.Errorf("L4: read %q, %v", got, err)
		}
		must(t, stream.X.Close())
	})
}

// A closeTeller is a Writer that must not be closed, though its writing half may.
type closeTeller struct {
	bytes.Buffer
	closed     bool
	halfClosed chan bool
}

func (c *closeTeller) Close() error      { c.closed = true; return nil }
func (c *closeTeller) CloseWrite() error { c.halfClosed <- true; return nil }

// L3: what is of another type is lent, one way or both, and not closed.
func TestLent(t *testing.T) {
	type fields struct {
		In  io.Reader
		Out io.Writer
	}
	within(t, func(t *testing.T) {
		out := &closeTeller{halfClosed: make(chan bool, 1)}
		want := strings.Repeat("all that is read ", 50_000)
		in := struct {
			io.Reader
			io.Closer
		}{strings.NewReader(want), out}
		got := sentOver(t, sentOver(t, fields{in, out}))
		n, err := io.Copy(got.Out, got.In)
		if int(n) != len(want) || err != nil {
			t.Errorf("L3: copied %d, %v, want %d", n, err, len(want))
		}
		must(t, got.Out.(io.Closer).Close())
		<-out.halfClosed
		if out.String() != want {
			t.Errorf("L3: %d bytes arrived, want %d", out.Len(), len(want))
		}
		if out.closed {
			t.Error("L3: what was lent was closed")
		}
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

// L3: an error of what was lent is what the other end gets.
func TestLentFails(t *testing.T) {
	within(t, func(t *testing.T) {
		got := sentOver[io.ReadWriter](t, failing{errors.New("the disk is full")})
		if _, err := io.ReadAll(got); err == nil || err.Error() != "the disk is full" {
			t.Errorf("L3: Read: %v, want the error of what was lent", err)
		}
		var err error
		for ; err == nil; synctest.Wait() {
			_, err = got.Write([]byte("x"))
		}
		if err.Error() != "the disk is full" {
			t.Errorf("L3: Write: %v, want the error of what was lent", err)
		}
	})
}

// L3: a loan ends with the other end or the session, though it waits in a Read or Write; what
// was lent is good then, and has no deadline. The bubble tells of goroutines that are left.
func TestLoanEnds(t *testing.T) {
	for name, end := range map[string]func(got net.Conn, s *Session){
		"closed":          func(got net.Conn, _ *Session) { got.Close() },
		"closed in anger": func(got net.Conn, _ *Session) { got.(ByteStream).CloseWithError(errors.New("enough")) },
		"session ended":   func(_ net.Conn, s *Session) { s.Close() },
	} {
		for _, before := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				within(t, func(t *testing.T) {
					near, far := sessions(t)
					out, in := top(t, near, far)
					a, b := net.Pipe()
					must(t, out.Send(struct{ C net.Conn }{a}))
					var got struct{ C net.Conn }
					must(t, in.Receive(&got))
					if !before {
						_, err := got.C.Write([]byte("hello"))
						must(t, err)
						_, err = io.ReadFull(b, make([]byte, 5))
						must(t, err)
						must(t, got.C.SetReadDeadline(time.Now().Add(time.Second)))
						if _, err := got.C.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
							t.Errorf("Read: %v, want the deadline", err)
						}
						_, err = got.C.Write([]byte("nobody reads this"))
						must(t, err)
					}
					synctest.Wait()
					end(got.C, far)
					time.Sleep(time.Minute)
					if name != "session ended" && !before { // what was written before still comes
						rest := make([]byte, len("nobody reads this"))
						if _, err := io.ReadFull(b, rest); err != nil || string(rest) != "nobody reads this" {
							t.Errorf("L3: read %q, %v", rest, err)
						}
					}
					go b.Write([]byte("x"))
					buf := make([]byte, 1)
					if _, err := io.ReadFull(a, buf); err != nil || buf[0] != 'x' {
						t.Errorf("L3: Read of what was lent: %q, %v", buf, err)
					}
					go io.ReadFull(b, buf)
					if _, err := a.Write(buf); err != nil {
						t.Errorf("L3: Write of what was lent: %v", err)
					}
					a.Close()
					b.Close()
				})
			})
		}
	}
}

// Review "ownership": what was not sent, or not taken, has not been touched.
func TestNotSentIsNotTouched(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		reader := strings.NewReader("all of it")
		a, b := NewByteStream()
		fields := struct {
			R io.Reader
			B io.ReadWriter
			F func()
		}{R: reader, B: b, F: func() {}}
		err := out.Send(fields)
		if err == nil || !strings.Contains(err.Error(), "F") {
			t.Errorf("Send of a func: %v, want an error that names the field", err)
		}
		must(t, out.Send(struct{ R io.Reader }{reader}))
		must(t, in.Receive(&struct{ N int }{}))
		synctest.Wait()
		in.Cancel(errors.New("enough"))
		synctest.Wait()
		if err := out.Send(struct {
			R io.Reader
			B any
		}{reader, b}); err == nil {
			t.Error("Send to who takes no more succeeds")
		}
		if rest, err := io.ReadAll(reader); string(rest) != "all of it" || err != nil {
			t.Errorf("L3: what was not sent, or not taken, has %q left, %v", rest, err)
		}
		go a.Write([]byte("good"))
		buf := make([]byte, 4)
		if _, err := io.ReadFull(b, buf); err != nil {
			t.Errorf("L3: a stream that was not sent: %v", err)
		}
		a.Close()
		b.Close()
	})
}

// A user's mistake is an error that names the field.
func TestFieldIsNamed(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		a, b := NewByteStream()
		defer a.Close()
		must(t, out.Send(struct{ Given ByteStream }{b}))
		for name, v := range map[string]any{
			"Given away": struct{ Given ByteStream }{b},
			"one half":   struct{ Given io.Reader }{b},
		} {
			if err := out.Send(v); !errors.Is(err, ErrGivenAway) || !strings.Contains(err.Error(), "Given") {
				t.Errorf("%s: %v, want ErrGivenAway and the field's name", name, err)
			}
		}
		for _, into := range []any{
			&struct{ Given Sender }{}, &struct{ Given RecvChan[int] }{}, &struct{ Given net.Listener }{},
			&struct{ Given int }{}, &struct{ Given *net.TCPConn }{},
		} {
			err := in.Receive(into)
			if err == nil || !strings.Contains(err.Error(), "Given") {
				t.Errorf("received into %T: %v, want an error that names the field", into, err)
			}
			c, d := NewByteStream()
			must(t, out.Send(struct{ Given ByteStream }{d}))
			c.Close()
		}
		must(t, in.Receive(&struct{ Given io.Reader }{}))
		must(t, out.Send(struct{ Given io.Reader }{strings.NewReader("x")}))
		if err := in.Receive(&struct{ Given net.Conn }{}); err == nil || !strings.Contains(err.Error(), "Given: ") || !strings.Contains(err.Error(), "to read") {
			t.Errorf("a stream to read is received as a net.Conn: %v", err)
		}
		_, s := Pipe()
		must(t, out.Send(struct{ Given Sender }{s}))
		if err := in.Receive(&struct{ Given io.Writer }{}); err == nil || !strings.Contains(err.Error(), "a sending end does not fit") {
			t.Errorf("a Sender is received as an io.Writer: %v", err)
		}
		receiver, _ := Pipe()
		must(t, out.Send(struct{ N int }{1}))
		must(t, in.Receive(&struct{ N int }{}))
		_ = receiver
	})
}

// L3: io.Pipe, the classic of the old library's users.
func TestIOPipe(t *testing.T) {
	within(t, func(t *testing.T) {
		pr, pw := io.Pipe()
		got := sentOver[io.ReadCloser](t, pr)
		go func() {
			pw.Write([]byte("through"))
			pw.Close()
		}()
		all, err := io.ReadAll(got)
		if string(all) != "through" || err != nil {
			t.Errorf("L3: read %q, %v", all, err)
		}
	})
}
