// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
)

var (
	errForeign = errors.New("brpc: Credentials are for the tunnels of this package only")
	errCreds   = errors.New("brpc: the grpc.Server shakes hands inside of tunnels: give it grpc.Creds(brpc.Credentials()), " +
		"or no Creds, and do TLS below, by QUIC or a handshaker")
)

// patience is how long a gRPC server may take for the first of its bytes.
const patience = 10 * time.Second

// checkCreds tells whether a server speaks HTTP/2 on what l gives it, without a handshake of
// its own before: nothing else shows which Creds it has. It gets a conn that ends before the
// client has said anything. A server tells no interceptor or stats handler of such.
func checkCreds(l *listener, stopped <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p := &probe{closed: make(chan struct{})}
	if err := l.hand(ctx, p); err != nil {
		return grpc.ErrServerStopped
	}
	select {
	case <-p.closed:
	case <-ctx.Done():
	case <-stopped:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// A frame has 3 bytes of length before its type.
	if !p.read && len(p.written) == 0 {
		return grpc.ErrServerStopped
	}
	if len(p.written) < frameHeader || p.written[3] != settingsFrame {
		return errCreds
	}
	return nil
}

const (
	frameHeader   = 9
	settingsFrame = 4
)

// A probe is a conn whose other end has closed it.
type probe struct {
	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex
	read    bool   // guarded by mu
	written []byte // guarded by mu: the beginning
}

var probeAddr = &addr{peer: &Peer{AuthInfo: AuthInfo{}}}

func (p *probe) Read([]byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read = true
	return 0, io.EOF
}

func (p *probe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.written = append(p.written, b[:min(len(b), frameHeader)]...)
	return len(b), nil
}

func (p *probe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *probe) LocalAddr() net.Addr              { return probeAddr }
func (p *probe) RemoteAddr() net.Addr             { return probeAddr }
func (p *probe) SetDeadline(time.Time) error      { return nil }
func (p *probe) SetReadDeadline(time.Time) error  { return nil }
func (p *probe) SetWriteDeadline(time.Time) error { return nil }
