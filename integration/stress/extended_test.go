// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux && go1.25

package stress

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/kit"
	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/internal/testkit"
)

// An extendedStress is a connection in extended mode of which both ends do at random what
// the mode offers, and give up much of it. Whatever the schedule, each call ends with its own
// answer or with an error that it was given cause for; and nothing is left of it.
type extendedStress struct {
	*testing.T
	server   *kit.Server
	services *ttrpc.Server
	client   *ttrpc.Client
	accepted *ttrpc.Client // the server's side
	nc       net.Conn
	null     *os.File
	passes   bool // the connection can pass files
	small    bool // it has small windows

	calls atomic.Int64  // that may still begin before the end does
	ends  chan struct{} // closed when the end is to begin
	ended atomic.Bool   // the end may have begun
}

// partSize is where messages are cut.
const partSize = 64 << 10

// stressCallers is how many callers there are, half of them at each end, and stressCalls how
// many calls each makes.
const stressCallers, stressCalls = 8, 20

// stressEnds are the ways in which a connection ends while calls are under way.
var stressEnds = []struct {
	name string
	end  func(w *extendedStress) error
}{
	{"Shutdown of the server", func(w *extendedStress) error { return w.server.Shutdown(context.Background()) }},
	{"Shutdown of the client", func(w *extendedStress) error { return w.client.Shutdown(context.Background()) }},
	{"Shutdown of both", func(w *extendedStress) error {
		done := testkit.WaitFor(func() { w.server.Shutdown(context.Background()) })
		defer func() { <-done }()
		return w.client.Shutdown(context.Background())
	}},
	{"Close", func(w *extendedStress) error { return w.client.Close() }},
	{"kill", func(w *extendedStress) error { return w.nc.Close() }},
}

// TestExtendedStress holds B46 to B53 at random. Each connection is tried without an end and
// with some of the ends; with -count with others, and other calls.
func TestExtendedStress(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	for queue, q := range map[string]ttrpc.StreamQueue{
		"default windows": {},
		"small windows":   {Window: 8 << 10, ConnectionBytes: 64 << 10},
	} {
		for _, kind := range []string{"unix", "tcp", "memory", "stream", "packets"} {
			t.Run(kind+"/"+queue, func(t *testing.T) {
				runExtendedStress(t, kind, q, seed, nil)
				for _, i := range rand.Perm(len(stressEnds))[:2] {
					t.Run(stressEnds[i].name, func(t *testing.T) { runExtendedStress(t, kind, q, seed, stressEnds[i].end) })
				}
			})
		}
	}
}

func runExtendedStress(t *testing.T, kind string, q ttrpc.StreamQueue, seed uint64, end func(*extendedStress) error) {
	w := newExtendedStress(t, kind, q)
	r := rand.New(rand.NewPCG(seed, 0))
	w.calls.Store(1 + r.Int64N(stressCallers*stressCalls/2))
	callers := testkit.WaitFor(func() {
		var all sync.WaitGroup
		for i := range uint64(stressCallers) {
			c := &stressCaller{extendedStress: w, Client: w.client, r: rand.New(rand.NewPCG(seed, 1+i)), lasts: end == nil}
			if i%2 == 1 {
				c.Client = w.accepted
			}
			all.Go(c.run)
		}
		all.Wait()
	})
	testkit.Within(t, "B53: calls at random", func() {
		if end != nil {
			<-w.ends
			w.ended.Store(true)
			if err := end(w); err != nil {
				t.Errorf("B53: the end: %v", err)
			}
		}
		<-callers
	})
	if end == nil {
		testkit.Within(t, "B48: nothing is left", w.awaitIdle)
	}
	w.client.Close()
	w.server.End(t)
	w.services.Close()
	testkit.Within(t, "B50: Done", func() { <-w.client.Done() })
	kit.WantClean(t, "B53: after the end", w.client)
}

func newExtendedStress(t *testing.T, kind string, q ttrpc.StreamQueue) *extendedStress {
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	w := &extendedStress{T: t, null: null, passes: kind == "unix", small: q.ConnectionBytes > 0, ends: make(chan struct{})}
	limits := ttrpc.Limits{Queue: q, Files: 10_000}
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions(), ttrpc.WithServerLimits(limits))
	if err != nil {
		t.Fatal(err)
	}
	w.server = kit.Serve(server)
	if w.services, err = ttrpc.NewServer(); err != nil {
		t.Fatal(err)
	}
	w.server.RegisterService("stress", w.service())
	w.services.RegisterService("stress", w.service())
	var peer net.Conn
	switch kind {
	case "unix":
		w.nc, peer = testkit.SocketPair(t)
	case "tcp":
		w.nc, peer = testkit.TCPPair(t)
	case "memory":
		w.nc, peer = memconn.Pipe(1 << 16)
	case "stream":
		w.nc, peer = memconn.StreamPipe(1 << 16)
	case "packets":
		w.nc, peer = memconn.PacketPipe()
	}
	accepted := make(chan *ttrpc.Client, 1)
	w.server.Register("peer", map[string]ttrpc.Method{"Get": func(ctx context.Context, _ func(any) error) (any, error) {
		peer, err := ttrpc.PeerClient(ctx)
		accepted <- peer
		return new(wrapperspb.BytesValue), err
	}})
	w.server.Hand(peer)
	w.client = ttrpc.NewClient(w.nc, ttrpc.WithClientServices(w.services), ttrpc.WithClientLimits(limits))
	if ok, err := w.client.Extended(context.Background()); !ok {
		t.Fatalf("B46: %v", err)
	}
	if err := w.client.Call(context.Background(), "peer", "Get", new(wrapperspb.BytesValue), new(wrapperspb.BytesValue)); err != nil {
		t.Fatalf("B50: %v", err)
	}
	w.accepted = <-accepted
	return w
}

// awaitIdle waits until nothing of any call is left at either end, and all credit has come
// back. Nothing signals that.
func (w *extendedStress) awaitIdle() {
	left := ""
	for deadline := time.Now().Add(testkit.Hang / 2); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		a, b := w.client.Snapshot(), w.accepted.Snapshot()
		if left = stressLeft(a) + stressLeft(b) + stressCredit(a, b) + stressCredit(b, a); left == "" {
			return
		}
	}
	w.Errorf("B48: left are%s; the connection: %v, %v", left, w.client.Cause(), w.accepted.Cause())
}

// stressLeft tells what a connection still has of calls.
func stressLeft(c ttrpc.ConnSnapshot) (left string) {
	for name, n := range map[string]int{
		"streams": len(c.Streams), "parked calls": c.Parked, "frames": c.QueuedFrames, "bytes": c.QueuedBytes, "bytes received": c.Received,
	} {
		if n != 0 {
			left += fmt.Sprintf(" %d %s,", n, name)
		}
	}
	return left
}

// stressCredit tells what is wrong with the credit that a has and b has given.
func stressCredit(a, b ttrpc.ConnSnapshot) string {
	if a.SendCredit == b.RecvCredit && a.SendCredit > b.CallsMost*3/4 && a.SendCredit <= b.CallsMost && b.Calls+b.Windows+b.Waiting == 0 {
		return ""
	}
	return fmt.Sprintf(" a credit of %d, %d given of %d, %d held, streams have %d, %d wait", a.SendCredit, b.RecvCredit, b.CallsMost, b.Calls, b.Windows, b.Waiting)
}

// A stressCaller makes calls from one end.
type stressCaller struct {
	*extendedStress
	*ttrpc.Client
	r     *rand.Rand
	lasts bool // the connection does not end
}

func (c *stressCaller) run() {
	for range stressCalls {
		if c.calls.Add(-1) == 0 {
			close(c.ends)
		}
		if c.ended.Load() {
			return
		}
		ctx, cancel := context.WithCancel(context.Background())
		switch c.r.IntN(3) {
		case 0:
			time.AfterFunc(time.Duration(c.r.IntN(3000))*time.Microsecond, cancel)
		case 1:
			ctx, cancel = context.WithTimeout(ctx, time.Duration(c.r.IntN(5000))*time.Microsecond)
		}
		switch kind := c.r.IntN(7); kind {
		case 0, 1, 2:
			c.call(ctx, []string{"Echo", "Sleep", "Back"}[kind])
		case 3, 4:
			c.echoes(ctx)
		case 5:
			c.take(ctx, cancel)
		case 6:
			c.give(ctx, cancel)
		}
		cancel()
	}
}

// message is one of a random size, often about where messages are cut.
func (c *stressCaller) message() *wrapperspb.BytesValue {
	size := c.r.IntN(5000)
	switch c.r.IntN(10) {
	case 0:
		size = partSize - 20 + c.r.IntN(40)
	case 1:
		size = c.r.IntN(1 << 20)
	case 2, 3:
		size = c.r.IntN(200_000)
	case 4:
		size = 0
	}
	return wrapperspb.Bytes(make([]byte, size))
}

// mayFail tells whether a call has had cause to end with err.
func (c *stressCaller) mayFail(ctx context.Context, err error) bool {
	late := errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded // whose clock was first
	refused := c.small && status.Code(err) == codes.ResourceExhausted                              // "answers are not read", "no room for another stream"
	return ctx.Err() != nil || late || refused || !c.lasts
}

func (c *stressCaller) call(ctx context.Context, method string) {
	var files *ttrpc.CallFiles
	if c.passes && c.r.IntN(2) == 0 {
		ctx, files = ttrpc.WithFiles(ctx)
		if err := files.Attach(c.null, c.null); err != nil {
			c.Error(err)
		}
	}
	m, out := c.message(), new(wrapperspb.BytesValue)
	err := c.Call(ctx, "stress", method, m, out)
	switch {
	case err != nil && !c.mayFail(ctx, err):
		c.Errorf("%s with %d bytes: %v; the connection: %v", method, len(m.Value), err, c.Cause())
	case err == nil && len(out.Value) != len(m.Value):
		c.Errorf("B49: %s returned %d bytes of %d", method, len(out.Value), len(m.Value))
	}
	if files != nil { // what was attached and is left, the end of the tests would find
		closeFiles(files.Claim())
	}
}

// echoes sends and receives at once.
func (c *stressCaller) echoes(ctx context.Context) {
	m, n := c.message(), c.r.IntN(20)
	s, err := c.NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, "stress", "Echoes", nil)
	if err != nil {
		return
	}
	sent := testkit.WaitFor(func() {
		for range n {
			if s.SendMsg(m) != nil {
				return
			}
		}
		s.CloseSend()
	})
	for out := new(wrapperspb.BytesValue); s.RecvMsg(out) == nil; {
		if len(out.Value) != len(m.Value) {
			c.Errorf("B49: an echo of %d bytes of %d", len(out.Value), len(m.Value))
		}
	}
	<-sent
}

// take sends, and may give up before the answer.
func (c *stressCaller) take(ctx context.Context, cancel func()) {
	s, err := c.NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: true}, "stress", "Take", nil)
	if err != nil {
		return
	}
	m := c.message()
	for range c.r.IntN(30) {
		if s.SendMsg(c.withFiles(m)) != nil {
			break
		}
	}
	s.CloseSend()
	if c.r.IntN(3) == 0 {
		cancel()
	}
	s.RecvMsg(new(wrapperspb.BytesValue))
}

// give receives, and gives up before the end.
func (c *stressCaller) give(ctx context.Context, cancel func()) {
	s, err := c.NewStream(ctx, &ttrpc.StreamDesc{StreamingServer: true}, "stress", "Give", c.message())
	if err != nil {
		return
	}
	for range c.r.IntN(25) {
		if s.RecvMsg(new(wrapperspb.BytesValue)) != nil {
			break
		}
	}
	cancel()
	for s.RecvMsg(new(wrapperspb.BytesValue)) == nil {
	}
}

// withFiles has files come with a message now and then.
func (w *extendedStress) withFiles(m *wrapperspb.BytesValue) any {
	if !w.passes || rand.IntN(2) == 0 {
		return m
	}
	return &ttrpc.FileMessage{Message: m, Files: []*os.File{w.null, w.null}}
}
