// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/transport"
)

// A Peer is the other end of a connection. It must not be changed.
type Peer struct {
	// Addr and LocalAddr are the connection's remote and local address. Either may be nil, on
	// connections that have none.
	Addr, LocalAddr net.Addr

	// AuthInfo is what is known of who the peer is: a credentials.TLSInfo of a connection with
	// TLS, or an [AuthInfo] of any other.
	AuthInfo credentials.AuthInfo
}

// PeerInfo returns the peer whose call a gRPC handler with this context runs. It tells of the
// connection, which nothing in the call can change. It is false if the call did not come
// through this package.
func PeerInfo(ctx context.Context) (*Peer, bool) {
	a, ok := addrOf(ctx)
	if !ok {
		return nil, false
	}
	return a.peer, true
}

// An addr is the remote address of a tunnel, by which a handler finds the connection that it
// was called on.
type addr struct {
	peer *Peer
	back backer // makes calls the other way

	tunnels atomic.Int32 // how many the other end has open
}

// A backer makes calls to the other end of a connection.
type backer interface {
	backConn() (grpc.ClientConnInterface, error)
}

func addrOf(ctx context.Context) (*addr, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, false
	}
	a, ok := p.Addr.(*addr)
	return a, ok
}

// Network implements net.Addr.
func (a *addr) Network() string {
	if a.peer.Addr == nil {
		return "brpc"
	}
	return a.peer.Addr.Network()
}

// String implements net.Addr. It is the address of the connection.
func (a *addr) String() string {
	if a.peer.Addr == nil {
		return "brpc"
	}
	return a.peer.Addr.String()
}

// An AuthInfo is what the handshaker of a connection without TLS has returned, a *unix.Ucred
// for example, or nil.
type AuthInfo struct {
	credentials.CommonAuthInfo
	Value any
}

// AuthType implements credentials.AuthInfo.
func (AuthInfo) AuthType() string { return "brpc" }

// newPeer returns a peer as gRPC wants to know it.
func newPeer(p *ttrpc.Peer) *Peer {
	state, ok := tlsState(p.AuthInfo)
	if !ok {
		return &Peer{Addr: p.Addr, LocalAddr: p.LocalAddr, AuthInfo: plainInfo(p)}
	}
	info := credentials.TLSInfo{
		State:          state,
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
	}
	return &Peer{Addr: p.Addr, LocalAddr: p.LocalAddr, AuthInfo: info}
}

// plainInfo is the AuthInfo of a connection without TLS. Nobody listens to a unix socket.
func plainInfo(p *ttrpc.Peer) AuthInfo {
	level := credentials.NoSecurity
	if _, ok := p.Addr.(*net.UnixAddr); ok {
		level = credentials.PrivacyAndIntegrity
	}
	return AuthInfo{credentials.CommonAuthInfo{SecurityLevel: level}, p.AuthInfo}
}

// tlsState returns the state of TLS in what a handshaker has returned.
func tlsState(info any) (tls.ConnectionState, bool) {
	switch info := info.(type) {
	case tls.ConnectionState:
		return info, true
	case *transport.AuthInfo:
		if info != nil && info.TLS != nil {
			return *info.TLS, true
		}
	}
	return tls.ConnectionState{}, false
}

// Credentials returns what has gRPC know of the connection's peer: with
//
//	grpc.NewServer(grpc.Creds(brpc.Credentials()))
//
// handlers and interceptors find its AuthInfo by peer.FromContext, as that of any gRPC server.
// It does not shake hands, as the connection has done that, and it refuses conns that are none
// of this package's.
func Credentials() credentials.TransportCredentials { return tunnelCredentials{} }

type tunnelCredentials struct{}

// ClientHandshake implements credentials.TransportCredentials.
func (tunnelCredentials) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return shakeHands(conn)
}

// ServerHandshake implements credentials.TransportCredentials.
func (tunnelCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return shakeHands(conn)
}

func shakeHands(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	a, ok := conn.RemoteAddr().(*addr)
	if !ok {
		return nil, nil, errForeign
	}
	return conn, a.peer.AuthInfo, nil
}

// Info implements credentials.TransportCredentials.
func (tunnelCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "brpc"}
}

// Clone implements credentials.TransportCredentials.
func (c tunnelCredentials) Clone() credentials.TransportCredentials { return c }

// OverrideServerName implements credentials.TransportCredentials. The connection has its name.
func (tunnelCredentials) OverrideServerName(string) error { return nil }
