// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"math/rand"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"

	"github.com/containerd/ttrpc/integration/reliability/control"
)

// atOnce is how many rounds run at the same time.
const atOnce = 16

// Rounds runs races.
func (s *subject) Rounds(o control.Rounds, reply *control.Raced) error {
	numbers := make(chan int)
	rounds := make(chan *round)
	for range atOnce {
		go func() {
			for n := range numbers {
				rounds <- runRound(o, n)
			}
		}()
	}
	go func() {
		defer close(numbers)
		for n := o.From; n < o.To; n++ {
			numbers <- n
		}
	}()
	sum := control.Raced{Calls: control.Tally{}, Ends: control.Tally{}, Serves: control.Tally{}}
	for range o.To - o.From {
		(<-rounds).addTo(&sum)
	}
	*reply = sum
	return nil
}

// A round is a server and clients that keep calling it until it ends.
type round struct {
	control.Rounds
	address string
	random  *rand.Rand
	server  *ttrpc.Server
	hangs   bool // and nothing else is known of the round

	ran      atomic.Int64 // handlers that returned
	answered atomic.Int64 // answers that callers got
	begin    int64        // how many of those there are when the end begins
	begun    chan struct{}
	calls    *tally
	ends     *tally
	served   error

	mu      sync.Mutex
	clients []*ttrpc.Client // guarded by mu
}

// What there is in a round, beside silent connections, which a handshake waits for.
const (
	lastingClients = 3
	callersOfEach  = 2
	newcomers      = 2
	silents        = 2
)

// runRound runs a round. One that has not ended when the limit has passed is
// left to itself.
func runRound(o control.Rounds, number int) *round {
	r := &round{Rounds: o, random: rand.New(rand.NewSource(int64(number))), calls: newTally(), ends: newTally()}
	r.begin, r.begun = 1+r.random.Int63n(40), make(chan struct{})
	r.address = filepath.Join(o.Dir, fmt.Sprintf("round%d", number))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.run()
	}()
	limit := time.NewTimer(o.Limit)
	defer limit.Stop()
	select {
	case <-ended:
	case <-limit.C:
		r.hangs = true
	}
	return r
}

// addTo adds what came of the round to the sum of all.
func (r *round) addTo(sum *control.Raced) {
	if r.hangs {
		sum.Hung++
		return
	}
	sum.Calls.Merge(r.calls.all)
	sum.Ends.Merge(r.ends.all)
	sum.Serves.Add(r.served)
	sum.Ran += r.ran.Load()
	sum.Lost += r.ran.Load() - r.answered.Load()
}

// run runs the round until all in it has ended by itself, but for silent clients.
func (r *round) run() {
	l := r.listen()
	serve := make(chan error, 1)
	go func() { serve <- r.server.Serve(context.Background(), l) }()
	var all sync.WaitGroup
	also := func(f func()) {
		all.Add(1)
		go func() { defer all.Done(); f() }()
	}
	for range lastingClients {
		if client := r.dial(); client != nil {
			for range callersOfEach {
				also(func() { r.repeat(client, r.call) })
			}
			also(func() { r.repeat(client, r.stream) })
		}
	}
	for range newcomers {
		also(r.comeAndGo)
	}
	also(r.giveUp)
	for range silents {
		if conn, err := net.Dial("unix", r.address); err == nil {
			defer conn.Close()
		}
	}
	<-r.begun
	for _, end := range r.Ends {
		delay := time.Duration(r.random.Intn(300)) * time.Microsecond
		also(func() { r.end(end, delay) })
	}
	r.served = <-serve
	all.Wait()
	r.closeClients(true)
}

// listen makes the server, whose handlers count.
func (r *round) listen() net.Listener {
	var opts []ttrpc.ServerOpt
	if r.Handshake {
		opts = append(opts, ttrpc.WithServerHandshaker(hello{}))
	}
	server, err := ttrpc.NewServer(opts...)
	if err != nil {
		panic(err)
	}
	server.RegisterService(control.TTRPC, &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"Echo": func(_ context.Context, unmarshal func(any) error) (any, error) {
				defer r.ran.Add(1)
				in := new(bytesValue)
				return in, unmarshal(in)
			},
			"Uncounted": func(context.Context, func(any) error) (any, error) { return new(bytesValue), nil },
		},
		Streams: map[string]ttrpc.Stream{"EchoStream": {StreamingClient: true, StreamingServer: true, Handler: r.echo}},
	})
	l, err := net.Listen("unix", r.address)
	if err != nil {
		panic(err)
	}
	r.server = server
	return l
}

// echo sends back what it receives.
func (r *round) echo(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	for {
		in := new(bytesValue)
		err := stream.RecvMsg(in)
		if err == io.EOF {
			r.ran.Add(1)
			return nil, nil
		}
		if err == nil {
			err = stream.SendMsg(in)
		}
		if err != nil {
			return nil, err
		}
	}
}

// dial returns a new client, or nil if the server is gone.
func (r *round) dial() *ttrpc.Client {
	client, err := dial(control.Dial{Address: r.address, Handshake: r.Handshake})
	if err != nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clients = append(r.clients, client)
	return client
}

// repeat does something until it fails, and counts the failure.
func (r *round) repeat(client *ttrpc.Client, do func(*ttrpc.Client) error) {
	for {
		err := do(client)
		r.calls.add(err)
		if err != nil {
			return
		}
	}
}

// comeAndGo makes calls, each on a new connection, until there are none.
func (r *round) comeAndGo() {
	for client := r.dial(); client != nil; client = r.dial() {
		r.calls.add(r.call(client))
		client.Close()
	}
}

// giveUp makes calls whose contexts end at any time. Whether the answer was there
// before is luck, so these calls are not among those that must not get lost.
func (r *round) giveUp() {
	client := r.dial()
	if client == nil {
		return
	}
	for delay := time.Microsecond; ; delay = 2*delay%time.Millisecond + time.Microsecond {
		ctx, cancel := context.WithTimeout(context.Background(), delay)
		err := client.Call(ctx, control.TTRPC, "Uncounted", new(bytesValue), new(bytesValue))
		cancel()
		if err != nil && err != context.DeadlineExceeded {
			r.calls.add(err)
			return
		}
	}
}

// call makes a call. The answer is counted when it is here.
func (r *round) call(client *ttrpc.Client) error {
	resp := new(bytesValue)
	err := client.Call(context.Background(), control.TTRPC, "Echo", wrapperspb.Bytes(make([]byte, 10)), resp)
	if err == nil {
		r.countAnswer()
	}
	return err
}

func (r *round) countAnswer() {
	if r.answered.Add(1) == r.begin {
		close(r.begun)
	}
}

// stream sends a message, receives one, and waits for the end.
func (r *round) stream(client *ttrpc.Client) error {
	desc := &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}
	stream, err := client.NewStream(context.Background(), desc, control.TTRPC, "EchoStream", nil)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(wrapperspb.Bytes(make([]byte, 10))); err != nil {
		return err
	}
	if err := stream.RecvMsg(new(bytesValue)); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if err := stream.RecvMsg(new(bytesValue)); err != io.EOF {
		return err
	}
	r.countAnswer()
	return nil
}

// end ends the server, or some clients.
func (r *round) end(how string, delay time.Duration) {
	switch how {
	case control.Shutdown:
		r.ends.add(r.server.Shutdown(context.Background()))
	case control.ShutdownSoon:
		ctx, cancel := context.WithTimeout(context.Background(), delay)
		defer cancel()
		r.ends.add(r.server.Shutdown(ctx))
	case control.Close:
		time.Sleep(delay)
		r.ends.add(r.server.Close())
	case control.CloseClients:
		time.Sleep(delay)
		r.closeClients(false)
	}
}

// closeClients closes every other client, or all.
func (r *round) closeClients(all bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, client := range r.clients {
		if all || i%2 == 0 {
			client.Close()
		}
		if all {
			client.UserOnCloseWait(context.Background())
		}
	}
}
