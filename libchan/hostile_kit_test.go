// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/memconn"
)

// A hostile is a peer that speaks ttrpc as it should, and of libchan what the test makes it
// say. It never waits.
type hostile struct {
	t       *testing.T
	victim  *Session
	number  uint64        // what the victim calls the session
	client  *ttrpc.Client // to the victim
	control *hostileStream
	mu      sync.Mutex       // guards streams
	streams []*hostileStream // that it has opened, or the victim has
	close   func()
}

// A hostileStream is a stream from the side of the hostile.
type hostileStream struct {
	msgs interface {
		SendMsg(m any) error
		RecvMsg(m any) error
	}
	end    func(error)
	cancel func()
}

// newHostile begins a session, in which the hostile has dialled or was dialled.
func newHostile(t *testing.T, dials bool, opts ...Option) *hostile {
	t.Helper()
	h := &hostile{t: t}
	near, far := memconn.Pipe(0)
	answers := newServer(t, ttrpc.WithServerExtensions())
	stream := func(handler ttrpc.StreamHandler) ttrpc.Stream {
		return ttrpc.Stream{Handler: handler, StreamingClient: true, StreamingServer: true}
	}
	answers.RegisterService(serviceName, &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{"Meet": h.meet},
		Streams: map[string]ttrpc.Stream{"Open": stream(h.opened), "Control": stream(h.controlled)},
	})
	begun := make(chan *Session, 1)
	if dials {
		go func() {
			s, err := NewServer(far, opts...)
			if err != nil {
				t.Errorf("NewServer: %v", err)
			}
			begun <- s
		}()
		h.client = ttrpc.NewClient(near, ttrpc.WithClientServices(answers))
		h.close = func() { h.client.Close() }
		hello := wireControl{hello: &wireHello{version: wireVersion, session: 77, codec: "msgpack"}}
		h.control = h.opens("Control", hello.append(nil))
		must(t, h.control.msgs.RecvMsg(new(ttrpc.RawMessage)))
	} else {
		go func() {
			s, err := NewClient(far, opts...)
			if err != nil {
				t.Errorf("NewClient: %v", err)
			}
			begun <- s
		}()
		go answers.ServeConn(ctx, near)
		h.close = func() { answers.Close() }
	}
	h.victim = <-begun
	t.Cleanup(func() {
		h.close()
		h.victim.Close()
	})
	return h
}

// opens opens a stream to the victim.
func (h *hostile) opens(method string, payload []byte) *hostileStream {
	h.t.Helper()
	desc := &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}
	ctx, cancel := context.WithCancel(ctx)
	s, err := h.client.NewStream(ctx, desc, serviceName, method, &ttrpc.RawMessage{Payload: payload})
	if err != nil {
		cancel()
		return nil
	}
	return &hostileStream{s, func(error) { _ = s.CloseSend() }, cancel}
}

// meet answers the victim that was dialled.
func (h *hostile) meet(ctx context.Context, unmarshal func(any) error) (any, error) {
	var raw ttrpc.RawMessage
	if err := unmarshal(&raw); err != nil {
		return nil, err
	}
	hello, err := parseHello(raw.Payload)
	h.number = hello.session
	return &ttrpc.RawMessage{}, err
}

// controlled answers the victim that has dialled.
func (h *hostile) controlled(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
	var raw ttrpc.RawMessage
	if err := stream.RecvMsg(&raw); err != nil {
		return nil, err
	}
	m, err := parseControl(raw.Payload)
	if err != nil {
		return nil, err
	}
	if h.client, err = ttrpc.PeerClient(ctx); err != nil {
		return nil, err
	}
	h.number = m.hello.session
	hello := &wireHello{version: wireVersion, session: 77, answers: h.number, codec: "msgpack"}
	if err := h.client.Call(ctx, serviceName, "Meet", &ttrpc.RawMessage{Payload: hello.append(nil)}, new(ttrpc.RawMessage)); err != nil {
		return nil, err
	}
	d, err := ttrpc.Detach(ctx)
	if err != nil {
		return nil, err
	}
	end := func(err error) { _ = d.End(nil, err) }
	h.control = &hostileStream{d, end, func() { end(errors.New("cancelled")) }}
	return nil, d.SendMsg(&ttrpc.RawMessage{Payload: (&wireControl{hello: hello}).append(nil)})
}

// opened takes a stream of the victim's.
func (h *hostile) opened(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
	d, err := ttrpc.Detach(ctx)
	if err != nil {
		return nil, err
	}
	end := func(err error) { _ = d.End(nil, err) }
	h.keep(&hostileStream{d, end, func() { end(errors.New("cancelled")) }})
	return nil, nil
}

// keep keeps a stream for the end.
func (h *hostile) keep(s *hostileStream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.streams = append(h.streams, s)
}

// open opens the stream of a channel. A new one is the hostile's to number.
func (h *hostile) open(o wireOpen) *hostileStream {
	h.t.Helper()
	o.session = h.number
	s := h.opens("Open", o.append(nil))
	if s != nil {
		h.keep(s)
	}
	synctest.Wait()
	return s
}

// says sends a payload, if there is credit.
func (s *hostileStream) says(payload []byte) {
	if s != nil {
		_ = s.msgs.SendMsg(ttrpc.Within(tried, &ttrpc.RawMessage{Payload: payload}))
		synctest.Wait()
	}
}

// sends sends a message with references.
func (s *hostileStream) sends(body []byte, codec string, refs ...wireRef) {
	m := wireMessage{body: body, codec: codec, refs: refs}
	payload := append(make([]byte, headroom), body...)
	s.says(m.appendBeside(withBodyTag(payload)))
}

// wantEnd expects that the stream has ended with an error, without waiting.
func (s *hostileStream) wantEnd(t *testing.T) *status.Status {
	t.Helper()
	synctest.Wait()
	for range 100 {
		if err := s.msgs.RecvMsg(ttrpc.Within(tried, new(ttrpc.RawMessage))); isTried(err) {
			t.Error("the stream goes on")
		} else if err != nil {
			st, _ := status.FromError(err)
			return st
		}
	}
	t.Error("the stream goes on and on")
	return nil
}

// tells sends a message on the control stream.
func (h *hostile) tells(c wireControl) { h.control.says(c.append(nil)) }

// note is a body that refers to these, as a list.
func bodyOf(refs ...Ref) []byte {
	b, err := Msgpack.Marshal(nil, refs, plainRefs{})
	if err != nil {
		panic(err)
	}
	return b
}

// leaves ends the connection, and expects that nothing is left of the session.
func (h *hostile) leaves() {
	h.t.Helper()
	h.close()
	<-h.victim.Done()
	synctest.Wait()
	h.victim.Close()
	wantNothingLeft(h.t, h.victim)
}

// wantNothingLeft expects that a session holds nothing any more.
func wantNothingLeft(t *testing.T, s *Session) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.channels) != 0 || s.buffered != 0 || s.room != nil {
		t.Errorf("a session that has ended holds %d channels and %d bytes", len(s.channels), s.buffered)
	}
	s.home.mu.Lock()
	defer s.home.mu.Unlock()
	if len(s.home.sessions) != 0 {
		t.Errorf("%d sessions are left", len(s.home.sessions))
	}
}

// A drinker uses all channels that the peer gives it: it receives, and receives from what comes,
// and sends.
type drinker struct {
	s *Session
}

func (d *drinker) run() {
	for {
		_, r, err := d.s.Accept(ctx)
		if err != nil {
			return
		}
		go d.drink(r)
	}
}

func (d *drinker) drink(r ContextReceiver) {
	for {
		var v any
		err := r.Receive(&v)
		if err != nil && r.Cause() != nil && r.Len() == 0 {
			return
		}
		d.use(v)
	}
}

// use uses the ends in a value.
func (d *drinker) use(v any) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			d.use(x)
		}
	case map[string]any:
		for _, x := range v {
			d.use(x)
		}
	case ContextReceiver:
		go d.drink(v)
	case ContextSender:
		go func() {
			r, s := pipe(1)
			for i := range 3 {
				_ = v.Send(i)
			}
			if v.Send([]any{s, "with an end"}) == nil {
				go d.drink(r)
			}
			_ = v.Close()
		}()
	}
}
