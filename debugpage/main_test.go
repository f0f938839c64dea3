// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package debugpage

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/leak"
	"github.com/containerd/ttrpc/internal/memconn"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// A house is a server and a client of it, and a page about both.
type house struct {
	page   *Page
	server *ttrpc.Server
	client *ttrpc.Client
	served chan struct{}
}

// newHouse opens one. Wait waits until its context ends, Fail fails, Greet returns at once, and
// Echo is a stream.
func newHouse(t *testing.T, page *Page, opts ...ttrpc.ServerOpt) *house {
	t.Helper()
	server, err := ttrpc.NewServer(append(opts, ttrpc.WithServerTrace(page.Trace()), ttrpc.WithServerExtensions())...)
	if err != nil {
		t.Fatal(err)
	}
	server.RegisterService("test.Service", &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"Greet": func(context.Context, func(any) error) (any, error) { return wrapperspb.String("hello"), nil },
			"Fail": func(context.Context, func(any) error) (any, error) {
				return nil, status.Error(codes.NotFound, "there is no <b>such</b> thing")
			},
			"Wait": func(ctx context.Context, _ func(any) error) (any, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
		},
		Streams: map[string]ttrpc.Stream{"Echo": {StreamingClient: true, StreamingServer: true, Handler: func(ctx context.Context, s ttrpc.StreamServer) (any, error) {
			for {
				m := new(wrapperspb.StringValue)
				if err := s.RecvMsg(m); err != nil {
					return nil, err
				}
				if err := s.SendMsg(m); err != nil {
					return nil, err
				}
			}
		}}},
	})
	h := &house{page: page, server: server, served: make(chan struct{})}
	near, far := memconn.StreamPipe(0)
	go func() { defer close(h.served); server.ServeConn(context.Background(), far) }()
	h.client = ttrpc.NewClient(near, ttrpc.WithExtensions(), ttrpc.WithClientTrace(page.Trace()))
	page.AddServer("house", server)
	page.AddClient("guest", h.client)
	return h
}

// close ends all.
func (h *house) close() {
	h.client.Close()
	<-h.served
	h.server.Close()
}

// call makes a call.
func (h *house) call(ctx context.Context, method string) error {
	return h.client.Call(ctx, "test.Service", method, wrapperspb.String("who"), new(wrapperspb.StringValue))
}

// get asks the page.
func get(p *Page, url string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest("GET", url, nil))
	return w
}

// post fills in a form.
func post(p *Page, form url.Values, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/debug", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

// look returns the page's JSON.
func look(t *testing.T, p *Page) (r jsonReport) {
	t.Helper()
	w := get(p, "/debug?format=json")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("B160: %d, %v", w.Code, w.Header())
	}
	if err := json.NewDecoder(w.Body).Decode(&r); err != nil {
		t.Fatalf("B160: %v", err)
	}
	return r
}

// A jsonReport is what a program reads of the page.
type jsonReport struct {
	Program                string
	PID, Running           int
	Opened, Ended, Refused uint64
	Outcomes               map[string]uint64
	Longest                []jsonStream
	Conns                  []jsonConn
	Methods                []struct {
		Method                 string
		Served                 bool
		Running, Ended, Failed uint64
		Codes                  map[string]uint64
	}
	Failures []struct {
		Method, Code, Cause, Peer string
		Served                    bool
		Conn                      uint64
		Duration                  float64
	}
	Ends []struct {
		Conn        uint64
		Server      bool
		Refused     bool
		Cause, Peer string
	}
	Recording *struct {
		Running, Full bool
		Conn          uint64
		Frames        []struct {
			Type, Method, Data string
			Sent, Server       bool
			Conn               uint64
			Length             int
		}
	}
}

type jsonConn struct {
	ID                  uint64
	Source, State, Peer string
	Server, Extended    bool
	Streams             []jsonStream
	Served, Made        ttrpc.CallCounts
}

type jsonStream struct {
	FullMethod, State, Source string
	Served, Unary             bool
	Age                       float64
	Left                      *float64
	Sent, Received            ttrpc.Volume
}

// An authed is a conn's address and what a handshake found out, for tests of what is shown.
type authed struct{ auth any }

func (a authed) Handshake(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	return conn, a.auth, nil
}
