// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc

import (
	"io"

	"github.com/containerd/ttrpc"
)

// A callAsStream is a unary call that gRPC's user makes as a stream on which nobody streams. On
// the wire it is a unary call. It implements [ttrpc.ClientStream].
type callAsStream struct {
	done   chan struct{} // closed once answer and err are set
	answer ttrpc.RawMessage
	err    error
}

// callAsStream begins a call with an encoded request.
func (s *clientStream) callAsStream(request any) ttrpc.ClientStream {
	c := &callAsStream{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.err = s.conn.client.Call(s.sendCtx, s.service, s.name, request, &c.answer)
	}()
	return c
}

// RecvMsg implements [ttrpc.ClientStream]. It is called once.
func (c *callAsStream) RecvMsg(m any) error {
	<-c.done
	if c.err == nil {
		*m.(*ttrpc.RawMessage) = c.answer
	}
	return c.err
}

// SendMsg implements [ttrpc.ClientStream]. It is not called.
func (c *callAsStream) SendMsg(any) error { return io.EOF }

// CloseSend implements [ttrpc.ClientStream]. It is not called.
func (c *callAsStream) CloseSend() error { return nil }
