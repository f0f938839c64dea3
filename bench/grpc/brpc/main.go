// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Brpc is grpc-go in tunnels of package brpc, whose clients serve calls as well.
package main

import (
	"context"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/containerd/ttrpc/brpc"

	"github.com/containerd/ttrpc/bench/grpc/echo"
	"github.com/containerd/ttrpc/bench/grpc/overquic"
	"github.com/containerd/ttrpc/bench/measure"
)

func main() {
	measure.Main(measure.System{Serve: serve, Dial: dial, Over: over, Media: overquic.Media})
}

func serve(l net.Listener) {
	s := brpc.NewServer(brpc.ServerConfig[echo.EchoClient]{
		ClientServiceBuilder: echo.NewEchoClient, Server: echo.NewServer(),
	})
	log.Fatal(s.ServeListener(context.Background(), l))
}

func dial(path string) (measure.Client, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	return over(conn), nil
}

func over(conn net.Conn) measure.Client {
	c, err := brpc.NewClientConn(conn, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(echo.Most), grpc.MaxCallSendMsgSize(echo.Most)))
	measure.Must(err)
	shutdown := make(chan struct{})
	go brpc.ServeClientService[echo.EchoClient](shutdown, c, echo.Register)
	c.Connect()
	for state := c.GetState(); state != connectivity.Ready; state = c.GetState() {
		c.WaitForStateChange(context.Background(), state)
	}
	return echo.NewClient(c, c.Close)
}
