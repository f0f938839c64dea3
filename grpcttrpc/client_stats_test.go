// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
)

type taggedKey struct{}

// A notingStats notes what a stats handler is told. What has come, header and trailer, grpc-go tells
// from another goroutine, so its place among the rest is not noted.
type notingStats struct {
	r    *clientRun
	mu   sync.Mutex
	came []string
}

func (h *notingStats) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	h.r.note("TagRPC %s, fails fast: %v", info.FullMethodName, info.FailFast)
	ctx = metadata.AppendToOutgoingContext(ctx, "a", "tagged")
	return context.WithValue(ctx, taggedKey{}, info.FullMethodName)
}

func (h *notingStats) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if ctx.Value(taggedKey{}) == nil || !s.IsClient() {
		h.r.Errorf("B129: %T is told with another context, or as a server's", s)
	}
	switch s := s.(type) {
	case *stats.Begin:
		h.r.note("Begin client %v server %v, fails fast: %v", s.IsClientStream, s.IsServerStream, s.FailFast)
	case *stats.OutHeader:
		if s.RemoteAddr == nil || s.LocalAddr == nil || s.RemoteAddr.Network() != "unix" {
			h.r.Errorf("B129: OutHeader is to %v, from %v", s.RemoteAddr, s.LocalAddr)
		}
		h.r.note("OutHeader %s: %s", s.FullMethod, ofUsers(s.Header))
	case *stats.OutPayload:
		h.r.note("OutPayload %T %d %d", s.Payload, s.Length, s.CompressedLength)
	case *stats.InPayload:
		h.noteCame()
		h.r.note("InPayload %T %d %d", s.Payload, s.Length, s.CompressedLength)
	case *stats.InHeader:
		h.mu.Lock()
		defer h.mu.Unlock()
		h.came = append(h.came, "InHeader "+ofUsers(s.Header))
	case *stats.InTrailer:
		h.mu.Lock()
		defer h.mu.Unlock()
		h.came = append(h.came, "InTrailer "+ofUsers(s.Trailer))
	case *stats.End:
		h.mu.Lock()
		defer h.mu.Unlock()
		h.r.note("%s", strings.Join(h.came, "\n"))
		h.came = nil
		h.r.note("End %s: %s", ofUsers(s.Trailer), told(s.Error))
	case *stats.DelayedPickComplete: // grpc-go has connected
	default:
		h.r.note("%T", s)
	}
}

// noteCame holds that a header has come before a message.
func (h *notingStats) noteCame() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.r.note("after a header: %v", len(h.came) > 0 && strings.HasPrefix(h.came[0], "InHeader"))
}

func (h *notingStats) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (h *notingStats) HandleConn(context.Context, stats.ConnStats)                       {}

// TestStats has a stats handler look at calls of all kinds, that succeed and that fail in each way.
func TestStats(t *testing.T) {
	recorded := func(r *clientRun) stats.Handler { return &notingStats{r: r} }
	(&clientCase{service: described(), stats: recorded, run: func(r *clientRun) {
		for _, pairs := range [][]string{{"b-bin", "\x00\xff"}, {"fails", "1"}} {
			ctx := metadata.AppendToOutgoingContext(r.ctx, pairs...)
			eachKindToEnd(r, ctx)
		}
	}}).beside(t)
	(&clientCase{stats: recorded, run: func(r *clientRun) { eachKindToEnd(r, r.ctx) }}).beside(t)
	(&clientCase{stats: recorded, run: func(r *clientRun) {
		r.noteErr("refused", r.conn.Invoke(metadata.AppendToOutgoingContext(r.ctx, "", ""), "/s/m", smallRequest, nil))
		eachKindToEnd(r, r.ctx, grpc.PerRPCCredentials(token{fails: true}))
		eachKindToEnd(r, r.ctx, grpc.ForceCodec(brokenCodec{}), grpc.WaitForReady(true))
		eachKindToEnd(r, r.ctx, grpc.MaxCallSendMsgSize(1))
		over, cancel := context.WithCancel(r.ctx)
		cancel()
		eachKindToEnd(r, over)
		r.close()
		eachKindToEnd(r, r.ctx)
	}}).beside(t)
	// Who fails with nothing sent before sends no header.
	(&clientCase{service: &testService{
		unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) { return nil, errEarly },
		down: func(*testpb.StreamingOutputCallRequest, testpb.TestService_StreamingOutputCallServer) error {
			return errEarly
		},
		up: func(s testpb.TestService_StreamingInputCallServer) error {
			_, err := s.Recv() // so that the client has sent it
			return errors.Join(err, errEarly)
		},
		duplex: func(s testpb.TestService_FullDuplexCallServer) error {
			s.Recv()
			_, err := s.Recv()
			if err == io.EOF {
				return errEarly
			}
			return err
		},
	}, stats: recorded, run: func(r *clientRun) { eachKindToEnd(r, r.ctx) }}).beside(t)
}

// eachKindToEnd makes a call of each kind to its end, one after the other.
func eachKindToEnd(r *clientRun, ctx context.Context, opts ...grpc.CallOption) {
	_, err := r.stub.UnaryCall(ctx, smallRequest, opts...)
	r.noteErr("unary", err)
	req := &testpb.StreamingOutputCallRequest{ResponseParameters: []*testpb.ResponseParameters{{Size: 3}, {Size: 5}}}
	down, err := r.stub.StreamingOutputCall(ctx, req, opts...)
	for err == nil {
		_, err = down.Recv()
	}
	r.noteErr("down", err)
	up, err := r.stub.StreamingInputCall(ctx, opts...)
	if err == nil {
		err = up.Send(inputOf(7))
	}
	if err == nil {
		_, err = up.CloseAndRecv()
	}
	r.noteErr("up", err)
	duplex, err := r.stub.FullDuplexCall(ctx, opts...)
	if err == nil {
		err = duplex.Send(askFor(7))
	}
	if err == nil {
		err = duplex.CloseSend()
	}
	for err == nil {
		_, err = duplex.Recv()
	}
	r.noteErr("duplex", err)
}
