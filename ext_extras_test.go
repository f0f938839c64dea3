// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && linux

package ttrpc

import (
	"context"
	"errors"
	"os"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// newInterceptedPair is newFilePair with an interceptor at the client, and a handler that
// fails the first call with Unavailable, and gives as many files as its request had, and one
// more with each call.
func newInterceptedPair(t *testing.T, unary UnaryClientInterceptor, opts ...ClientOpts) *extendedPair {
	t.Helper()
	limits := Limits{Files: 20}
	opts = append(opts, WithClientLimits(limits))
	if unary != nil {
		opts = append(opts, WithUnaryClientInterceptor(unary))
	}
	p := newExtendedPair(t, []ServerOpt{WithServerLimits(limits)}, opts...)
	calls := 0
	p.server.RegisterService("count", &ServiceDesc{
		Methods: map[string]Method{"Count": func(ctx context.Context, _ func(any) error) (any, error) {
			files, err := FilesFromContext(ctx)
			in := files.Claim()
			defer closeFiles(in)
			for range calls {
				err = errors.Join(err, files.Attach(os.Stdin))
			}
			if calls++; calls == 1 {
				return nil, status.Error(codes.Unavailable, "busy")
			}
			return wrapperspb.Int32(int32(len(in))), err
		}},
		Streams: map[string]Stream{"Counts": {StreamingClient: true, Handler: func(ctx context.Context, s StreamServer) (any, error) {
			files, err := FilesFromContext(ctx)
			in := files.Claim()
			defer closeFiles(in)
			return wrapperspb.Int32(int32(len(in))), errors.Join(err, files.Attach(os.Stdin))
		}}},
	})
	return p
}

// TestFilesOfSecondTry holds that a call which an interceptor tries again has its files, and
// that the caller gets those of the answer that is returned.
func TestFilesOfSecondTry(t *testing.T) {
	before := openFiles(t)
	t.Run("", func(t *testing.T) {
		p := newInterceptedPair(t, func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, invoke Invoker) error {
			for range 3 {
				resp.Reset()
				if err := invoke(ctx, req, resp); err != nil {
					return err
				}
			}
			return nil
		})
		ctx, files := withFiles(t, 2)
		var n wrapperspb.Int32Value
		if err := p.client.Call(ctx, "count", "Count", wrapperspb.String(""), &n); err != nil || n.Value != 2 {
			t.Errorf("B95: %d files have come with the last try: %v", n.Value, err)
		}
		got := files.Claim()
		if len(got) != 2 {
			t.Errorf("B95: %d files of the last answer", len(got))
		}
		closeFiles(got)
	})
	wantNoMoreFiles(t, "B95", before)
}

// TestFilesOfReturnedAnswer holds that an interceptor which returns an earlier answer returns
// its files, and one that returns none of them none.
func TestFilesOfReturnedAnswer(t *testing.T) {
	for _, test := range []struct {
		returns, want int
	}{{1, 1}, {2, 2}, {-1, 0}} {
		before := openFiles(t)
		t.Run("", func(t *testing.T) {
			p := newInterceptedPair(t, func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, invoke Invoker) error {
				answers := make([]Response, 4)
				for i := range answers {
					if err := invoke(ctx, req, &answers[i]); err != nil {
						return err
					}
				}
				if test.returns < 0 {
					return nil
				}
				resp.Status, resp.Payload = answers[test.returns].Status, answers[test.returns].Payload
				return nil
			})
			ctx, files := withFiles(t, 3)
			var n wrapperspb.Int32Value
			if err := p.client.Call(ctx, "count", "Count", wrapperspb.String(""), &n); err != nil {
				t.Errorf("B95: %v", err)
			}
			got := files.Claim()
			if len(got) != test.want {
				t.Errorf("B95: %d files of answer %d, want %d", len(got), test.returns, test.want)
			}
			closeFiles(got)
		})
		wantNoMoreFiles(t, "B95", before)
	}
}

// TestFilesOfInterceptorsCall holds that a call which an interceptor makes itself neither
// takes nor gets the files of the one that it is around, and has its own if it says so.
func TestFilesOfInterceptorsCall(t *testing.T) {
	var p *extendedPair
	nested := false
	p = newInterceptedPair(t, func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, invoke Invoker) error {
		if !nested {
			nested = true
			var n wrapperspb.Int32Value
			p.client.Call(ctx, "count", "Count", wrapperspb.String(""), &n) // fails, the first
			if err := p.client.Call(ctx, "count", "Count", wrapperspb.String(""), &n); err != nil || n.Value != 0 {
				t.Errorf("B95: %d files with an interceptor's own call: %v", n.Value, err)
			}
			own, files := withFilesIn(ctx, t, 1)
			if err := p.client.Call(own, "count", "Count", wrapperspb.String(""), &n); err != nil || n.Value != 1 {
				t.Errorf("B95: %d files with an interceptor's own: %v", n.Value, err)
			}
			got := files.Claim()
			if len(got) != 2 {
				t.Errorf("B95: an interceptor gets %d files", len(got))
			}
			closeFiles(got)
		}
		return invoke(ctx, req, resp)
	})
	ctx, files := withFiles(t, 3)
	var n wrapperspb.Int32Value
	if err := p.client.Call(ctx, "count", "Count", wrapperspb.String(""), &n); err != nil || n.Value != 3 {
		t.Errorf("B95: %d files with the call: %v", n.Value, err)
	}
	got := files.Claim()
	if len(got) != 3 {
		t.Errorf("B95: %d files of the answer", len(got))
	}
	closeFiles(got)
}

// TestFilesOfInterceptor holds that files which an interceptor sends with the call have the
// place of its caller's, and that it gets those of the answer.
func TestFilesOfInterceptor(t *testing.T) {
	before := openFiles(t)
	t.Run("", func(t *testing.T) {
		calls := 0
		p := newInterceptedPair(t, func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, invoke Invoker) error {
			own, files := withFilesIn(ctx, t, 1)
			err := invoke(own, req, resp)
			got := files.Claim()
			if want := calls; len(got) != want {
				t.Errorf("B95: an interceptor gets %d files, want %d", len(got), want)
			}
			calls++
			closeFiles(got)
			return err
		})
		var n wrapperspb.Int32Value
		p.client.Call(t.Context(), "count", "Count", wrapperspb.String(""), &n) // fails, the first
		ctx, files := withFiles(t, 3)
		if err := p.client.Call(ctx, "count", "Count", wrapperspb.String(""), &n); err != nil || n.Value != 1 {
			t.Errorf("B95: %d files with the call: %v", n.Value, err)
		}
		if got := files.Claim(); len(got) != 0 {
			t.Errorf("B95: its caller gets %d files", len(got))
			closeFiles(got)
		}
	})
	wantNoMoreFiles(t, "B95", before)
}

// withFilesIn is withFiles in a context.
func withFilesIn(ctx context.Context, t *testing.T, n int) (context.Context, *CallFiles) {
	t.Helper()
	ctx, files := WithFiles(ctx)
	for range n {
		if err := files.Attach(os.Stdin); err != nil {
			t.Fatal(err)
		}
	}
	return ctx, files
}

// TestFilesOfStreamOpenedTwice holds it for a stream.
func TestFilesOfStreamOpenedTwice(t *testing.T) {
	p := newInterceptedPair(t, nil, WithChainStreamClientInterceptor(func(ctx context.Context, desc *StreamDesc, method string, open Streamer) (ClientStream, error) {
		if _, err := open(ctx, desc, method); err != nil {
			return nil, err
		}
		return open(ctx, desc, method)
	}))
	ctx, files := withFiles(t, 2)
	s, err := p.client.NewStream(ctx, &StreamDesc{StreamingClient: true}, "count", "Counts", nil)
	if err != nil {
		t.Fatal(err)
	}
	var n wrapperspb.Int32Value
	if err := s.RecvMsg(&n); err != nil || n.Value != 2 {
		t.Errorf("B95: %d files with the stream: %v", n.Value, err)
	}
	got := files.Claim()
	if len(got) != 1 {
		t.Errorf("B95: %d files of the answer", len(got))
	}
	closeFiles(got)
}

// TestFilesUsedTwice holds that a context of WithFiles is for one call, which is said.
func TestFilesUsedTwice(t *testing.T) {
	p := newInterceptedPair(t, nil)
	ctx, files := withFiles(t, 1)
	var n wrapperspb.Int32Value
	p.client.Call(ctx, "count", "Count", wrapperspb.String(""), &n)
	if err := p.client.Call(ctx, "count", "Count", wrapperspb.String(""), &n); !errors.Is(err, errFilesUsed) {
		t.Errorf("B95: a second call: %v", err)
	}
	if _, err := p.client.NewStream(ctx, bidi, "count", "Counts", nil); !errors.Is(err, errFilesUsed) {
		t.Errorf("B95: a stream: %v", err)
	}
	if err := files.Attach(os.Stdin); err != errFilesLeft {
		t.Errorf("B95: a file after the call: %v", err)
	}
	ctx, _ = WithResponseMetadata(t.Context())
	for range 2 { // as before
		if err := p.client.Call(ctx, "count", "Count", wrapperspb.String(""), &n); err != nil {
			t.Errorf("B58: %v", err)
		}
	}
}
