// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc

import (
	"crypto/tls"
	"net"
	"net/url"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/transport"
)

// An AuthInfo is what a handshaker of ttrpc's has found out about a peer, as gRPC's peer.Peer
// has it. With TLS there is a credentials.TLSInfo instead, and what is a
// credentials.AuthInfo already stays as it is.
type AuthInfo struct {
	// CommonAuthInfo says how secure the connection is. On a unix socket it is private, as
	// with google.golang.org/grpc/credentials/local.
	credentials.CommonAuthInfo

	// Info is what ttrpc.Peer has as AuthInfo: a *unix.Ucred, for example.
	Info any
}

// AuthType implements credentials.AuthInfo.
func (AuthInfo) AuthType() string { return "ttrpc" }

// grpcPeer returns a peer as gRPC knows it.
func grpcPeer(p *ttrpc.Peer) *peer.Peer {
	return &peer.Peer{Addr: p.Addr, LocalAddr: p.LocalAddr, AuthInfo: authInfo(p)}
}

func authInfo(p *ttrpc.Peer) credentials.AuthInfo {
	switch info := p.AuthInfo.(type) {
	case nil:
		return nil
	case credentials.AuthInfo:
		return info
	case tls.ConnectionState:
		return tlsInfo(info)
	case *tls.ConnectionState:
		if info != nil {
			return tlsInfo(*info)
		}
	case *transport.AuthInfo:
		if info != nil && info.TLS != nil {
			return tlsInfo(*info.TLS)
		}
	}
	wrapped := AuthInfo{Info: p.AuthInfo}
	if _, ok := p.Addr.(*net.UnixAddr); ok {
		wrapped.SecurityLevel = credentials.PrivacyAndIntegrity
	}
	return wrapped
}

// tlsInfo returns what gRPC's own credentials make of a connection.
func tlsInfo(state tls.ConnectionState) credentials.AuthInfo {
	return credentials.TLSInfo{
		State:          state,
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
		SPIFFEID:       spiffeID(state),
	}
}

// spiffeID returns the peer's SPIFFE ID, or nil: that is the only URI of its certificate.
func spiffeID(state tls.ConnectionState) *url.URL {
	if len(state.PeerCertificates) == 0 || len(state.PeerCertificates[0].URIs) != 1 {
		return nil
	}
	id := state.PeerCertificates[0].URIs[0]
	switch {
	case id.Scheme != "spiffe" || id.Opaque != "" || id.User.Username() != "":
	case id.Host == "" || id.Path == "" || len(id.Host) > 255 || len(id.String()) > 2048:
	default:
		return id
	}
	return nil
}
