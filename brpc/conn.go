// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc

import (
	"context"
	"errors"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/status"
)

// window is how many bytes may be under way in a tunnel: 160 MB/s at 50 ms. A tunnel begins
// with a few KiB and gets more as it uses them. gRPC always reads, so that they are not held
// for long; what its receivers have not taken it bounds by windows of its own.
const window = 8 << 20

// newConn returns a gRPC connection whose transports are tunnels that dial opens.
func newConn(target string, dial func(context.Context, string) (net.Conn, error), opts []grpc.DialOption) (*grpc.ClientConn, error) {
	all := append([]grpc.DialOption{
		grpc.WithTransportCredentials(Credentials()),
		grpc.WithContextDialer(func(ctx context.Context, target string) (net.Conn, error) {
			conn, err := dial(ctx, target)
			return conn, plain(err)
		}),
		grpc.WithConnectParams(connectParams),
	}, opts...)
	return grpc.NewClient("passthrough:///"+target, all...)
}

// connectParams are for tunnels that were refused: what is lost below is made again with a
// pause of its own.
var connectParams = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
	MinConnectTimeout: 20 * time.Second,
}

// plain returns an error that is none of gRPC's: one in the error of a transport it takes for
// the end of every call that waits for the transport, also of those with WaitForReady.
func plain(err error) error {
	if st, ok := status.FromError(err); ok && err != nil {
		return errors.New(st.Message())
	}
	return err
}
