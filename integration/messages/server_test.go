// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package messages

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/containerd/ttrpc"
)

// connect starts a server of one service and returns a client of it. Both are gone
// when the test ends.
func connect(t *testing.T, service string, desc *ttrpc.ServiceDesc) *ttrpc.Client {
	t.Helper()
	return connectWith(t, service, desc, nil, nil)
}

// connectWith is connect with options.
func connectWith(t *testing.T, service string, desc *ttrpc.ServiceDesc, ofServer []ttrpc.ServerOpt, ofClient []ttrpc.ClientOpts) *ttrpc.Client {
	t.Helper()
	server, err := ttrpc.NewServer(ofServer...)
	if err != nil {
		t.Fatal(err)
	}
	server.RegisterService(service, desc)
	addr := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), listener) }()
	conn, err := net.Dial("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn, ofClient...)
	t.Cleanup(func() {
		client.Close()
		if err := client.UserOnCloseWait(context.Background()); err != nil {
			t.Error(err)
		}
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, ttrpc.ErrServerClosed) {
			t.Error(err)
		}
	})
	return client
}

// echoService sends messages back. What it decoded goes through got first, if that
// is not nil.
func echoService(newMessage func() any, got func(any)) *ttrpc.ServiceDesc {
	if got == nil {
		got = func(any) {}
	}
	unary := func(_ context.Context, unmarshal func(any) error) (any, error) {
		m := newMessage()
		if err := unmarshal(m); err != nil {
			return nil, err
		}
		got(m)
		return m, nil
	}
	// The stream uses one message again and again.
	stream := func(_ context.Context, stream ttrpc.StreamServer) (any, error) {
		m := newMessage()
		for {
			err := stream.RecvMsg(m)
			if err == io.EOF {
				return nil, nil
			}
			if err == nil {
				got(m)
				err = stream.SendMsg(m)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{"Echo": unary},
		Streams: map[string]ttrpc.Stream{"Relay": {Handler: stream, StreamingClient: true, StreamingServer: true}},
	}
}

// openEcho opens echoService's stream.
func openEcho(t *testing.T, client *ttrpc.Client, service string) ttrpc.ClientStream {
	t.Helper()
	desc := &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}
	stream, err := client.NewStream(context.Background(), desc, service, "Relay", nil)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// exchange sends a message on a stream and receives into another.
func exchange(t *testing.T, stream ttrpc.ClientStream, out, in any) {
	t.Helper()
	if err := stream.SendMsg(out); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(in); err != nil {
		t.Fatal(err)
	}
}

// finish ends a stream.
func finish(t *testing.T, stream ttrpc.ClientStream, m any) {
	t.Helper()
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(m); err != io.EOF {
		t.Errorf("at the end of the stream: %v", err)
	}
}
