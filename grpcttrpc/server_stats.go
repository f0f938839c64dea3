// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// servedStats is what stats handlers are told of one call. The nil one tells nobody.
type servedStats struct {
	handlers statsHandlers
	ctx      context.Context // as they have made it
	began    time.Time

	mu              sync.Mutex
	header, trailer metadata.MD // as set so far
	headerSent      bool
}

// errNoReturn is how a call has ended whose handler does not return: it has panicked.
var errNoReturn = status.Error(codes.Internal, "grpcttrpc: the handler has not returned")

// beginStats tells stats handlers that the call begins, if there are any, and returns the
// handler's context.
func (c *servedCall) beginStats() context.Context {
	handlers := c.method.config.stats
	if handlers == nil {
		return c
	}
	s := &servedStats{handlers: handlers, began: time.Now()}
	s.ctx = handlers.tag(c, &stats.RPCTagInfo{FullMethodName: c.method.fullName})
	c.stats = s
	in := &stats.InHeader{FullMethod: c.method.fullName, Header: c.metadata().Copy()}
	if p, ok := ttrpc.PeerFromContext(c.Context); ok {
		in.RemoteAddr, in.LocalAddr = p.Addr, p.LocalAddr
	}
	handlers.tell(s.ctx, in)
	handlers.tell(s.ctx, &stats.Begin{BeginTime: s.began, IsClientStream: c.method.clientStreams, IsServerStream: c.method.serverStreams})
	return s.ctx
}

// received tells of a message of n bytes.
func (s *servedStats) received(m any, n int) {
	if s != nil {
		s.handlers.tell(s.ctx, inPayload(false, m, n))
	}
}

// sent tells of a message of n bytes, and of the header before it.
func (s *servedStats) sent(m any, n int) {
	if s != nil {
		s.sendHeader(nil)
		s.handlers.tell(s.ctx, outPayload(false, m, n))
	}
}

// end tells of the end.
func (s *servedStats) end(err error) {
	if s == nil {
		return
	}
	s.mu.Lock()
	header, trailer := s.header, s.trailer
	s.mu.Unlock()
	if len(header) > 0 {
		s.sendHeader(nil)
	}
	s.handlers.tell(s.ctx, &stats.OutTrailer{Trailer: trailer.Copy()})
	s.handlers.tell(s.ctx, &stats.End{BeginTime: s.began, EndTime: time.Now(), Error: err})
}

func (s *servedStats) setHeader(md metadata.MD) {
	if s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.header = metadata.Join(s.header, md)
	}
}

// sendHeader tells of the header, if it was not sent before.
func (s *servedStats) sendHeader(md metadata.MD) {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.header = metadata.Join(s.header, md)
	header, sent := s.header, s.headerSent
	s.headerSent = true
	s.mu.Unlock()
	if !sent {
		s.handlers.tell(s.ctx, &stats.OutHeader{Header: header.Copy()})
	}
}

func (s *servedStats) setTrailer(md metadata.MD) {
	if s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.trailer = metadata.Join(s.trailer, md)
	}
}
