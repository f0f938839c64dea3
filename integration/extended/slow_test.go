// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package extended

import (
	"context"
	"fmt"
	"os"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

// stuck is how many streams nothing is taken from for a while. On each 64 MiB are sent.
const stuck = 4

// mustGoOn has other calls and streams of the connection work.
func (p *peer) mustGoOn(t *testing.T, rule string) {
	t.Helper()
	for range 500 {
		p.mustAsk(t, rule, "Echo", "hello")
	}
	s := p.mustStream(t, context.Background(), bothStream, "Echoes", nil)
	for i := range 500 {
		m := wrapperspb.String(fmt.Sprint(i))
		if err := s.SendMsg(m); err != nil {
			t.Fatalf("%s: another stream: %v", rule, err)
		}
		if err := s.RecvMsg(m); err != nil || m.Value != fmt.Sprint(i) {
			t.Fatalf("%s: message %d of another stream: %q, %v", rule, i, m.Value, err)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
}

// TestSlowConsumer sends to handlers that take nothing for a while.
func TestSlowConsumer(t *testing.T) {
	inBothRoles(t, "impatient", "impatient", func(t *testing.T, p *peer) {
		ours, theirs := watchMemory(t, os.Getpid()), watchMemory(t, p.pid())
		sent := make(chan struct{}, stuck*flowMessages)
		results := make(chan error, stuck)
		for range stuck {
			s := p.mustStream(t, context.Background(), clientStream, "Sink", nil)
			go func() {
				want, err := flow(s.SendMsg, func() { sent <- struct{}{} })
				if err == nil {
					err = s.CloseSend()
				}
				got := new(wrapperspb.StringValue)
				if err == nil {
					err = s.RecvMsg(got)
				}
				if err == nil && got.Value != want.String() {
					err = fmt.Errorf("%s have arrived, and were sent: %s", got.Value, &want)
				}
				results <- err
			}()
		}
		for range stuck * flowWindow {
			<-sent
		}
		p.mustGoOn(t, "B48")
		if n := len(sent); n > 0 {
			t.Errorf("B48: %d messages were sent without credit", n)
		}
		p.mustAsk(t, "B48", "Open", "")
		for range stuck {
			if err := <-results; err != nil {
				t.Errorf("B48: a stream that was stuck: %v", err)
			}
		}
		ours.mustStayBelow(t, "B48", stuckMemory)
		theirs.mustStayBelow(t, "B48", stuckMemory)
	})
}

// TestSlowReceiver takes nothing for a while of what handlers send.
func TestSlowReceiver(t *testing.T) {
	inBothRoles(t, "impatient", "impatient", func(t *testing.T, p *peer) {
		ours, theirs := watchMemory(t, os.Getpid()), watchMemory(t, p.pid())
		results := make(chan string, stuck)
		open := make(chan struct{})
		for range stuck {
			s := p.mustStream(t, context.Background(), serverStream, "Source", nil)
			go func() {
				<-open
				y, err := drainFlow(s.RecvMsg)
				if err != nil {
					results <- err.Error()
				}
				results <- y.String()
			}()
		}
		for range stuck {
			p.mustTell(t, "B48", "window used up")
		}
		p.mustGoOn(t, "B48")
		if got, want := p.mustAsk(t, "B48", "Sent", ""), fmt.Sprint(stuck*flowWindow); got != want {
			t.Errorf("B48: %s messages were sent, and there was credit for %s", got, want)
		}
		close(open)
		for range stuck {
			sent := p.mustAsk(t, "B48", "Next", "")
			if got := <-results; got != sent {
				t.Errorf("B48: there have arrived: %s, and were sent: %s", got, sent)
			}
		}
		ours.mustStayBelow(t, "B48", stuckMemory)
		theirs.mustStayBelow(t, "B48", stuckMemory)
	})
}
