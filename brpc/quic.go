// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/quic-go/quic-go"
	"google.golang.org/grpc"

	"github.com/containerd/ttrpc"
	ttrpcquic "github.com/containerd/ttrpc/transport/quic"
)

// Serve is ServeListener of the connections that a QUIC listener accepts. Its protocols (ALPN)
// are whatever it was told. What PeerInfo knows has the certificates of clients that it asks for.
func (s *Server[C]) Serve(ctx context.Context, l *quic.Listener) error {
	return s.ServeListener(ctx, ttrpcquic.NewListener(l))
}

// Dial is DialContext, which waits 20 seconds at most.
func Dial(target string, config *tls.Config, opts ...grpc.DialOption) (*ClientConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), connectParams.MinConnectTimeout)
	defer cancel()
	return DialContext(ctx, target, config, opts...)
}

// DialContext connects to a server by QUIC, and returns the error if that fails. target is
// "host:port". When the connection is lost it makes the next, by Dialer, for ever. Without
// NextProtos in config the protocol (ALPN) is "ttrpc". opts may have those of this package.
func DialContext(ctx context.Context, target string, config *tls.Config, opts ...grpc.DialOption) (*ClientConn, error) {
	ctx, failed := context.WithCancelCause(ctx)
	defer failed(nil)
	var c *ClientConn
	made := make(chan struct{})
	dial := func(ctx context.Context) (net.Conn, error) {
		<-made
		conn, err := c.Dialer(ctx, target)
		if err != nil {
			return nil, ttrpcquic.DialError(target, err)
		}
		nc, err := ttrpcquic.NewConn(conn)
		if err != nil {
			return nil, err
		}
		return nc, nil
	}
	c, err := DialNet(target, dial, append([]grpc.DialOption{withFailed(failed)}, opts...)...)
	if err != nil {
		return nil, err
	}
	c.Dialer = quicDialer(config)
	close(made)
	if err := c.awaitFirst(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// awaitFirst returns when there is a connection, or why there is none.
func (c *ClientConn) awaitFirst(ctx context.Context) error {
	switch extended, err := c.ttrpc.Extended(ctx); {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("brpc: %w", context.Cause(ctx))
	case err != nil:
		return err
	case !extended:
		return errNotExtended
	}
	return nil
}

// quicDialer returns the usual Dialer.
func quicDialer(config *tls.Config) func(context.Context, string) (*quic.Conn, error) {
	config = config.Clone()
	if config == nil {
		config = new(tls.Config)
	}
	if len(config.NextProtos) == 0 {
		config.NextProtos = []string{"ttrpc"}
	}
	return func(ctx context.Context, target string) (*quic.Conn, error) {
		return quic.DialAddr(ctx, target, config, &quic.Config{
			KeepAlivePeriod:            10 * time.Second,
			MaxIdleTimeout:             30 * time.Second,
			MaxIncomingStreams:         -1,
			MaxStreamReceiveWindow:     2 * window,
			MaxConnectionReceiveWindow: 2 * window,
		})
	}
}

// withFailed has failed called with why an attempt to connect has failed, or a connection has
// ended.
func withFailed(failed context.CancelCauseFunc) grpc.DialOption {
	return dialOption{set: func(o *options) { o.failed = failed }}
}

// told is the Events of a Dialer.
func (o *options) told(e ttrpc.ConnectionEvent) {
	if e.Err != nil && o.failed != nil {
		o.failed(e.Err)
	}
	if o.events != nil {
		o.events(e)
	}
}
