// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/kit"
	"github.com/containerd/ttrpc/internal/faultconn"
)

// faultQueue has a small window, so that senders in extended mode need credit again.
var faultQueue = ttrpc.StreamQueue{Window: 32 << 10}

// extend has the world's client ask for extended mode and serve. It waits longer for the
// answer than calls do, so that these end at their own deadlines. The server's method
// Callback calls the client's Echo.
func (w *faultWorld) extend() []ttrpc.ClientOpts {
	services, err := ttrpc.NewServer()
	if err != nil {
		w.Fatal(err)
	}
	w.services = services
	services.RegisterService("test", kit.Service())
	w.srv.Register("callback", map[string]ttrpc.Method{"Callback": func(ctx context.Context, unmarshal func(any) error) (any, error) {
		peer, err := ttrpc.PeerClient(ctx)
		if err != nil {
			return nil, err
		}
		m := new(wrapperspb.StringValue)
		if err := unmarshal(m); err != nil {
			return nil, err
		}
		return m, peer.Call(ctx, "test", "Echo", m, m)
	}})
	w.srv.RegisterService("large", &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{
		"Echo": {StreamingClient: true, StreamingServer: true, Handler: kit.Echo},
	}})
	return []ttrpc.ClientOpts{ttrpc.WithClientServices(services), ttrpc.WithClientLimits(ttrpc.Limits{Queue: faultQueue}), ttrpc.WithClientTimeouts(ttrpc.Timeouts{Handshake: 3 * faultDeadline})}
}

// extFaultWorkloads are the workloads of the classic mode, and what only extended mode has.
func extFaultWorkloads() []faultWorkload {
	all := slices.Concat(faultWorkloads, []faultWorkload{
		{name: "callback", calls: []func(context.Context, *ttrpc.Client) error{faultCallback}},
		{name: "parts", calls: []func(context.Context, *ttrpc.Client) error{faultUnary(200000), faultUnary(100)}, positions: 20},
		{name: "credit", calls: []func(context.Context, *ttrpc.Client) error{faultCredit, faultCallback}, positions: 20},
		{name: "goodbye", calls: []func(context.Context, *ttrpc.Client) error{faultSlow, faultGoodbye}, ends: true, takes: 200 * time.Millisecond},
	})
	for i := range all {
		all[i].extended = true
	}
	return all
}

func faultCallback(ctx context.Context, c *ttrpc.Client) error {
	var got wrapperspb.StringValue
	err := c.Call(ctx, "callback", "Callback", wrapperspb.String("called back"), &got)
	if err == nil && got.Value != "called back" {
		return fmt.Errorf("%q is called back", got.Value)
	}
	return err
}

// faultCredit sends several windows' worth of messages and receives them, at once.
func faultCredit(ctx context.Context, c *ttrpc.Client) error {
	s, err := c.NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, "large", "Echo", nil)
	if err != nil {
		return err
	}
	const n = 8
	want := bytes.Repeat([]byte("0123456789"), 2000)
	sent := make(chan error, 1)
	go func() {
		var all error
		for range n {
			// io.EOF tells that the peer has ended the stream, and RecvMsg how (B71).
			if err := s.SendMsg(wrapperspb.String(string(want))); err != io.EOF {
				all = errors.Join(all, err)
			}
		}
		sent <- errors.Join(all, s.CloseSend())
	}()
	for range n {
		var got wrapperspb.StringValue
		if err := s.RecvMsg(&got); err != nil {
			return faultEnd(err, <-sent)
		} else if got.Value != string(want) {
			return fmt.Errorf("%d bytes instead of %d", len(got.Value), len(want))
		}
	}
	return faultEnd(s.RecvMsg(new(wrapperspb.StringValue)), <-sent)
}

// faultGoodbye shuts the client down while a call of its runs.
func faultGoodbye(ctx context.Context, c *ttrpc.Client) error {
	time.Sleep(50 * time.Millisecond)
	return c.Shutdown(ctx)
}

// TestExtendedFaults is TestFaults in extended mode: the positions lie in Hello, in
// requests, parts, credit and goodbyes. Of the kinds that only differ in their error it
// tries one.
func TestExtendedFaults(t *testing.T) {
	kinds := slices.DeleteFunc(slices.Clone(faultKinds), func(k faultKind) bool {
		return k.err != nil && k.err != errFault && k.err != io.EOF
	})
	// Single bytes of large messages would take long.
	kinds[0].step = func(at int) faultconn.Step { return faultconn.Split(at, 100) }
	runFaults(t, extFaultWorkloads(), kinds)
}

// TestExtendedFaultSchedules is TestFaultSchedules in extended mode.
func TestExtendedFaultSchedules(t *testing.T) { runFaultSchedules(t, extFaultWorkloads()) }
