// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// A byteHandshaker waits for a byte of the peer's.
type byteHandshaker struct{}

func (byteHandshaker) Handshake(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	b := make([]byte, 1)
	_, err := io.ReadFull(conn, b)
	if err == nil && b[0] == 0 {
		err = errors.New("the byte is 0")
	}
	return conn, nil, err
}

// A lineLog keeps the errors that it is told of.
type lineLog struct {
	countingLogger
	mu    sync.Mutex
	lines []string
}

func (l *lineLog) Error(msg string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := 0; i+1 < len(args); i += 2 {
		if args[i] == "more" {
			msg += " and more"
		}
	}
	l.lines = append(l.lines, msg)
}

// TestHandshakesCrowd holds that connections that never shake hands keep out none that does,
// are no more than as many, and do not fill the log.
func TestHandshakesCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 3
		log := new(lineLog)
		s, err := NewServer(WithServerHandshaker(byteHandshaker{}), WithServerLimits(Limits{Connections: most}), WithServerLogger(log))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.RegisterService("test", extendedService())
		connect := func() *memconn.Conn {
			a, b := memconn.Pipe(0)
			s.accept(t.Context(), b)
			synctest.Wait()
			return a
		}
		isOpen := func(nc *memconn.Conn) bool {
			nc.SetReadDeadline(time.Now().Add(1))
			defer nc.SetReadDeadline(time.Time{})
			_, err := nc.Read(make([]byte, 1))
			return err != io.EOF
		}
		var silent []*memconn.Conn
		for range 100 {
			silent = append(silent, connect())
		}
		for i, nc := range silent {
			if want := i >= len(silent)-most; isOpen(nc) != want {
				t.Errorf("B64: connection %d of %d that do not shake hands: open is %v", i, len(silent), !want)
			}
		}
		if n := s.countConnection(); n != most {
			t.Errorf("B64: the server holds %d, want %d", n, most)
		}
		var clients []*Client
		for range most {
			nc := connect()
			nc.Write([]byte{1})
			c := NewClient(nc)
			defer c.Close()
			if err := c.Call(t.Context(), "test", "Echo", wrapperspb.String(""), new(wrapperspb.StringValue)); err != nil {
				t.Errorf("B64: who shakes hands is kept out: %v", err)
			}
			clients = append(clients, c)
		}
		late := connect()
		late.Write([]byte{1})
		synctest.Wait()
		if isOpen(late) {
			t.Error("B64: a connection over the cap is open after its handshake")
		}
		for _, c := range clients {
			if err := c.Call(t.Context(), "test", "Echo", wrapperspb.String(""), new(wrapperspb.StringValue)); err != nil {
				t.Errorf("B64: a connection that was through is cut off: %v", err)
			}
		}
		if n := len(log.lines); n != 1 {
			t.Errorf("B64: %d lines are logged at once: %q", n, log.lines)
		}
		time.Sleep(refusalPause)
		bad := connect()
		bad.Write([]byte{0})
		synctest.Wait()
		if n := len(log.lines); n != 2 || !strings.HasSuffix(log.lines[n-1], "and more") {
			t.Errorf("B64: later it is %q", log.lines)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := s.countConnection(); n != 0 || len(s.shaking) != 0 {
			t.Errorf("B64: after Close the server holds %d, of which %d shake hands", n, len(s.shaking))
		}
	})
}

// TestCrowdedOutAtOnce holds that a connection which is closed in favour of another has no
// place any more, even before it is closed.
func TestCrowdedOutAtOnce(t *testing.T) {
	s, err := NewServer(WithServerHandshaker(byteHandshaker{}), WithServerLimits(Limits{Connections: 1}))
	if err != nil {
		t.Fatal(err)
	}
	first, second := &conn{handshakes: true}, &conn{handshakes: true}
	if crowded, err := s.addConnection(first); crowded != nil || err != nil {
		t.Errorf("B64: the first connection: %v, %v", crowded, err)
	}
	if crowded, err := s.addConnection(second); crowded != first || err != nil {
		t.Errorf("B64: the second connection: %v, %v", crowded, err)
	}
	if err := s.shaken(first); err != errCrowdedOut {
		t.Errorf("B64: the first has shaken hands: %v", err)
	}
	if err := s.shaken(second); err != nil {
		t.Errorf("B64: the second has shaken hands: %v", err)
	}
	s.removeConnection(second)
}
