// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package extended

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

func TestAgreement(t *testing.T) {
	inBothRoles(t, "plain", "plain", func(t *testing.T, p *peer) {
		for range 2 {
			if ok, err := p.Extended(context.Background()); !ok || err != nil {
				t.Errorf("B46: Extended: %v, %v", ok, err)
			}
		}
		p.mustWork(t, "B46")
	})
}

// TestAgreedLimit: the smaller limit of both holds, in either direction.
func TestAgreedLimit(t *testing.T) {
	inBothRoles(t, "small", "large", func(t *testing.T, p *peer) {
		m := new(wrapperspb.StringValue)
		var big *ttrpc.OversizedMessageErr
		err := p.Call(context.Background(), serviceName, "Digest", &blob{size: smallLimit + 1}, m)
		if !errors.As(err, &big) || big.MaximumLength() != smallLimit {
			t.Errorf("B49: a request over the other's limit: %v", err)
		}
		err = p.Call(context.Background(), serviceName, "Blob", wrapperspb.Int64(smallLimit+1), new(blob))
		if status.Code(err) != codes.ResourceExhausted {
			t.Errorf("B49: an answer over its limit: %v", err)
		}
		want := &blob{size: smallLimit - 1000}
		if err := p.Call(context.Background(), serviceName, "Digest", want, m); err != nil || m.Value != want.String() {
			t.Errorf("B49: a request under the limit: %q, %v, want %q", m.Value, err, want)
		}
		p.mustWork(t, "B49")
	})
}

func TestClassicServer(t *testing.T) {
	p, address := startServer(t, "classic")
	s := newStation()
	client := s.client(dial(t, address))
	defer client.Close()
	c := &peer{process: p, Client: client, local: s}
	if ok, err := client.Extended(context.Background()); ok || err != nil {
		t.Errorf("B46: Extended: %v, %v", ok, err)
	}
	if got := c.mustAsk(t, "B46", "Echo", "hello"); got != "hello" {
		t.Errorf("B46: Echo answers %q", got)
	}
	if _, err := ask(context.Background(), client, "Nest", "1"); err == nil || !strings.Contains(err.Error(), "made without WithServerExtensions") {
		t.Errorf("B50: calling back from a server that does not opt in: %v", err)
	}
	if _, _, err := swap(context.Background(), client, "Swap", newFiles(t, 1)); !errors.Is(err, ttrpc.ErrNoFiles) {
		t.Errorf("B51: files over a classic connection: %v, want %v", err, ttrpc.ErrNoFiles)
	}
	if got := c.mustAsk(t, "B46", "Echo", "hello"); got != "hello" {
		t.Errorf("B46: Echo answers %q", got)
	}
}

func TestClassicClient(t *testing.T) {
	_, address := startServer(t, "plain")
	client := ttrpc.NewClient(dial(t, address))
	defer client.Close()
	if ok, err := client.Extended(context.Background()); ok || err != nil {
		t.Errorf("B46: Extended: %v, %v", ok, err)
	}
	if _, err := ask(context.Background(), client, "Nest", "1"); err == nil || !strings.Contains(err.Error(), ttrpc.ErrPeerClassic.Error()) {
		t.Errorf("B50: calling back a classic client: %v, want %v", err, ttrpc.ErrPeerClassic)
	}
	if got, err := ask(context.Background(), client, "Echo", "hello"); err != nil || got != "hello" {
		t.Errorf("B46: Echo: %q, %v", got, err)
	}
}

func TestClientThatServesNothing(t *testing.T) {
	_, address := startServer(t, "plain")
	client := ttrpc.NewClient(dial(t, address), ttrpc.WithExtensions())
	defer client.Close()
	if _, err := ask(context.Background(), client, "Nest", "1"); status.Code(err) != codes.Unimplemented {
		t.Errorf("B50: calling back who serves nothing: %v, want %v", err, codes.Unimplemented)
	}
	if got, err := ask(context.Background(), client, "Echo", "hello"); err != nil || got != "hello" {
		t.Errorf("B46: Echo: %q, %v", got, err)
	}
}
