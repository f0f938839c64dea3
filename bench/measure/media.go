// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"time"
)

// A Medium is what connections go over.
type Medium struct {
	// Listen returns a listener. It may use the path, which nobody else does. Of its conns
	// and of those of Dial that many of 100 packets are lost on arrival.
	Listen func(path string, lost int) (net.Listener, error)

	// Dial connects to the address of the listener.
	Dial func(address string, lost int) (net.Conn, error)
}

// media are those that any system can use that takes conns.
var media = map[string]Medium{
	"":        {Listen: listenUnix},
	"tls":     {Listen: listenUnixTLS, Dial: dialUnixTLS},
	"pipe":    overPipe(),
	"tcp":     {Listen: listenTCP, Dial: dialTCP},
	"tcp+tls": {Listen: listenTLS, Dial: dialTLS},
}

// medium returns what is to be gone over.
func (sys System) medium(o *options) Medium {
	if m, ok := sys.Media[o.over]; ok {
		return m
	}
	return media[o.over]
}

var errLossless = errors.New("packets are lost on networks only")

// listenUnix listens at a socket that systems dial themselves.
func listenUnix(path string, lost int) (net.Listener, error) {
	if lost > 0 {
		return nil, errLossless
	}
	return net.Listen("unix", path)
}

func listenUnixTLS(path string, lost int) (net.Listener, error) {
	l, err := listenUnix(path, lost)
	return tls.NewListener(l, ServerTLS("")), err
}

func dialUnixTLS(path string, _ int) (net.Conn, error) { return tls.Dial("unix", path, ClientTLS("")) }

func listenTCP(_ string, lost int) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	return lossyListener{l, lost}, err
}

func dialTCP(address string, lost int) (net.Conn, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return conn, Lose(conn.(*net.TCPConn), lost)
}

func listenTLS(path string, lost int) (net.Listener, error) {
	l, err := listenTCP(path, lost)
	return tls.NewListener(l, ServerTLS("")), err
}

func dialTLS(address string, lost int) (net.Conn, error) {
	conn, err := dialTCP(address, lost)
	if err != nil {
		return nil, err
	}
	c := tls.Client(conn, ClientTLS(""))
	return c, c.Handshake()
}

// ServerTLS returns what servers with TLS use. The protocol is what ALPN agrees on, if it
// is to agree on anything.
func ServerTLS(protocol string) *tls.Config {
	c := ClientTLS(protocol)
	c.Certificates = []tls.Certificate{selfSigned()}
	return c
}

// ClientTLS is what their clients use: whom they talk to is not what is measured.
func ClientTLS(protocol string) *tls.Config {
	c := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}
	if protocol != "" {
		c.NextProtos = []string{protocol}
	}
	return c
}

func selfSigned() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Must(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	Must(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// overPipe has conns of net.Pipe that say what they are, in one process.
func overPipe() Medium {
	l := make(pipes)
	return Medium{
		Listen: func(string, int) (net.Listener, error) { return l, nil },
		Dial: func(string, int) (net.Conn, error) {
			client, server := net.Pipe()
			l <- server
			return pipe{client}, nil
		},
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
