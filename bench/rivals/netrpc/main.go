// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Netrpc is the standard library's net/rpc.
package main

import (
	"context"
	"log"
	"net"
	"net/rpc"

	"github.com/containerd/ttrpc/bench/measure"
)

func main() { measure.Main(measure.System{Serve: serveNetRPC, Dial: dialNetRPC}) }

// A Blob is what net/rpc's own encoding carries.
type Blob struct{ Value []byte }

// Echo is registered with net/rpc.
type Echo struct{}

// Echo returns what it gets.
func (Echo) Echo(request *Blob, response *Blob) error {
	response.Value = request.Value
	return nil
}

// Get returns as many bytes as the request tells.
func (Echo) Get(request *Blob, response *Blob) error {
	response.Value = measure.Content(measure.Number(request.Value))
	return nil
}

func serveNetRPC(l net.Listener) {
	s := rpc.NewServer()
	if err := s.Register(Echo{}); err != nil {
		log.Fatal(err)
	}
	s.Accept(l)
}

type netRPCClient struct{ *rpc.Client }

func dialNetRPC(path string) (measure.Client, error) {
	c, err := rpc.Dial("unix", path)
	return netRPCClient{c}, err
}

func (c netRPCClient) Close() { c.Client.Close() }

func (c netRPCClient) Caller(size, answer int) func(context.Context) error {
	method, request := "Echo."+measure.MethodFor(size, answer), &Blob{measure.RequestValue(size, answer)}
	return func(context.Context) error {
		var response Blob
		if err := c.Call(method, request, &response); err != nil {
			return err
		}
		return measure.CheckSize(len(response.Value), answer)
	}
}

func (c netRPCClient) Stream(context.Context, measure.StreamKind, int, int) (measure.Stream, error) {
	return nil, measure.ErrNoStreams
}
