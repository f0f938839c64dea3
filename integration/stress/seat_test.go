// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux && go1.25

package stress

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/kit"
	"github.com/containerd/ttrpc/internal/testkit"
)

// A seatStress is a server on a unix socket whose clients do at random what moves
// the reader's seat about. Whatever the schedule, each call ends with its own
// answer or with an error that it was given cause for.
type seatStress struct {
	*testing.T
	address string
	moody   atomic.Int32 // calls of Moody
	gates   sync.Map     // by number
	ended   atomic.Bool  // the server may have closed connections
}

// seatStressTime is how long clients begin new calls.
const seatStressTime = 300 * time.Millisecond

// TestSeatStress holds B18, B19, B21 and B25 whoever reads.
func TestSeatStress(t *testing.T) {
	for _, procs := range []int{1, 2, 8} {
		t.Run(map[int]string{1: "one processor", 2: "two", 8: "eight"}[procs], func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			seed := rand.Uint64()
			t.Log("seed", seed)
			testkit.Within(t, "calls at random", func() { runSeatStress(t, seed) })
		})
	}
}

func runSeatStress(t *testing.T, seed uint64) {
	w := &seatStress{T: t, address: filepath.Join(t.TempDir(), "s")}
	server, err := ttrpc.NewServer(ttrpc.WithRecoverPanics(), ttrpc.WithServerLogger(new(kit.Logger)))
	if err != nil {
		t.Error(err)
		return
	}
	server.RegisterService("seat", w.service())
	l, err := net.Listen("unix", w.address)
	if err != nil {
		t.Error(err)
		return
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()

	var clients sync.WaitGroup
	end := time.Now().Add(seatStressTime)
	for i := range uint64(6) {
		clients.Go(func() { w.runClient(rand.New(rand.NewPCG(seed, i)), end) })
	}
	time.Sleep(time.Until(end)) // so that some calls are cut off
	w.ended.Store(true)
	if seed%4 == 0 {
		server.Close()
	}
	if err := server.Shutdown(context.Background()); err != nil {
		t.Errorf("B25: Shutdown returned %v", err)
	}
	clients.Wait()
	if err := <-served; err != ttrpc.ErrServerClosed {
		t.Errorf("B24: Serve returned %v", err)
	}
}

// A gate is what Enter waits for and Open opens.
type gate struct {
	context.Context
	open context.CancelFunc
}

func (w *seatStress) gate(n int64) gate {
	ctx, cancel := context.WithCancel(context.Background())
	g, _ := w.gates.LoadOrStore(n, gate{ctx, cancel})
	return g.(gate)
}

func (w *seatStress) service() *ttrpc.ServiceDesc {
	method := func(f func(ctx context.Context, n int64) error) ttrpc.Method {
		return func(ctx context.Context, unmarshal func(any) error) (any, error) {
			m := new(wrapperspb.Int64Value)
			if err := unmarshal(m); err != nil {
				return nil, err
			}
			return m, f(ctx, m.Value)
		}
	}
	return &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"Quick": method(func(context.Context, int64) error { return nil }),
			"Moody": method(func(context.Context, int64) error { // quick for a while, then not
				if w.moody.Add(1)%64 > 60 {
					time.Sleep(3 * time.Millisecond)
				}
				return nil
			}),
			"Watch": method(func(ctx context.Context, n int64) error { // keeps its context
				go func() { <-ctx.Done() }()
				return nil
			}),
			"Exit": method(func(context.Context, int64) error { runtime.Goexit(); return nil }),
			"Open": method(func(_ context.Context, n int64) error { w.gate(n).open(); return nil }),
			"Enter": method(func(_ context.Context, n int64) error { // is quick, if it is open
				<-w.gate(n).Done()
				return nil
			}),
		},
		Streams: map[string]ttrpc.Stream{"Bidi": {Handler: kit.Echo, StreamingClient: true, StreamingServer: true}},
	}
}

// runClient makes calls until the end, on one connection after the other.
func (w *seatStress) runClient(r *rand.Rand, end time.Time) {
	for time.Now().Before(end) {
		nc, err := net.Dial("unix", w.address)
		if err != nil {
			if !w.ended.Load() {
				w.Errorf("Dial returned %v", err)
			}
			return
		}
		c := &seatClient{w: w, Client: ttrpc.NewClient(nc)}
		if r.IntN(3) == 0 { // dies, or is closed, at some time
			cut := c.Close
			if r.IntN(2) == 0 {
				cut = nc.Close
			}
			c.cut.Store(true)
			defer time.AfterFunc(time.Duration(r.Int64N(int64(50*time.Millisecond))), func() { cut() }).Stop()
		}
		var callers sync.WaitGroup
		for range 1 + r.IntN(3) {
			own := rand.New(rand.NewPCG(r.Uint64(), 0))
			callers.Go(func() { c.runCaller(own, end) })
		}
		callers.Wait()
		c.Close()
		if err := c.UserOnCloseWait(context.Background()); err != nil {
			w.Errorf("B12: UserOnCloseWait returned %v", err)
		}
	}
}

// A seatClient is a client, of which cut tells whether it may end at any time.
type seatClient struct {
	*ttrpc.Client
	w   *seatStress
	cut atomic.Bool
}

// pauses are about what a seat's holder, its watch and a sleeping reader wait for.
var pauses = []time.Duration{0, 0, 0, 100 * time.Microsecond, time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond}

// runCaller makes calls in bursts, as long as the connection lasts.
func (c *seatClient) runCaller(r *rand.Rand, end time.Time) {
	for c.Cause() == nil && time.Now().Before(end) {
		method := []string{"Quick", "Quick", "Quick", "Moody", "Watch", "Exit", "gate", "stream"}[r.IntN(8)]
		for range 1 + r.IntN(60) {
			c.run(r, method)
		}
		time.Sleep(pauses[r.IntN(len(pauses))])
	}
}

func (c *seatClient) run(r *rand.Rand, method string) {
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	ends := r.IntN(8) == 0
	if ends {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(r.Int64N(int64(200*time.Microsecond))))
	}
	defer cancel()
	n := r.Int64()
	switch method {
	case "gate": // one waits for a later one of the same connection
		var both sync.WaitGroup
		both.Go(func() { c.call(ctx, ends, "Enter", n) })
		c.call(context.Background(), false, "Open", n)
		c.w.gate(n).open() // that call may not have arrived
		both.Wait()
	case "stream":
		c.stream(ctx, ends, n)
	default:
		c.call(ctx, ends, method, n)
	}
}

func (c *seatClient) call(ctx context.Context, ends bool, method string, n int64) {
	m := new(wrapperspb.Int64Value)
	err := c.Call(ctx, "seat", method, wrapperspb.Int64(n), m)
	switch {
	case method == "Exit" && status.Code(err) == codes.Internal:
	case c.mayFail(err, ends):
	case err != nil || m.Value != n:
		c.w.Errorf("%s(%d) returned %d, %v; the connection: %v", method, n, m.Value, err, c.Cause())
	}
}

func (c *seatClient) stream(ctx context.Context, ends bool, n int64) {
	text := wrapperspb.String(string(rune('a' + n%26)))
	s, err := c.NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, "seat", "Bidi", nil)
	if err == nil {
		err = s.SendMsg(text)
	}
	m := new(wrapperspb.StringValue)
	if err == nil {
		err = s.RecvMsg(m)
	}
	if !c.mayFail(err, ends) && (err != nil || m.Value != text.Value) {
		c.w.Errorf("an echo of %q is %q, %v; the connection: %v", text.Value, m.Value, err, c.Cause())
	}
	if err != nil {
		return
	}
	if err = s.CloseSend(); err == nil {
		err = s.RecvMsg(m)
	}
	if err != io.EOF && !c.mayFail(err, ends) {
		c.w.Errorf("B21: a stream ended with %v", err)
	}
}

// mayFail tells whether a call has had cause to end with err.
func (c *seatClient) mayFail(err error, ends bool) bool {
	switch {
	case errors.Is(err, context.DeadlineExceeded), status.Code(err) == codes.DeadlineExceeded: // whose clock was first
		return ends
	case errors.Is(err, ttrpc.ErrClosed), status.Code(err) == codes.Unavailable:
		return c.cut.Load() || c.w.ended.Load()
	}
	return false
}
