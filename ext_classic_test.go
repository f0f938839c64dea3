// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/internal/memconn"
)

// A warningLogger keeps the warnings. Its reader waits for all else to stand still.
type warningLogger struct {
	errorLogger
	warnings []string
}

func (l *warningLogger) Warn(msg string, args ...any) {
	l.warnings = append(l.warnings, fmt.Sprintln(append([]any{msg}, args...)...))
}

// want requires the one warning of a classic connection, or none.
func (l *warningLogger) want(t *testing.T, without string) {
	t.Helper()
	synctest.Wait()
	var want []string
	if without != "" {
		want = []string{fmt.Sprintln("ttrpc: the peer does not agree to the extended mode without", without, "peer old.sock")}
	}
	if fmt.Sprint(l.warnings) != fmt.Sprint(want) {
		t.Errorf("B46: the warnings are %q, want %q", l.warnings, want)
	}
}

// A conn whose peer has a name.
type oldPeer struct{ *memconn.Conn }

func (oldPeer) RemoteAddr() net.Addr { return &net.UnixAddr{Name: "old.sock", Net: "unix"} }

// TestClassicTold holds that what cannot work on a connection that stays classic is told
// once, with the peer, and nothing else is.
func TestClassicTold(t *testing.T) {
	services, err := NewServer()
	if err != nil {
		t.Fatal(err)
	}
	keepalive := WithKeepalive(Keepalive{Interval: time.Minute})
	for without, opts := range map[string][]ClientOpts{
		"":                            {WithExtensions(), WithKeepalive(Keepalive{MinInterval: time.Minute})},
		"keep-alive":                  {keepalive},
		"client services":             {WithClientServices(services)},
		"keep-alive, client services": {keepalive, WithClientServices(services)},
	} {
		synctest.Test(t, func(t *testing.T) {
			a, b := memconn.Pipe(0)
			p, log := newRawPeer(t, b), new(warningLogger)
			c := NewClient(oldPeer{a}, append(opts, WithClientLogger(log))...)
			p.wantRequest("B46", 1, 0)
			log.want(t, "")
			p.respond(1, status.New(codes.Unimplemented, "no such service"), nil)
			log.want(t, without)
			for id := uint32(3); id < 7; id += 2 {
				done := goCall(t.Context(), c, nil)
				p.wantRequest("B46", id, 0)
				p.respond(id, status.New(codes.Unimplemented, "no such service"), nil)
				<-done
			}
			time.Sleep(time.Hour)
			p.wantNothing("B46: no pings")
			log.want(t, without)
			c.Close()
			b.Close()
		})
	}
	for without, k := range map[string]Keepalive{
		"":           {MinInterval: time.Minute},
		"keep-alive": {Interval: time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			log := new(warningLogger)
			ts := newTestServer(t, WithServerKeepalive(k), WithServerLogger(log))
			a, b := memconn.Pipe(0)
			ts.accept(t.Context(), oldPeer{b})
			p := newRawPeer(t, a)
			log.want(t, "")
			p.wantEcho("B46", 1)
			log.want(t, without)
			p.wantEcho("B46", 3)
			log.want(t, without)
			a.Close()
		})
	}
}

// TestServerPingsTooOften holds that a client parts from a server that pings too often.
func TestServerPingsTooOften(t *testing.T) {
	onExtendedClient(t, peerHello(), func(t *testing.T, c *Client, p *rawPeer) {
		ping := func() {
			p.send(0, messageTypePing, 0, make([]byte, pingLength))
			p.want("B52", 0, messageTypePing, flagAnswer, make([]byte, pingLength))
		}
		ping()
		time.Sleep(time.Minute)
		for range 3 {
			ping()
		}
		p.wantAlive("B52: two too soon")
		p.send(0, messageTypePing, 0, make([]byte, pingLength))
		if f := p.next("B52: the third too soon"); f.Type != messageTypeGoodbye {
			t.Errorf("B52: %v, want a goodbye", f.Type)
		}
		<-c.Done()
	}, WithKeepalive(Keepalive{MinInterval: time.Minute}))
}
