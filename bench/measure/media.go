// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"time"
)

// A medium is what connections go over: it serves a system, and returns how a client
// connects.
type medium func(sys System, socket string) (connect func() (net.Conn, error))

// media are those beside the sockets that systems dial themselves.
var media = map[string]medium{"tls": overTLS, "pipe": overPipe}

// overTLS has *tls.Conns on a unix socket.
func overTLS(sys System, socket string) func() (net.Conn, error) {
	config := &tls.Config{
		Certificates:       []tls.Certificate{selfSigned()},
		InsecureSkipVerify: true, // whom the client talks to is not what is measured
		MinVersion:         tls.VersionTLS13,
	}
	l, err := tls.Listen("unix", socket, config)
	Must(err)
	go sys.Serve(l)
	return func() (net.Conn, error) { return tls.Dial("unix", socket, config) }
}

func selfSigned() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Must(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	Must(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// overPipe has conns of net.Pipe that say what they are.
func overPipe(sys System, _ string) func() (net.Conn, error) {
	l := make(pipes)
	go sys.Serve(l)
	return func() (net.Conn, error) {
		client, server := net.Pipe()
		l <- server
		return pipe{client}, nil
	}
}

// pipes is a listener in memory.
type pipes chan net.Conn

func (l pipes) Accept() (net.Conn, error) { return pipe{<-l}, nil }
func (l pipes) Close() error              { return nil }
func (l pipes) Addr() net.Addr            { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

type pipe struct{ net.Conn }

// IsByteStream says that it does not matter how bytes are cut into writes: this library
// asks for it, others have no use of it.
func (pipe) IsByteStream() bool { return true }
