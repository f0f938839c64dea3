// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"

	"github.com/containerd/ttrpc/integration/reliability/control"
)

// Dial makes a client. The reply is its number.
func (s *subject) Dial(d control.Dial, reply *int) error {
	client, err := dial(d)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	*reply = len(s.clients)
	s.clients = append(s.clients, client)
	return nil
}

func dial(d control.Dial, opts ...ttrpc.ClientOpts) (*ttrpc.Client, error) {
	conn, err := net.Dial("unix", d.Address)
	if err != nil {
		return nil, err
	}
	if d.Handshake {
		if _, err := conn.Write([]byte{control.Hello}); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return ttrpc.NewClient(conn, opts...), nil
}

func (s *subject) client(number int) *ttrpc.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clients[number]
}

// CloseClient closes a client and waits until that has taken place.
func (s *subject) CloseClient(number int, _ *None) error {
	client := s.client(number)
	client.Close()
	return client.UserOnCloseWait(context.Background())
}

// a tally is a control.Tally that many may add to.
type tally struct {
	mu  sync.Mutex
	all control.Tally
}

func newTally() *tally { return &tally{all: control.Tally{}} }

func (t *tally) add(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all.Add(err)
}

// Calls makes calls and tells how they ended.
func (s *subject) Calls(c control.Calls, reply *control.Tally) error {
	client := s.client(c.Client)
	t := newTally()
	var callers sync.WaitGroup
	for range c.Callers {
		callers.Add(1)
		go func() {
			defer callers.Done()
			for range c.Each {
				t.add(call(client, c))
			}
		}()
	}
	callers.Wait()
	*reply = t.all
	return nil
}

// call makes one call. An answer that is not what was asked for is an error.
func call(client *ttrpc.Client, c control.Calls) error {
	ctx, cancel := within(c.Timeout)
	defer cancel()
	var req any = wrapperspb.Bytes(make([]byte, c.Size))
	if c.Method == "Bytes" {
		req = wrapperspb.Int64(int64(c.Size))
	}
	resp := new(bytesValue)
	if err := client.Call(ctx, control.TTRPC, c.Method, req, resp); err != nil {
		return err
	}
	if len(resp.Value) != c.Size {
		return fmt.Errorf("the answer has %d bytes", len(resp.Value))
	}
	return nil
}

// Streams opens streams, sends a message on each and receives until they end.
func (s *subject) Streams(c control.Streams, reply *control.Tally) error {
	client := s.client(c.Client)
	t := newTally()
	var all sync.WaitGroup
	for range c.Count {
		all.Add(1)
		go func() {
			defer all.Done()
			t.add(s.stream(client, c))
		}()
	}
	all.Wait()
	*reply = t.all
	return nil
}

func (s *subject) stream(client *ttrpc.Client, c control.Streams) error {
	released := s.released()
	ctx, cancel := within(c.Timeout)
	defer cancel()
	stream, err := client.NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, control.TTRPC, c.Method, nil)
	if err != nil {
		return err
	}
	for more := true; more; more = c.Endless {
		if err := stream.SendMsg(wrapperspb.Bytes(make([]byte, c.Size))); err != nil {
			return err
		}
	}
	if c.Idle {
		<-released
	}
	for {
		in := new(bytesValue)
		err := stream.RecvMsg(in)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		s.received.Add(1)
	}
}

// within returns a context with a timeout, if there is one.
func within(timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout == 0 {
		return context.Background(), func() {}
	}
	return context.WithTimeout(context.Background(), timeout)
}

// Answers makes calls, each on a connection of its own, on which the peer is
// expected to answer one and close.
func (s *subject) Answers(a control.Answers, reply *control.Tally) error {
	*reply = control.Tally{}
	for range a.Count {
		client, err := dial(control.Dial{Address: a.Address})
		if err != nil {
			return err
		}
		reply.Add(call(client, control.Calls{Method: "Echo", Timeout: time.Minute}))
		client.Close()
		if err := client.UserOnCloseWait(context.Background()); err != nil {
			return err
		}
	}
	return nil
}
