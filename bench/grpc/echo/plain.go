// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package echo

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/containerd/ttrpc/bench/measure"
)

// Most is how large messages of grpc-go may be: by itself it takes 4 MiB only.
const Most = 16 << 20

// NewServer returns grpc-go's server with the service.
func NewServer(options ...grpc.ServerOption) *grpc.Server {
	s := grpc.NewServer(append(options, grpc.MaxRecvMsgSize(Most), grpc.MaxSendMsgSize(Most))...)
	Register(s)
	return s
}

// Dial connects grpc-go to a unix socket.
func Dial(path string, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	return connect("unix:"+path, options...)
}

// DialPath returns a client of grpc-go that is connected to a unix socket.
func DialPath(path string) (measure.Client, error) {
	conn, err := Dial(path)
	if err != nil {
		return nil, err
	}
	return NewClient(conn, conn.Close), nil
}

// Over returns a client of grpc-go over one conn.
func Over(conn net.Conn) measure.Client {
	once := make(chan net.Conn, 1)
	once <- conn
	c, err := connect("passthrough:///bench", grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
		select {
		case conn := <-once:
			return conn, nil
		default:
			return nil, errors.New("the connection is lost")
		}
	}))
	measure.Must(err)
	return NewClient(c, c.Close)
}

// connect waits until it is connected, which by itself a client is with the first call.
func connect(target string, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient(target, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(Most), grpc.MaxCallSendMsgSize(Most)))...)
	if err != nil {
		return nil, err
	}
	conn.Connect()
	for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
		conn.WaitForStateChange(context.Background(), state)
	}
	return conn, nil
}
