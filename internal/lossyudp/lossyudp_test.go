// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package lossyudp

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/containerd/ttrpc/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// A path is a relay with both its ends.
type path struct {
	*testing.T
	*Relay
	server, client *net.UDPConn
}

func newPath(t *testing.T) *path {
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	r, err := New(server.LocalAddr(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	client, err := net.DialUDP("udp4", nil, r.Addr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return &path{t, r, server, client}
}

// echo sends a datagram that must come back, and returns where the server saw it come from.
func (p *path) echo(text string) string {
	p.Helper()
	buf := make([]byte, 100)
	p.server.SetReadDeadline(time.Now().Add(time.Minute))
	p.client.SetReadDeadline(time.Now().Add(time.Minute))
	p.client.Write([]byte(text))
	n, from, err := p.server.ReadFromUDP(buf)
	if err != nil || string(buf[:n]) != text {
		p.Fatalf("the server got %q, %v", buf[:n], err)
	}
	p.server.WriteToUDP(buf[:n], from)
	if n, err = p.client.Read(buf); err != nil || string(buf[:n]) != text {
		p.Fatalf("the client got %q, %v", buf[:n], err)
	}
	return from.String()
}

func TestRelay(t *testing.T) {
	p := newPath(t)
	first := p.echo("hello")
	if again := p.echo("again"); again != first {
		t.Errorf("a client comes from %s and then from %s", first, again)
	}
	if err := p.Move(); err != nil {
		t.Fatal(err)
	}
	if moved := p.echo("moved"); moved == first {
		t.Error("a client that was moved comes from the same port")
	}
	p.SetDelay(20 * time.Millisecond)
	start := time.Now()
	p.echo("late")
	if took := time.Since(start); took < 40*time.Millisecond {
		t.Errorf("there and back took %v, with 20 ms each way", took)
	}
}

func TestLoss(t *testing.T) {
	p := newPath(t)
	p.Cut(true)
	p.client.Write([]byte("lost"))
	for _, lost := p.Counts(); lost == 0; _, lost = p.Counts() {
		time.Sleep(time.Millisecond)
	}
	p.Cut(false)
	p.echo("what comes next")
	passed, lost := p.Counts()
	p.SetLoss(0.25)
	const sent = 400
	for i := range sent {
		p.client.Write([]byte{byte(i)})
		for now, gone := p.Counts(); now+gone == passed+lost+int64(i); now, gone = p.Counts() {
			time.Sleep(time.Microsecond)
		}
	}
	if _, now := p.Counts(); now-lost < sent/8 || now-lost > sent/2 {
		t.Errorf("of %d datagrams %d were lost, with a loss of a quarter", sent, now-lost)
	}
}
