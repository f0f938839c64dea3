// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package overquic has connections go over QUIC.
package overquic

import (
	"context"
	"net"

	quicgo "github.com/quic-go/quic-go"

	"github.com/containerd/ttrpc/bench/measure"
	"github.com/containerd/ttrpc/transport/quic"
)

// Media has QUIC.
var Media = map[string]measure.Medium{"quic": {Listen: listen, Dial: dial}}

func listen(_ string, lost int) (net.Listener, error) {
	socket, err := bind(lost)
	if err != nil {
		return nil, err
	}
	return (&quic.ListenConfig{TLS: measure.ServerTLS("")}).Listen(socket)
}

// bind returns a socket at which that many of 100 packets are lost.
func bind(lost int) (*net.UDPConn, error) {
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	return socket, measure.Lose(socket, lost)
}

func dial(address string, lost int) (net.Conn, error) {
	d := &quic.Dialer{TLS: measure.ClientTLS("")}
	if lost > 0 {
		socket, err := bind(lost)
		if err != nil {
			return nil, err
		}
		d.Transport = &quicgo.Transport{Conn: socket}
	}
	return d.Dial(context.Background(), address)
}
