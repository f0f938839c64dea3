// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// serverTLS returns how gRPC is served with TLS. The certificate is read anew for each
// connection, so that it can be replaced.
func (s *settings) serverTLS() (*tls.Config, error) {
	if _, err := tls.LoadX509KeyPair(s.tlsCert, s.tlsKey); err != nil {
		return nil, fmt.Errorf("-tls-cert and -tls-key: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := tls.LoadX509KeyPair(s.tlsCert, s.tlsKey)
		return &cert, err
	}
	if s.tlsCA != "" {
		authorities, err := readAuthorities(s.tlsCA)
		if err != nil {
			return nil, fmt.Errorf("-tls-client-ca: %w", err)
		}
		config.ClientCAs, config.ClientAuth = authorities, tls.RequireAndVerifyClientCert
	}
	return config, nil
}

// clientTLS returns how servers are spoken to with TLS.
func (s *settings) clientTLS() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.tlsServer}
	if s.tlsCA != "" {
		authorities, err := readAuthorities(s.tlsCA)
		if err != nil {
			return nil, fmt.Errorf("-tls-ca: %w", err)
		}
		config.RootCAs = authorities
	}
	if s.tlsCert != "" {
		if _, err := tls.LoadX509KeyPair(s.tlsCert, s.tlsKey); err != nil {
			return nil, fmt.Errorf("-tls-cert and -tls-key: %w", err)
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(s.tlsCert, s.tlsKey)
			return &cert, err
		}
	}
	return config, nil
}

func readAuthorities(name string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM", name)
	}
	return pool, nil
}

// A token is what callers have to show, but for those that ask for health. It is not passed on.
type token [sha256.Size]byte

func readToken(name string) (*token, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	trimmed := strings.TrimSpace(string(text))
	if trimmed == "" {
		return nil, errors.New(name + " is empty")
	}
	t := token(sha256.Sum256([]byte(trimmed)))
	return &t, nil
}

// authorize returns the context of a call without the token that it has shown.
func (t *token) authorize(ctx context.Context, path string) (context.Context, error) {
	if strings.HasPrefix(path, "/grpc.health.v1.Health/") {
		return ctx, nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	for _, value := range md["authorization"] {
		scheme, shown, _ := strings.Cut(value, " ")
		sum := sha256.Sum256([]byte(shown))
		if strings.EqualFold(scheme, "bearer") && subtle.ConstantTimeCompare(sum[:], t[:]) == 1 {
			passed := md.Copy()
			delete(passed, "authorization")
			return metadata.NewIncomingContext(ctx, passed), nil
		}
	}
	return nil, status.Error(codes.Unauthenticated, "the bridge wants a token, as \"authorization: Bearer TOKEN\"")
}

func (t *token) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, err := t.authorize(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return handler(ctx, request)
}

func (t *token) stream(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, err := t.authorize(s.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return handler(srv, &authorized{s, ctx})
}

// authorized is a stream whose caller may call.
type authorized struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements [grpc.ServerStream].
func (a *authorized) Context() context.Context { return a.ctx }
