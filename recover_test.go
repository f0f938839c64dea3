// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A linesLogger keeps the errors that it is told.
type linesLogger struct {
	errorLogger
	mu    sync.Mutex
	lines []string
}

func (l *linesLogger) Error(msg string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, msg+" "+fmt.Sprint(args...))
}

// TestRecoveredPanicSeen holds that interceptors see the error of a panic, as they see others,
// and that the log line says where it happened and for whom. A panic of an interceptor's own
// is recovered, too.
func TestRecoveredPanicSeen(t *testing.T) {
	log := new(linesLogger)
	var seen []error // its answer comes after what an interceptor does
	p := newExtendedPair(t, []ServerOpt{WithRecoverPanics(), WithServerLogger(log),
		WithUnaryServerInterceptor(func(ctx context.Context, un Unmarshaler, info *UnaryServerInfo, m Method) (any, error) {
			resp, err := m(ctx, un)
			seen = append(seen, err)
			if info.FullMethod == "/panics/Outside" {
				panic("outside")
			}
			return resp, err
		}),
		WithChainStreamServerInterceptor(func(ctx context.Context, s StreamServer, _ *StreamServerInfo, h StreamHandler) (any, error) {
			resp, err := h(ctx, s)
			seen = append(seen, err)
			return resp, err
		})})
	inside := func(context.Context, func(any) error) (any, error) { panic("inside") }
	outside := func(context.Context, func(any) error) (any, error) { return wrapperspb.String(""), nil }
	p.server.RegisterService("panics", &ServiceDesc{
		Methods: map[string]Method{"Inside": inside, "Outside": outside},
		Streams: map[string]Stream{"Stream": {StreamingClient: true, StreamingServer: true,
			Handler: func(context.Context, StreamServer) (any, error) { panic("inside") }}},
	})
	for _, method := range []string{"Inside", "Stream", "Outside"} {
		seen = nil
		var err error
		if method != "Stream" {
			err = p.client.Call(t.Context(), "panics", method, wrapperspb.String(""), new(wrapperspb.StringValue))
		} else {
			s, opened := p.client.NewStream(t.Context(), bidi, "panics", method, nil)
			if opened != nil {
				t.Fatal(opened)
			}
			err = s.RecvMsg(nil)
		}
		word := strings.ToLower(strings.Replace(method, "Stream", "Inside", 1))
		if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), word) {
			t.Errorf("B31: %s: %v", method, err)
		}
		if len(seen) != 1 || (status.Code(seen[0]) == codes.Internal) != (word == "inside") {
			t.Errorf("B31: %s: the interceptor sees %v", method, seen)
		}
		log.mu.Lock()
		if n := len(log.lines); n == 0 || !strings.Contains(log.lines[n-1], "/panics/"+method) || !strings.Contains(log.lines[n-1], "peer") || !strings.Contains(log.lines[n-1], "recover_test.go") {
			t.Errorf("B31: %s: the log has %q", method, log.lines)
		}
		log.mu.Unlock()
	}
}

// TestPanicIsTheHandlers holds that without the option a panic stays what the handler made it.
func TestPanicIsTheHandlers(t *testing.T) {
	defer func() {
		if got := recover(); got != "the handler's fault" {
			t.Errorf("B31: the panic is %v", got)
		}
	}()
	err := new(dispatcher).notReturned(nil, "the handler's fault")
	t.Errorf("B31: it is recovered: %v", err)
}
