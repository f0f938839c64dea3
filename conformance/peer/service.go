// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"sort"
	"strings"
	"sync"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/conformance/service"
)

const serviceName = "ttrpc.conformance.v1.Conformance"

// register registers the service.
func register(s *ttrpc.Server, leave func()) {
	w := waits
	s.RegisterService(serviceName, &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"Unary":    method(unary),
			"Fail":     fail,
			"Wait":     method(w.wait),
			"Ended":    method(w.ended),
			"CallBack": method(callBack),
			"Files":    method(files),
			"Leave": method(func(ctx context.Context, ask *service.Request) (*service.Answer, error) {
				go leave()
				return unary(ctx, ask)
			}),
		},
		Streams: map[string]ttrpc.Stream{
			"ClientStream": {Handler: clientStream, StreamingClient: true},
			"ServerStream": {Handler: serverStream, StreamingServer: true},
			"Bidi":         {Handler: bidi, StreamingClient: true, StreamingServer: true},
		},
	})
}

func method(do func(context.Context, *service.Request) (*service.Answer, error)) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(any) error) (any, error) {
		ask := new(service.Request)
		if err := unmarshal(ask); err != nil {
			return nil, err
		}
		answer, err := do(ctx, ask)
		if err != nil {
			return nil, err
		}
		return answer, nil
	}
}

// failure makes an error of a status.
func failure(s *service.Status) error {
	return status.ErrorProto(&spb.Status{Code: s.Code, Message: s.Message, Details: s.Details})
}

func fail(_ context.Context, unmarshal func(any) error) (any, error) {
	s := new(service.Status)
	if err := unmarshal(s); err != nil {
		return nil, err
	}
	return nil, failure(s)
}

// unary does what a request says.
func unary(ctx context.Context, ask *service.Request) (*service.Answer, error) {
	return answer(ctx, ask, 0)
}

func answer(ctx context.Context, ask *service.Request, index uint32) (*service.Answer, error) {
	if ask.DelayMs > 0 {
		select {
		case <-time.After(time.Duration(ask.DelayMs) * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	setMetadata(ctx, ask)
	if ask.Status != nil {
		return nil, failure(ask.Status)
	}
	a := &service.Answer{Text: ask.Text, Index: index}
	if ask.Size > 0 {
		a.Text = strings.Repeat("x", int(ask.Size))
	}
	show(ctx, ask, a)
	return a, nil
}

// show puts into an answer what came with the request.
func show(ctx context.Context, ask *service.Request, a *service.Answer) {
	if !ask.Show {
		return
	}
	md, _ := ttrpc.GetMetadata(ctx)
	for key, values := range md {
		for _, value := range values {
			a.Metadata = append(a.Metadata, &service.Pair{Key: key, Value: value})
		}
	}
	sort.SliceStable(a.Metadata, func(i, j int) bool { return a.Metadata[i].Key < a.Metadata[j].Key })
	if deadline, ok := ctx.Deadline(); ok {
		a.TimeoutMs = uint32(max(1, time.Until(deadline).Milliseconds()))
	}
}

func clientStream(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
	total := new(service.Answer)
	for {
		ask := new(service.Request)
		if err := stream.RecvMsg(ask); errors.Is(err, io.EOF) {
			return total, nil
		} else if err != nil {
			return nil, err
		}
		one, err := answer(ctx, ask, 0)
		if err != nil {
			return nil, err
		}
		total.Text += one.Text
		total.Received++
		total.Metadata, total.TimeoutMs = one.Metadata, one.TimeoutMs
		if ask.Now {
			return total, nil
		}
	}
}

func serverStream(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
	ask := new(service.Request)
	if err := stream.RecvMsg(ask); err != nil {
		return nil, err
	}
	last := ask.Status
	ask.Status = nil
	setMetadata(ctx, ask)
	for i := range ask.Count {
		a, err := answer(ctx, ask, i)
		if err != nil {
			return nil, err
		}
		if err := stream.SendMsg(a); err != nil {
			return nil, err
		}
	}
	if last != nil {
		return nil, failure(last)
	}
	return nil, nil
}

func bidi(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
	for i := uint32(0); ; i++ {
		ask := new(service.Request)
		if err := stream.RecvMsg(ask); errors.Is(err, io.EOF) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		a, err := answer(ctx, ask, i)
		if err != nil {
			return nil, err
		}
		if err := stream.SendMsg(a); err != nil {
			return nil, err
		}
		if ask.Now {
			return nil, nil
		}
	}
}

// waiting remembers how the calls of Wait have ended.
type waiting struct {
	mu   sync.Mutex
	ends map[string]chan int32
}

var waits = &waiting{ends: make(map[string]chan int32)}

func (w *waiting) end(text string) chan int32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ends[text] == nil {
		w.ends[text] = make(chan int32, 1)
	}
	return w.ends[text]
}

func (w *waiting) wait(ctx context.Context, ask *service.Request) (*service.Answer, error) {
	<-ctx.Done()
	w.end(ask.Text) <- codeOfEnd(ctx)
	return nil, ctx.Err()
}

func (w *waiting) ended(_ context.Context, ask *service.Request) (*service.Answer, error) {
	select {
	case code := <-w.end(ask.Text):
		return &service.Answer{Text: ask.Text, Code: code}, nil
	case <-time.After(5 * time.Second):
		return nil, status.Errorf(codes.NotFound, "no Wait has ended that has the text %q", ask.Text)
	}
}
