// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/containerd/ttrpc/brpc"
	"github.com/containerd/ttrpc/integration/grpc/ways"
	"github.com/containerd/ttrpc/internal/testkit"
)

// patience is how long one life of a client may take, which only what hangs does: hundreds of
// them share the machine.
const patience = 5 * testkit.Hang

// How clients of the soak end.
const (
	closes     = iota // Close, while the server has a call to it
	shutsDown         // Shutdown, which lets that call finish
	vanishes          // its connection is cut
	vanishesIn        // its connection is cut while it has a call to the server
	endings
)

// heldCode is how the call ends that the server has to a client.
var heldCode = [endings]string{"Unavailable", "EOF", "Unavailable", "Unavailable"}

// TestSoak has clients connect over unix sockets and QUIC, call, be called, and end in one way
// or another. Each call is answered by whom it was for, each that runs at the end ends with
// the right code at both sides, and nothing is left.
func TestSoak(t *testing.T) {
	clients := 1000 * testkit.Times(t)
	if raceEnabled {
		clients /= 10 // each takes ten times as long
	}
	alive := min(clients/10, 500)
	before := standing()
	s := newSoak()
	t.Run("clients", func(t *testing.T) {
		overUnix, overQUIC := s.serve(t, ways.NewLink(t, ways.Setup{})), s.serve(t, ways.NewQUICLink(t, ways.Setup{}))
		stop, cancel := context.WithCancel(context.Background())
		var crowd, callers sync.WaitGroup
		callers.Go(func() { s.callAny(stop) })
		for i := range alive {
			crowd.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(i)))
				for life := range clients / alive {
					link := overUnix
					if random.IntN(5) == 0 {
						link = overQUIC
					}
					c := &soakClient{soak: s, id: fmt.Sprintf("client %d, life %d", i, life)}
					if err := c.live(t, link, random.IntN(endings)); err != nil {
						t.Errorf("%s: %v", c.id, err)
						return
					}
				}
			})
		}
		crowd.Wait()
		cancel()
		callers.Wait()
	})
	s.check(t, int64(clients))
	t.Logf("%d clients, %d at once: %s", clients, alive, s)
	after := before.await()
	t.Logf("goroutines %d before, %d after; descriptors %d before, %d after", before.goroutines, after.goroutines, before.files, after.files)
	if after.goroutines > before.goroutines || after.files > before.files {
		t.Errorf("B139: something is left\n%s", testkit.Stacks())
	}
}

// A soak is the server's side, on two listeners.
type soak struct {
	testgrpc.UnimplementedTestServiceServer
	pool *brpc.Pool
	ends sync.Map // what the server's calls to clients have ended with: chan string by id

	opened, closed, calls, pooled, going, told atomic.Int64
	wrong                                      atomic.Pointer[error] // of a call to any of the pool
	ended                                      [endings]atomic.Int64
}

func newSoak() *soak {
	s := new(soak)
	s.pool = brpc.NewPool(brpc.PoolConfig{
		Key: func(ctx context.Context, _ *brpc.Peer) (string, error) {
			md, _ := metadata.FromIncomingContext(ctx)
			return md.Get("id")[0], nil
		},
		Opened: func(c *brpc.PoolClient) {
			s.opened.Add(1)
			go s.hold(c)
		},
		Closed: func(*brpc.PoolClient) { s.closed.Add(1) },
	})
	return s
}

func (s *soak) serve(t *testing.T, link *ways.Link) *ways.Link {
	server := ways.NewBRPC(ways.Setup{}, s.pool)
	testgrpc.RegisterTestServiceServer(server, &soakService{soak: s, server: server})
	ways.ServeBRPC(t, server, link)
	return link
}

// hold calls a client until the client ends that.
func (s *soak) hold(c *brpc.PoolClient) {
	end, _ := s.ends.LoadOrStore(c.Key(), make(chan string, 1))
	ss, err := testgrpc.NewTestServiceClient(c).FullDuplexCall(context.Background())
	if err == nil {
		_, err = ss.Recv()
	}
	end.(chan string) <- code(err)
}

// callAny makes calls to whoever is there, until ctx ends.
func (s *soak) callAny(ctx context.Context) {
	stub := testgrpc.NewTestServiceClient(s.pool.Conn())
	for ctx.Err() == nil {
		switch _, err := stub.EmptyCall(ctx, new(testEmpty), grpc.WaitForReady(true)); code(err) {
		case "OK":
			s.pooled.Add(1)
		case "Unavailable":
			s.going.Add(1)
		case "Canceled":
		default:
			s.wrong.Store(&err)
		}
	}
}

// check compares the counts.
func (s *soak) check(t *testing.T, clients int64) {
	if opened, closed := s.opened.Load(), s.closed.Load(); opened != clients || closed != clients {
		t.Errorf("B138: %d clients: the pool has seen %d come and %d go", clients, opened, closed)
	}
	if told, want := s.told.Load(), s.ended[vanishesIn].Load(); told != want {
		t.Errorf("B136: %d clients vanished in a call, %d handlers were told", want, told)
	}
	if left := len(s.pool.Clients()); left != 0 {
		t.Errorf("B139: %d clients are left in the pool", left)
	}
	if err := s.wrong.Load(); err != nil {
		t.Errorf("B138: a call to any client of the pool: %v", *err)
	}
	if s.pooled.Load() == 0 {
		t.Error("no call to any client of the pool was answered")
	}
}

func (s *soak) String() string {
	return fmt.Sprintf("%d calls answered in both directions; %d closed, %d shut down, %d cut off, %d cut off in a call; "+
		"%d calls to any of the pool answered, %d found one that was going",
		s.calls.Load(), s.ended[closes].Load(), s.ended[shutsDown].Load(), s.ended[vanishes].Load(), s.ended[vanishesIn].Load(),
		s.pooled.Load(), s.going.Load())
}

// A soakService answers calls by calling its caller.
type soakService struct {
	*soak
	server *brpc.Server[ways.Conn]
}

func (s *soakService) UnaryCall(ctx context.Context, r *request) (*response, error) {
	caller, err := s.server.ClientFromContext(ctx)
	if err != nil {
		return nil, err
	}
	return testgrpc.NewTestServiceClient(caller).UnaryCall(ctx, r)
}

// FullDuplexCall says that it has begun, and waits until its caller has gone.
func (s *soakService) FullDuplexCall(ss duplex) error {
	if err := ss.Send(new(answer)); err != nil {
		return err
	}
	<-ss.Context().Done()
	s.told.Add(1)
	return ss.Context().Err()
}

// A soakClient is one client in one life.
type soakClient struct {
	testgrpc.UnimplementedTestServiceServer
	soak    *soak
	id      string
	leaving chan struct{}
	held    chan struct{} // closed once the server has a call to it
}

func (c *soakClient) EmptyCall(context.Context, *testEmpty) (*testEmpty, error) {
	return new(testEmpty), nil
}

func (c *soakClient) UnaryCall(_ context.Context, r *request) (*response, error) {
	answered := append([]byte(c.id), r.GetPayload().GetBody()...)
	return &response{Payload: &testgrpc.Payload{Body: answered}}, nil
}

func (c *soakClient) FullDuplexCall(ss duplex) error {
	close(c.held)
	select {
	case <-c.leaving:
		return nil
	case <-ss.Context().Done():
		return ss.Context().Err()
	}
}

// live connects, calls, is called, and ends as it is told.
func (c *soakClient) live(t *testing.T, link *ways.Link, ending int) error {
	c.leaving, c.held = make(chan struct{}), make(chan struct{})
	end, _ := c.soak.ends.LoadOrStore(c.id, make(chan string, 1))
	defer c.soak.ends.Delete(c.id)
	var conn atomic.Pointer[net.Conn]
	client, err := brpc.DialNet(c.id, func(ctx context.Context) (net.Conn, error) {
		nc, err := link.Dial(ctx, "")
		if err == nil && !conn.CompareAndSwap(nil, &nc) {
			nc.Close() // it has one life
			return nil, io.ErrClosedPipe
		}
		return nc, err
	}, brpc.WithServeMetadata(metadata.Pairs("id", c.id)), ways.Silent())
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() {
		served <- brpc.ServeClientService[ways.Conn](nil, client, func(r grpc.ServiceRegistrar) {
			testgrpc.RegisterTestServiceServer(r, c)
		})
	}()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = c.calls(ctx, client)
	if err == nil {
		err = c.end(ctx, client, func() { ways.Abort(*conn.Load()) }, ending)
	}
	client.Close()
	if got := <-served; got != nil && err == nil {
		err = fmt.Errorf("serving: %w", got)
	}
	if err != nil {
		return err
	}
	select {
	case got := <-end.(chan string):
		if got != heldCode[ending] {
			return fmt.Errorf("B136: ending %d: the server's call has ended with %s, want %s", ending, got, heldCode[ending])
		}
	case <-ctx.Done():
		return fmt.Errorf("B136: ending %d: the server's call has not ended", ending)
	}
	c.soak.ended[ending].Add(1)
	return nil
}

// calls makes calls that the server answers by calling back, until it has a call to this
// client itself.
func (c *soakClient) calls(ctx context.Context, client *brpc.ClientConn) error {
	stub := testgrpc.NewTestServiceClient(client)
	for i := range 5 {
		sent := bytes.Repeat([]byte{byte(i)}, 1<<(3*i))
		got, err := stub.UnaryCall(ctx, &request{Payload: &testgrpc.Payload{Body: sent}}, grpc.WaitForReady(true))
		if err != nil {
			return fmt.Errorf("call %d: %w", i, err)
		}
		if want := append([]byte(c.id), sent...); !bytes.Equal(got.GetPayload().GetBody(), want) {
			return fmt.Errorf("B131: call %d was answered by another client", i)
		}
		c.soak.calls.Add(1)
	}
	select {
	case <-c.held:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the server has not called: %w", ctx.Err())
	}
}

// end ends the client.
func (c *soakClient) end(ctx context.Context, client *brpc.ClientConn, cut func(), ending int) error {
	switch ending {
	case closes:
		return client.Close()
	case shutsDown:
		close(c.leaving)
		if err := client.Shutdown(ctx); err != nil {
			return fmt.Errorf("B134: Shutdown: %w", err)
		}
		return nil
	case vanishes:
		cut()
		return nil
	}
	ss, err := testgrpc.NewTestServiceClient(client).FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	if _, err := ss.Recv(); err != nil {
		return err
	}
	cut()
	if _, err := ss.Recv(); code(err) != "Unavailable" {
		return fmt.Errorf("B136: a call that was cut off: %v", err)
	}
	return nil
}
