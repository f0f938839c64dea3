// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc/internal/meta"
)

// peer returns the other end of the connection, or nil if there is none before ctx ends.
func (call *clientCall) peer(ctx context.Context) *peer.Peer {
	p, err := call.conn.client.Peer(ctx)
	if err != nil {
		return nil
	}
	return grpcPeer(p)
}

// fillPeers gives the options grpc.Peer what they have asked for.
func (call *clientCall) fillPeers() {
	if len(call.peers) == 0 {
		return
	}
	if p := call.peer(ended); p != nil {
		for _, at := range call.peers {
			*at = *p
		}
	}
}

// addCredentials adds what the credentials of the connection and of the call give.
func (call *clientCall) addCredentials(sent ttrpc.MD) (ttrpc.MD, error) {
	if len(call.conn.creds) == 0 && call.creds == nil {
		return sent, nil
	}
	if sent == nil {
		sent = make(ttrpc.MD)
	}
	p, err := call.conn.client.Peer(call.sendCtx)
	if err != nil {
		return nil, call.failure(err)
	}
	auth := authInfo(p)
	ctx := credentials.NewContextWithRequestInfo(call.ctx, credentials.RequestInfo{Method: call.method, AuthInfo: auth})
	for _, creds := range call.conn.creds {
		if err := call.addFrom(ctx, sent, creds, auth, codes.Unauthenticated); err != nil {
			return nil, err
		}
	}
	if call.creds != nil {
		if err := call.addFrom(ctx, sent, call.creds, auth, codes.Internal); err != nil {
			return nil, err
		}
	}
	return sent, nil
}

// addFrom is addCredentials for one of them. Failed is the code of errors that have none.
func (call *clientCall) addFrom(ctx context.Context, sent ttrpc.MD, creds credentials.PerRPCCredentials, auth credentials.AuthInfo, failed codes.Code) error {
	if creds.RequireTransportSecurity() && (auth == nil || credentials.CheckSecurityLevel(auth, credentials.PrivacyAndIntegrity) != nil) {
		return status.Error(codes.Unauthenticated, "transport: cannot send secure credentials on an insecure connection")
	}
	data, err := creds.GetRequestMetadata(ctx, "https://"+authority(auth)+"/"+call.service)
	if err != nil {
		st, ok := status.FromError(err)
		switch {
		case !ok:
			return status.Errorf(failed, "transport: per-RPC creds failed due to error: %v", err)
		case isOfDataPlane(st.Code()):
			return status.Errorf(codes.Internal, "transport: received per-RPC creds error with illegal status: %v", err)
		}
		return err
	}
	for key, value := range data {
		if err := meta.Append(sent, strings.ToLower(key), value); err != nil {
			return err
		}
	}
	return nil
}

// isOfDataPlane tells whether gRPC lets credentials fail with no such code.
func isOfDataPlane(code codes.Code) bool {
	switch code {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.Aborted, codes.OutOfRange, codes.DataLoss:
		return true
	}
	return false
}

// authority returns the name of the peer that credentials are given: the one that TLS has verified,
// else, as gRPC has it on unix sockets, localhost.
func authority(auth credentials.AuthInfo) string {
	if info, ok := auth.(credentials.TLSInfo); ok {
		if name := strings.TrimSuffix(info.State.ServerName, "."); name != "" {
			return name
		}
	}
	return "localhost"
}
