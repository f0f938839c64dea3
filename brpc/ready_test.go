// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/mem"
)

// A countedPool counts the buffers that somebody has.
type countedPool struct {
	mem.NopBufferPool
	lent int
}

func (p *countedPool) Get(n int) *[]byte {
	p.lent++
	return p.NopBufferPool.Get(n)
}

func TestReady(t *testing.T) {
	ends(t, func(t *testing.T, _ *pair, a, b net.Conn) {
		pool := new(countedPool)
		got := make(chan string)
		read := func() {
			buf, n, err := b.(*tunnel).ReadOnReady(4, pool)
			if err != nil {
				t.Errorf("B144: the read returns %d, %v", n, err)
			}
			got <- string((*buf)[:n])
		}
		go read()
		synctest.Wait()
		if pool.lent != 0 {
			t.Errorf("B144: who waits for bytes has %d buffers for them", pool.lent)
		}
		if _, err := a.Write([]byte("gRPC's")); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"gRPC", "'s"} {
			if s := <-got; s != want {
				t.Errorf("B144: %q has come, not %q", s, want)
			}
			if want == "gRPC" {
				go read()
			}
		}
		if pool.lent != 2 {
			t.Errorf("B144: two reads took %d buffers", pool.lent)
		}
		b.SetReadDeadline(time.Now().Add(time.Second))
		if buf, n, err := b.(*tunnel).ReadOnReady(4, pool); buf != nil || n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("B144: after a deadline the read returns %d, %v", n, err)
		}
		b.SetReadDeadline(time.Time{})
		a.Close()
		if buf, n, err := b.(*tunnel).ReadOnReady(4, pool); buf != nil || n != 0 || err != io.EOF {
			t.Errorf("B144: after the end the read returns %d, %v", n, err)
		}
		if pool.lent != 2 {
			t.Errorf("B144: reads that fail took %d buffers", pool.lent-2)
		}
	})
}

// TestReadyAsked wants gRPC to use that: what a client's connection hands to gRPC has the
// method under whatever credentials wrap around it.
func TestReadyAsked(t *testing.T) {
	tunnel := &tunnel{remote: &addr{peer: new(Peer)}}
	for end, shake := range map[string]func() (net.Conn, error){
		"client": func() (net.Conn, error) {
			conn, _, err := Credentials().ClientHandshake(t.Context(), "", tunnel)
			return conn, err
		},
		"server": func() (net.Conn, error) {
			conn, _, err := Credentials().ServerHandshake(tunnel)
			return conn, err
		},
	} {
		conn, err := shake()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := conn.(interface {
			ReadOnReady(int, mem.BufferPool) (*[]byte, int, error)
		}); !ok {
			t.Errorf("B144: at the %s gRPC gets a %T, which keeps a buffer", end, conn)
		}
	}
}
