// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TestInterceptorsJoin holds that interceptors of each kind run in the order of the options,
// the first outermost, and that nil ones are none.
func TestInterceptorsJoin(t *testing.T) {
	var ran []string
	unaryServer := func(name string) UnaryServerInterceptor {
		return func(ctx context.Context, unmarshal Unmarshaler, info *UnaryServerInfo, method Method) (any, error) {
			ran = append(ran, "server "+name+" "+info.FullMethod)
			return method(ctx, unmarshal)
		}
	}
	streamServer := func(name string) StreamServerInterceptor {
		return func(ctx context.Context, s StreamServer, info *StreamServerInfo, handler StreamHandler) (any, error) {
			ran = append(ran, "server "+name+" "+info.FullMethod)
			return handler(ctx, s)
		}
	}
	unaryClient := func(name string) UnaryClientInterceptor {
		return func(ctx context.Context, req *Request, resp *Response, info *UnaryClientInfo, invoke Invoker) error {
			ran = append(ran, "client "+name+" "+info.FullMethod)
			return invoke(ctx, req, resp)
		}
	}
	streamClient := func(name string) StreamClientInterceptor {
		return func(ctx context.Context, desc *StreamDesc, method string, open Streamer) (ClientStream, error) {
			ran = append(ran, "client "+name+" "+method)
			return open(ctx, desc, method)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		p := newBubblePair(t, []ServerOpt{
			WithUnaryServerInterceptor(unaryServer("a")),
			WithChainUnaryServerInterceptor(nil, unaryServer("b"), nil, unaryServer("c")),
			WithChainStreamServerInterceptor(streamServer("a")),
			WithChainStreamServerInterceptor(streamServer("b"), streamServer("c")),
		},
			WithUnaryClientInterceptor(unaryClient("a")),
			WithChainUnaryClientInterceptor(nil, unaryClient("b"), nil, unaryClient("c")),
			WithChainStreamClientInterceptor(streamClient("a")),
			WithChainStreamClientInterceptor(streamClient("b"), streamClient("c")),
		)
		defer p.client.Close()
		want := func(rule, method string) {
			t.Helper()
			synctest.Wait()
			var all []string
			for _, side := range []string{"client", "server"} {
				for _, name := range []string{"a", "b", "c"} {
					all = append(all, side+" "+name+" "+method)
				}
			}
			if !slices.Equal(ran, all) {
				t.Errorf("%s: %q ran, want %q", rule, ran, all)
			}
			ran = nil
		}
		if err := p.echo(t.Context(), "a"); err != nil {
			t.Errorf("B27: %v", err)
		}
		want("B27: a call", "/test/Echo")
		s, err := p.client.NewStream(t.Context(), bidi, "test", "Echoes", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SendMsg(wrapperspb.Bytes([]byte("x"))); err != nil {
			t.Errorf("B27: %v", err)
		}
		m := new(wrapperspb.BytesValue)
		if err := s.RecvMsg(m); err != nil || string(m.Value) != "x" {
			t.Errorf("B27: %q, %v", m.Value, err)
		}
		want("B27: a stream", "/test/Echoes")
	})
	for what, opt := range map[string]ServerOpt{"nil": WithUnaryServerInterceptor(nil), "none": WithChainUnaryServerInterceptor()} {
		if _, err := NewServer(opt, WithUnaryServerInterceptor(unaryServer("a"))); err != nil {
			t.Errorf("B27: an interceptor beside %s: %v", what, err)
		}
	}
	if _, err := NewServer(WithUnaryServerInterceptor(unaryServer("a")), WithUnaryServerInterceptor(unaryServer("b"))); err == nil {
		t.Error("B27: two single interceptors are taken")
	}
}
