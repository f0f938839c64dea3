// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Hop is gRPC with a proxy in between that is made of grpc-go alone and passes payloads on
// as they are.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"github.com/containerd/ttrpc/bench/grpc/echo"
	"github.com/containerd/ttrpc/bench/measure"
)

func main() {
	measure.Main(measure.System{Serve: serve, Dial: echo.DialPath, Pass: pass})
}

func serve(l net.Listener) { log.Fatal(echo.NewServer().Serve(l)) }

func pass(l net.Listener, behind string) {
	conn, err := echo.Dial(behind, grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
	measure.Must(err)
	log.Fatal(grpc.NewServer(grpc.ForceServerCodecV2(raw{}), grpc.MaxRecvMsgSize(echo.Most),
		grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error { return passOn(conn, s) })).Serve(l))
}

// both is a call of any kind.
var both = &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}

// passOn passes a call on.
func passOn(conn *grpc.ClientConn, from grpc.ServerStream) error {
	ctx, cancel := context.WithCancel(from.Context())
	defer cancel()
	md, _ := metadata.FromIncomingContext(ctx)
	method, _ := grpc.MethodFromServerStream(from)
	to, err := conn.NewStream(metadata.NewOutgoingContext(ctx, md), both, method)
	if err != nil {
		return err
	}
	go func() {
		if copyAll(to, from) == nil {
			to.CloseSend()
		} else {
			cancel()
		}
	}()
	header, err := to.Header()
	if err != nil {
		return err
	}
	if err := from.SetHeader(header); err != nil {
		return err
	}
	defer func() { from.SetTrailer(to.Trailer()) }()
	return copyAll(from, to)
}

// copyAll sends all that is received.
func copyAll(to, from interface {
	SendMsg(any) error
	RecvMsg(any) error
}) error {
	for {
		var m mem.BufferSlice
		if err := from.RecvMsg(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		err := to.SendMsg(m)
		m.Free()
		if err != nil {
			return err
		}
	}
}

// raw is a codec that leaves payloads as they are.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(mem.BufferSlice)
	if !ok {
		return nil, fmt.Errorf("a message is a %T", v)
	}
	m.Ref()
	return m, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	data.Ref()
	*v.(*mem.BufferSlice) = data
	return nil
}
