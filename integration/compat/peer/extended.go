// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build extended

package main

import (
	"context"
	"errors"
	"log"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Ends that are told to use the extended mode use all of it that costs no change of the
// scenarios. Whatever goes wrong in it ends the process, which the test notices.

const (
	pingInterval = 10 * time.Millisecond // the least, so that no scenario is too short for pings
	pingTimeout  = time.Hour
)

var clientOptions = []ttrpc.ClientOpts{
	ttrpc.WithClientServices(calledBack()),
	ttrpc.WithKeepalive(ttrpc.Keepalive{Interval: pingInterval, Timeout: pingTimeout}),
}

var serverOptions = []ttrpc.ServerOpt{
	ttrpc.WithServerKeepalive(ttrpc.Keepalive{Interval: pingInterval, Timeout: pingTimeout}),
	ttrpc.WithConnectionHook(meet),
	ttrpc.WithUnaryServerInterceptor(
		func(ctx context.Context, unmarshal ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
			callBack(ctx)
			return method(ctx, unmarshal)
		}),
	ttrpc.WithChainStreamServerInterceptor(
		func(ctx context.Context, stream ttrpc.StreamServer, _ *ttrpc.StreamServerInfo, handler ttrpc.StreamHandler) (any, error) {
			callBack(ctx)
			return handler(ctx, stream)
		}),
}

// calledBack returns what answers the server's calls.
func calledBack() *ttrpc.Server {
	s, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	s.Register(serviceName, map[string]ttrpc.Method{
		"Text": method(func(_ context.Context, in *textValue) (any, error) { return in, nil }),
	})
	return s
}

// callBack calls the client whose call a handler is about to answer. It does not matter
// whether the caller has given up.
func callBack(ctx context.Context) {
	extended, client := peerOf(ctx)
	value, err := call(context.WithoutCancel(ctx), client, "Text", text("back"))
	switch {
	case errors.Is(err, ttrpc.ErrClosed): // which may happen at any time
	case !extended && errors.Is(err, ttrpc.ErrPeerClassic):
	case !extended:
		log.Fatalf("B50: calling a classic client: %q, %v, want %v", value, err, ttrpc.ErrPeerClassic)
	case err != nil || value != "back":
		log.Fatalf("B50: calling an extended client: %q, %v", value, err)
	}
}

// meet is told of connections in extended mode, and calls their clients.
func meet(ctx context.Context) {
	if extended, _ := peerOf(ctx); !extended {
		log.Fatal("B50: the hook was called for a classic connection")
	}
	callBack(ctx)
}

func peerOf(ctx context.Context) (extended bool, client *ttrpc.Client) {
	client, err := ttrpc.PeerClient(ctx)
	if err != nil {
		log.Fatal("B50: ", err)
	}
	extended, err = client.Extended(ctx)
	if err != nil && !errors.Is(err, ttrpc.ErrClosed) {
		log.Fatal("B50: ", err)
	}
	return extended, client
}

// firstID is the one of a client's first call after its Hello.
const firstID = 3

// agreed waits until it is known what the server can do, and tells whether the mode is
// in force.
func agreed(c *ttrpc.Client) bool {
	ok, err := c.Extended(context.Background())
	if err != nil {
		log.Fatal("B46: ", err)
	}
	return ok
}

// refuseHello answers the first call of a client as servers do that do not know it.
func (r raw) refuseHello() {
	if _, _, err := r.receive(); err != nil {
		log.Fatal(err)
	}
	st := status.New(codes.Unimplemented, "service ttrpc.extensions.v1.Connection")
	r.send(frame(1, typeResponse, 0, encode(&ttrpc.Response{Status: st.Proto()})))
}
