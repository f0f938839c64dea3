// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command peer is one end of the connections that the tests of oldgenproto make:
//
//	peer serve SOCKET   serves until its standard input ends
//	peer call SOCKET    makes calls, and fails if an answer is wrong
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// service is the name of the service, detail what its errors have as details.
const (
	service = "oldgenproto.Peer"
	detail  = "a detail"
)

func main() {
	run := map[string]func(string) error{"serve": serve, "call": call}
	if len(os.Args) != 3 || run[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: peer serve|call SOCKET")
		os.Exit(2)
	}
	if err := run[os.Args[1]](os.Args[2]); err != nil {
		fmt.Fprintf(os.Stderr, "peer %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// refusal is the error of all methods that fail.
func refusal() error {
	st, err := status.New(codes.FailedPrecondition, "not now").WithDetails(wrapperspb.String(detail))
	if err != nil {
		return err
	}
	return st.Err()
}

func serve(socket string) error {
	server, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	server.RegisterService(service, &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"Echo": func(_ context.Context, unmarshal func(interface{}) error) (interface{}, error) {
				m := new(wrapperspb.StringValue)
				return m, unmarshal(m)
			},
			"Refuse": func(context.Context, func(interface{}) error) (interface{}, error) {
				return nil, refusal()
			},
			"Garble": func(context.Context, func(interface{}) error) (interface{}, error) {
				return nil, status.Error(codes.NotFound, "no \xff")
			},
		},
		Streams: map[string]ttrpc.Stream{
			"EchoAndRefuse": {StreamingClient: true, StreamingServer: true,
				Handler: func(_ context.Context, stream ttrpc.StreamServer) (interface{}, error) {
					m := new(wrapperspb.StringValue)
					if err := stream.RecvMsg(m); err != nil {
						return nil, err
					}
					if err := stream.SendMsg(m); err != nil {
						return nil, err
					}
					return nil, refusal()
				}},
		},
	})
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(context.Background(), listener) }()
	fmt.Println("serving")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	server.Close()
	if err := <-done; err != ttrpc.ErrServerClosed {
		return err
	}
	return nil
}

func call(socket string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	client := ttrpc.NewClient(conn)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	answer := new(wrapperspb.StringValue)
	if err := client.Call(ctx, service, "Echo", wrapperspb.String("hello"), answer); err != nil || answer.Value != "hello" {
		return fmt.Errorf("calling Echo returned %q, %v", answer.Value, err)
	}
	if err := isRefusal(client.Call(ctx, service, "Refuse", answer, answer)); err != nil {
		return fmt.Errorf("calling Refuse: %v", err)
	}
	if err := is(client.Call(ctx, service, "Garble", answer, answer), codes.NotFound, "no \uFFFD"); err != nil {
		return fmt.Errorf("calling Garble: %v", err)
	}
	if err := is(client.Call(ctx, service, "None", answer, answer), codes.Unimplemented, ""); err != nil {
		return fmt.Errorf("calling None: %v", err)
	}
	return callStream(ctx, client)
}

func callStream(ctx context.Context, client *ttrpc.Client) error {
	stream, err := client.NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true},
		service, "EchoAndRefuse", nil)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(wrapperspb.String("hello")); err != nil {
		return err
	}
	answer := new(wrapperspb.StringValue)
	if err := stream.RecvMsg(answer); err != nil || answer.Value != "hello" {
		return fmt.Errorf("the stream's first message is %q, %v", answer.Value, err)
	}
	if err := isRefusal(stream.RecvMsg(answer)); err != nil {
		return fmt.Errorf("the stream's end: %v", err)
	}
	return nil
}

// isRefusal says how err differs from what refusal returns.
func isRefusal(err error) error {
	if err := is(err, codes.FailedPrecondition, "not now"); err != nil {
		return err
	}
	details := status.Convert(err).Details()
	if len(details) == 1 {
		if m, ok := details[0].(*wrapperspb.StringValue); ok && m.Value == detail {
			return nil
		}
	}
	return fmt.Errorf("the details are %v, want %q", details, detail)
}

// is says how err differs from a status of that code and, if it is not empty, message.
func is(err error, code codes.Code, message string) error {
	st, ok := status.FromError(err)
	if !ok || st.Code() != code || message != "" && st.Message() != message {
		return fmt.Errorf("got %v, want %v %q", err, code, message)
	}
	return nil
}
