// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// A shortConn is one whose Write takes less than it is given, and does not say why.
type shortConn struct {
	net.Conn
	most   int
	stream bool
}

func (c shortConn) Write(b []byte) (int, error) { return c.Conn.Write(b[:min(len(b), c.most)]) }

func (c shortConn) IsByteStream() bool { return c.stream }

// TestShortWrite holds that such a conn is lost, whether it is written in packets or not.
func TestShortWrite(t *testing.T) {
	for name, test := range map[string]struct {
		stream  bool
		request int
	}{
		"a byte stream":               {true, 300},
		"packets":                     {false, 300},
		"the first packet of several": {false, 2 * packetSize},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := memconn.Pipe(0)
				defer b.Close()
				c := NewClient(shortConn{a, 100, test.stream})
				err := c.Call(context.Background(), "test", "Method", bytesOfLength(t, test.request), new(wrapperspb.StringValue))
				if err != ErrClosed || c.Cause() != io.ErrShortWrite {
					t.Errorf("B5: a call on a conn that writes too little: %v, cause %v", err, c.Cause())
				}
				<-c.Done()
			})
		})
	}
}

// An emptyConn is one whose Read gives nothing, and does not say why.
type emptyConn struct {
	net.Conn
	reads int
}

func (c *emptyConn) Read([]byte) (int, error) {
	c.reads++
	return 0, nil
}

// TestEmptyReads holds that the reader does not go on for ever with such a conn.
func TestEmptyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(0)
		defer b.Close()
		nc := &emptyConn{Conn: a}
		c := NewClient(nc)
		<-c.Done()
		if c.Cause() != io.ErrNoProgress || nc.reads != maxEmptyReads {
			t.Errorf("B5: a conn that reads nothing: cause %v after %d reads", c.Cause(), nc.reads)
		}
	})
}

// A silentContext is one that ends and does not say why, against what contexts promise.
type silentContext struct {
	context.Context
	done chan struct{}
}

func (c silentContext) Done() <-chan struct{} { return c.done }
func (c silentContext) Err() error            { return nil }

// TestSilentContext holds that whoever waits with such a context returns an error.
func TestSilentContext(t *testing.T) {
	onBothModes(t, func(t *testing.T, extended bool) {
		var opts []ClientOpts
		var serverOpts []ServerOpt
		if extended {
			opts, serverOpts = append(opts, WithExtensions()), append(serverOpts, WithServerExtensions())
		}
		ts := newTestServer(t, serverOpts...)
		a, b := memconn.Pipe(0)
		ts.add(t, b)
		c := NewClient(a, opts...)
		defer c.Close()
		ctx := silentContext{context.Background(), make(chan struct{})}
		s, err := c.NewStream(ctx, bidi, "test", "Bidi", nil)
		other, otherErr := c.NewStream(t.Context(), bidi, "test", "Bidi", nil)
		if err := errors.Join(err, otherErr); err != nil {
			t.Fatal(err)
		}
		results := map[string]chan error{"a call": make(chan error, 1), "a stream": make(chan error, 1), "a bounded receive": make(chan error, 1), "a shutdown": make(chan error, 1)}
		go func() {
			results["a call"] <- c.Call(ctx, "test", "Wait", wrapperspb.String(""), new(wrapperspb.StringValue))
		}()
		go func() { results["a stream"] <- s.RecvMsg(new(wrapperspb.StringValue)) }()
		go func() { results["a bounded receive"] <- other.RecvMsg(Within(ctx, new(wrapperspb.StringValue))) }()
		synctest.Wait()
		go func() { results["a shutdown"] <- c.Shutdown(ctx) }()
		synctest.Wait()
		close(ctx.done)
		for name, result := range results {
			if err := <-result; !errors.Is(err, context.Canceled) {
				t.Errorf("B18: %s whose context has ended without an error: %v", name, err)
			}
		}
		<-ts.contexts
		ts.answers <- nil
	})
}

// TestSilentContextOfServer is the same for the context of ServeConn, and who waits for a
// connection or for an answer to Hello.
func TestSilentContextOfServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := silentContext{context.Background(), make(chan struct{})}
		ts := newTestServer(t)
		a, b := memconn.Pipe(0)
		results := map[string]chan error{"ServeConn": make(chan error, 1), "a call that waits for Hello": make(chan error, 1), "a call that waits for a connection": make(chan error, 1)}
		go func() { results["ServeConn"] <- ts.ServeConn(ctx, b) }()
		served := NewClient(a)
		defer served.Close()
		waiting := goCallOf(t.Context(), served, "Wait")
		d := <-ts.contexts

		near, far := memconn.Pipe(0)
		defer far.Close()
		asking := NewClient(near, WithExtensions())
		defer asking.Close()
		go func() { results["a call that waits for Hello"] <- <-goCallOf(ctx, asking, "Wait") }()
		dialling, err := Dial("nowhere", WithDialer(Dialer{Dial: func(ctx context.Context, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}))
		if err != nil {
			t.Fatal(err)
		}
		defer dialling.Close()
		go func() { results["a call that waits for a connection"] <- <-goCallOf(ctx, dialling, "Wait") }()
		synctest.Wait()
		close(ctx.done)
		for name, result := range results {
			if err := <-result; !errors.Is(err, context.Canceled) {
				t.Errorf("B18: %s, whose context has ended without an error: %v", name, err)
			}
		}
		if <-d.Done(); d.Err() != context.Canceled {
			t.Errorf("B18: the context of a handler: %v", d.Err())
		}
		ts.answers <- nil
		if err := <-waiting; err != ErrClosed {
			t.Errorf("B1: %v", err)
		}
	})
}

func goCallOf(ctx context.Context, c *Client, method string) <-chan error {
	done := make(chan error, 1)
	go func() { done <- c.Call(ctx, "test", method, wrapperspb.String(""), new(wrapperspb.StringValue)) }()
	return done
}

// TestShutdownInOnClose holds that Shutdown waits for the connection, and not for the
// function that may have called it.
func TestShutdownInOnClose(t *testing.T) {
	onBothModes(t, func(t *testing.T, extended bool) {
		result := make(chan error, 1)
		made := make(chan *Client, 1)
		opts := []ClientOpts{WithOnClose(func() { result <- (<-made).Shutdown(context.Background()) })}
		if extended {
			opts = append(opts, WithExtensions())
		}
		a, b := memconn.Pipe(0)
		defer b.Close()
		c := NewClient(a, opts...)
		made <- c
		c.Close()
		if err := <-result; err != nil {
			t.Errorf("B12: Shutdown in the function of WithOnClose: %v", err)
		}
		if err := c.UserOnCloseWait(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestTimeoutFromArrival holds that a call's timeout counts from when the call has come, and
// not from when a goroutine has found the time to look at it.
func TestTimeoutFromArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewServer()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		deadlines := make(chan time.Time, 1)
		s.Register("test", map[string]Method{"Look": func(ctx context.Context, _ func(any) error) (any, error) {
			deadline, _ := ctx.Deadline()
			deadlines <- deadline
			return new(wrapperspb.StringValue), nil
		}})
		s.workers.run = func(call *serverCall) { // on a machine that has no time for it yet
			time.Sleep(time.Second)
			s.dispatcher.run(call)
		}
		a, b := memconn.Pipe(0)
		s.accept(t.Context(), b)
		defer a.Close()
		came := time.Now()
		newRawPeer(t, a).send(1, messageTypeRequest, 0, encode(t, &Request{Service: "test", Method: "Look", TimeoutNano: int64(time.Minute)}))
		if got := <-deadlines; got.Sub(came) != time.Minute {
			t.Errorf("B61: a timeout of a minute ends %v after the call has come", got.Sub(came))
		}
	})
}

// TestTimeoutCoversHello holds that the default timeout of calls covers the wait for the
// answer to Hello, and that a server too slow for it is told of.
func TestTimeoutCoversHello(t *testing.T) {
	log := new(countingLogger)
	onAskingClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		start := time.Now()
		err := <-goCall(t.Context(), c, new(wrapperspb.StringValue))
		if err != context.DeadlineExceeded || time.Since(start) != 200*time.Millisecond {
			t.Errorf("B61: a call with a timeout of 200 ms by default, before the agreement: %v after %v", err, time.Since(start))
		}
		if c.Cause() != nil || log.errors.Load() != 0 {
			t.Errorf("B61: it has cost the connection: %v", c.Cause())
		}
		<-c.Done()
		if c.Cause() == nil || log.errors.Load() != 1 {
			t.Errorf("B46: a server that does not answer Hello: cause %v, logged %d times", c.Cause(), log.errors.Load())
		}
	}, WithClientTimeouts(Timeouts{Call: 200 * time.Millisecond}), WithClientLogger(log))
}

// TestHelloWhileDraining holds that a server which takes no calls is not taken for one that
// does not know the mode.
func TestHelloWhileDraining(t *testing.T) {
	onAskingClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		done := goCall(t.Context(), c, new(wrapperspb.StringValue))
		p.respond(1, status.New(codes.Unavailable, ErrServerClosed.Error()), nil)
		p.wantEnd("B46: a server that takes no calls")
		if err := <-done; err != ErrClosed {
			t.Errorf("B46: a call that waited for the answer: %v", err)
		}
		if ok, err := c.Extended(t.Context()); ok || err != ErrClosed {
			t.Errorf("B46: extended %v, %v", ok, err)
		}
		if want := "ttrpc: the server takes no calls: " + ErrServerClosed.Error(); c.Cause() == nil || c.Cause().Error() != want {
			t.Errorf("B46: the cause is %v, want %q", c.Cause(), want)
		}
		p.wantNothing("B46: no call is sent")
	})
}
