// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package calls

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/kit"
	"github.com/containerd/ttrpc/internal/memconn"
)

// fakeClient serves desc as the service "fake.Service" with the server's
// options and returns a client of it. Both end with the test.
func fakeClient(t *testing.T, desc *ttrpc.ServiceDesc, serverOpts []ttrpc.ServerOpt, clientOpts ...ttrpc.ClientOpts) *ttrpc.Client {
	t.Helper()
	srv, err := ttrpc.NewServer(serverOpts...)
	if err != nil {
		t.Fatal(err)
	}
	srv.RegisterService("fake.Service", desc)
	near, far := memconn.Pipe(0)
	server := kit.Serve(srv)
	server.Hand(far)
	client := ttrpc.NewClient(near, clientOpts...)
	t.Cleanup(func() {
		client.Close()
		server.End(t)
	})
	return client
}

// fakeCalls is fakeClient with one method.
func fakeCalls(t *testing.T, method ttrpc.Method, opts ...ttrpc.ClientOpts) *ttrpc.Client {
	t.Helper()
	return fakeClient(t, &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{"Method": method}}, nil, opts...)
}

// fakeCall calls the method of fakeCalls, which must succeed.
func fakeCall(t *testing.T, ctx context.Context, client *ttrpc.Client) {
	t.Helper()
	if err := client.Call(ctx, "fake.Service", "Method", new(emptypb.Empty), new(emptypb.Empty)); err != nil {
		t.Fatal(err)
	}
}

// A fakeTrace notes what ran, in order.
type fakeTrace struct {
	mu    sync.Mutex
	notes []string
}

func (x *fakeTrace) note(format string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.notes = append(x.notes, fmt.Sprintf(format, args...))
}

func (x *fakeTrace) want(t *testing.T, rule, want string) {
	t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	if got := strings.Join(x.notes, " "); got != want {
		t.Errorf("%s: what ran is\n\t%s, want\n\t%s", rule, got, want)
	}
	x.notes = nil
}

func (x *fakeTrace) unaryServer(name string) ttrpc.UnaryServerInterceptor {
	return func(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
		x.note("%s%s", name, info.FullMethod)
		defer x.note("/%s", name)
		return method(ctx, unmarshal)
	}
}

func (x *fakeTrace) unaryClient(name string) ttrpc.UnaryClientInterceptor {
	return func(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, info *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
		x.note("%s%s", name, info.FullMethod)
		defer x.note("/%s", name)
		return invoke(ctx, req, resp)
	}
}

func (x *fakeTrace) streamServer(name string) ttrpc.StreamServerInterceptor {
	return func(ctx context.Context, stream ttrpc.StreamServer, info *ttrpc.StreamServerInfo, handler ttrpc.StreamHandler) (any, error) {
		x.note("%s%s,%v,%v", name, info.FullMethod, info.StreamingClient, info.StreamingServer)
		defer x.note("/%s", name)
		return handler(ctx, stream)
	}
}

func (x *fakeTrace) streamClient(name string) ttrpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *ttrpc.StreamDesc, fullMethod string, open ttrpc.Streamer) (ttrpc.ClientStream, error) {
		x.note("%s%s,%v,%v", name, fullMethod, desc.StreamingClient, desc.StreamingServer)
		defer x.note("/%s", name)
		return open(ctx, desc, fullMethod)
	}
}

func TestUnaryInterceptorOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var x fakeTrace
		method := func(context.Context, func(any) error) (any, error) {
			x.note("handler")
			return new(emptypb.Empty), nil
		}
		client := fakeClient(t, &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{"Method": method}},
			[]ttrpc.ServerOpt{
				ttrpc.WithChainUnaryServerInterceptor(x.unaryServer("s2"), x.unaryServer("s3")),
				ttrpc.WithUnaryServerInterceptor(nil),
				ttrpc.WithUnaryServerInterceptor(x.unaryServer("s1")),
				ttrpc.WithChainUnaryServerInterceptor(x.unaryServer("s4")),
			},
			ttrpc.WithChainUnaryClientInterceptor(x.unaryClient("c2"), x.unaryClient("c3")),
			ttrpc.WithUnaryClientInterceptor(x.unaryClient("lost")),
			ttrpc.WithUnaryClientInterceptor(x.unaryClient("c1")),
			ttrpc.WithChainUnaryClientInterceptor(x.unaryClient("c4")))
		const path = "/fake.Service/Method"
		for range 2 {
			fakeCall(t, t.Context(), client)
			x.want(t, "B13, B27", "c1"+path+" c2"+path+" c3"+path+" c4"+path+
				" s1"+path+" s2"+path+" s3"+path+" s4"+path+
				" handler /s4 /s3 /s2 /s1 /c4 /c3 /c2 /c1")
		}
	})
}

func TestStreamInterceptorOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var x, y fakeTrace // of the server and of the client, which run side by side
		handler := func(context.Context, ttrpc.StreamServer) (any, error) {
			x.note("handler")
			return nil, nil
		}
		client := fakeClient(t, &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{"M": {Handler: handler, StreamingServer: true}}},
			[]ttrpc.ServerOpt{
				ttrpc.WithChainStreamServerInterceptor(x.streamServer("s1"), x.streamServer("s2")),
				ttrpc.WithChainStreamServerInterceptor(),
				ttrpc.WithChainStreamServerInterceptor(x.streamServer("s3")),
			},
			ttrpc.WithChainStreamClientInterceptor(y.streamClient("c1"), y.streamClient("c2")),
			ttrpc.WithChainStreamClientInterceptor(),
			ttrpc.WithChainStreamClientInterceptor(y.streamClient("c3")))
		stream, err := client.NewStream(t.Context(), &ttrpc.StreamDesc{StreamingServer: true}, "fake.Service", "M", nil)
		if err != nil {
			t.Fatal(err)
		}
		const info = "/fake.Service/M,false,true"
		y.want(t, "stream interceptors of the client", "c1"+info+" c2"+info+" c3"+info+" /c3 /c2 /c1")
		if err := stream.RecvMsg(new(emptypb.Empty)); err != io.EOF {
			t.Errorf("the stream ends with %v", err)
		}
		x.want(t, "stream interceptors of the server", "s1"+info+" s2"+info+" s3"+info+" handler /s3 /s2 /s1")
	})
}

func TestInterceptorGivenTwice(t *testing.T) {
	var x fakeTrace
	srv, err := ttrpc.NewServer(ttrpc.WithUnaryServerInterceptor(x.unaryServer("a")), ttrpc.WithUnaryServerInterceptor(x.unaryServer("b")))
	if err == nil || srv != nil {
		t.Errorf("B27: two single interceptors: NewServer returns %v, %v; want an error", srv, err)
	}
}

// TestClientInterceptorSeesRequest holds what an interceptor finds in the
// request, and that what it leaves there is what the handler gets.
func TestClientInterceptorSeesRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got ttrpc.MD
		var left time.Duration
		method := func(ctx context.Context, _ func(any) error) (any, error) {
			got, _ = ttrpc.GetMetadata(ctx)
			deadline, _ := ctx.Deadline()
			left = time.Until(deadline)
			return new(emptypb.Empty), nil
		}
		var seen *ttrpc.Request
		client := fakeCalls(t, method, ttrpc.WithUnaryClientInterceptor(
			func(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, _ *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
				seen = &ttrpc.Request{Service: req.Service, Method: req.Method, TimeoutNano: req.TimeoutNano, Metadata: req.Metadata}
				req.Metadata = []*ttrpc.KeyValue{{Key: "New", Value: "1"}, {Key: "New", Value: "2"}}
				req.TimeoutNano = int64(time.Minute)
				return invoke(ctx, req, resp)
			}))
		md := ttrpc.MD{"k": {"v"}}
		ctx, cancel := context.WithTimeout(ttrpc.WithMetadata(t.Context(), md), time.Hour)
		defer cancel()
		fakeCall(t, ctx, client)
		if seen.Service != "fake.Service" || seen.Method != "Method" || seen.TimeoutNano != int64(time.Hour) ||
			len(seen.Metadata) != 1 || seen.Metadata[0].Key != "k" || seen.Metadata[0].Value != "v" {
			t.Errorf("B14: the interceptor sees %v, want the metadata %v and the timeout %v", seen, md, time.Hour)
		}
		if want := (ttrpc.MD{"New": {"1", "2"}}); !reflect.DeepEqual(got, want) || left != time.Minute {
			t.Errorf("B14: the handler gets %v and %v, want what the interceptor left: %v and %v", got, left, want, time.Minute)
		}
		if !reflect.DeepEqual(md, ttrpc.MD{"k": {"v"}}) {
			t.Errorf("B15: the caller's metadata is now %v", md)
		}
	})
}

// TestClientInterceptorAnswers holds what becomes of an interceptor's own
// answer, and that it sees the server's.
func TestClientInterceptorAnswers(t *testing.T) {
	errOwn := errors.New("of the interceptor")
	var intercept ttrpc.UnaryClientInterceptor
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		client := fakeCalls(t, func(context.Context, func(any) error) (any, error) {
			if calls++; calls%2 == 1 {
				return nil, status.Error(codes.Aborted, "again")
			}
			return wrapperspb.String("answer"), nil
		}, ttrpc.WithUnaryClientInterceptor(func(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, info *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
			return intercept(ctx, req, resp, info, invoke)
		}))
		call := func() (string, error) {
			var resp wrapperspb.StringValue
			err := client.Call(t.Context(), "fake.Service", "Method", new(emptypb.Empty), &resp)
			return resp.Value, err
		}
		intercept = func(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, _ *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
			if err := invoke(ctx, req, resp); err != nil || codes.Code(resp.Status.GetCode()) != codes.Aborted {
				t.Errorf("the first try gives %v, %v; want the status in the response", resp, err)
			}
			return invoke(ctx, req, resp)
		}
		if got, err := call(); got != "answer" || err != nil || calls != 2 {
			t.Errorf("after a second try: %q, %v, %d calls", got, err, calls)
		}
		intercept = func(_ context.Context, _ *ttrpc.Request, resp *ttrpc.Response, _ *ttrpc.UnaryClientInfo, _ ttrpc.Invoker) error {
			resp.Status = status.New(codes.DataLoss, "own status").Proto()
			return nil
		}
		if _, err := call(); status.Code(err) != codes.DataLoss || calls != 2 {
			t.Errorf("the interceptor's status becomes %v, %d calls", err, calls)
		}
		intercept = func(context.Context, *ttrpc.Request, *ttrpc.Response, *ttrpc.UnaryClientInfo, ttrpc.Invoker) error {
			return errOwn
		}
		if _, err := call(); err != errOwn {
			t.Errorf("the interceptor's error becomes %v", err)
		}
	})
}

// TestServerInterceptorAnswers holds that an interceptor may answer, and wrap
// the Unmarshaler.
func TestServerInterceptorAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		intercept := func(ctx context.Context, unmarshal ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
			var req wrapperspb.StringValue
			if err := unmarshal(&req); err != nil {
				return nil, err
			}
			if req.Value == "refuse" {
				return nil, status.Error(codes.PermissionDenied, "refused")
			}
			return method(ctx, func(m any) error {
				err := unmarshal(m)
				m.(*wrapperspb.StringValue).Value += ", read twice"
				return err
			})
		}
		client := fakeClient(t, &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{"Method": kit.Service().Methods["Echo"]}}, []ttrpc.ServerOpt{ttrpc.WithUnaryServerInterceptor(intercept)})
		var resp wrapperspb.StringValue
		err := client.Call(t.Context(), "fake.Service", "Method", wrapperspb.String("hello"), &resp)
		if err != nil || resp.Value != "hello, read twice" {
			t.Errorf("B27: the answer is %q, %v", resp.Value, err)
		}
		err = client.Call(t.Context(), "fake.Service", "Method", wrapperspb.String("refuse"), &resp)
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("B27: the interceptor's refusal becomes %v", err)
		}
	})
}
