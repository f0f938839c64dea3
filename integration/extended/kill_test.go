// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package extended

import (
	"context"
	"errors"
	"io"
	"math/rand"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

// TestKilled kills the other process at random moments among calls of all sorts, in
// both directions. Every call ends, with no other error than that the connection has.
func TestKilled(t *testing.T) {
	const callers = 4
	for round := range killRounds {
		inBothRoles(t, "plain", "plain", func(t *testing.T, p *peer) {
			p.local.open(context.Background(), "")
			files := newFiles(t, 3)
			var calls atomic.Int64
			killed := make(chan struct{})
			var once sync.Once
			fatal := int64(rand.New(rand.NewSource(int64(round))).Intn(2000))
			var wg sync.WaitGroup
			for _, use := range []func(*peer, []*os.File) error{useCalls, useNested, useLarge, useStream, useFiles, useCancel} {
				for range callers {
					wg.Add(1)
					go func() {
						defer wg.Done()
						var err error
						for err == nil {
							err = use(p, files)
							if calls.Add(1) > fatal {
								once.Do(func() { p.kill(); close(killed) })
							}
						}
						if !errors.Is(err, ttrpc.ErrClosed) {
							t.Errorf("B5: a call of a process that is killed: %v", err)
						}
					}()
				}
			}
			<-killed
			wg.Wait()
			if err := p.cause(); err == nil || errors.Is(err, ttrpc.ErrProtocol) {
				t.Errorf("B1: the cause is %v", err)
			}
		})
	}
}

func useCalls(p *peer, _ []*os.File) error {
	_, err := ask(context.Background(), p.Client, "Echo", "hello")
	return err
}

func useNested(p *peer, _ []*os.File) error {
	_, err := ask(context.Background(), p.Client, "Nest", "5")
	return err
}

func useLarge(p *peer, _ []*os.File) error {
	return p.Call(context.Background(), serviceName, "Digest", &blob{size: 1 << 20}, new(wrapperspb.StringValue))
}

func useStream(p *peer, _ []*os.File) error {
	s, err := p.NewStream(context.Background(), bothStream, serviceName, "Echoes", nil)
	if err != nil {
		return err
	}
	for range 10 {
		m := wrapperspb.String("hello")
		if err := s.SendMsg(m); err != nil {
			return err
		}
		if err := s.RecvMsg(m); err != nil {
			return err
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	if err := s.RecvMsg(new(wrapperspb.StringValue)); err != io.EOF {
		return err
	}
	return nil
}

func useFiles(p *peer, files []*os.File) error {
	_, back, err := swap(context.Background(), p.Client, "Bounce", files)
	closeAll(back)
	return err
}

func useCancel(p *peer, _ []*os.File) error {
	ctx, cancel := context.WithCancel(context.Background())
	done := p.asking(ctx, "Wait", "")
	cancel()
	err := <-done
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return err
}
