// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/containerd/ttrpc/internal/program"
	"github.com/containerd/ttrpc/internal/testkit"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func TestDemo(t *testing.T) {
	p := program.Start(t, "-demo")
	if code := p.Wait(); code != 0 || p.Stderr() != "" {
		t.Fatalf("exits with %d and prints:\n%s%s", code, p.Stdout(), p.Stderr())
	}
	want := `* ada has come
* bob has come
ada: Is anybody there?
bob: I am!
ada: How did you come in?
bob: By a unix socket.
ada: I by a websocket.
* bob has left
`
	if p.Stdout() != want {
		t.Errorf("L13: it prints\n%s\nand not\n%s", p.Stdout(), want)
	}
}

func TestUsage(t *testing.T) {
	p := program.Start(t, "leave")
	if code := p.Wait(); code != 2 || !strings.HasPrefix(p.Stderr(), "usage:") {
		t.Errorf("exits with %d and prints %s", code, p.Stderr())
	}
}

// newHouse opens a house that is closed when the test ends.
func newHouse(t *testing.T) *house {
	h, err := open("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.close() })
	return h
}

// await waits until somebody gets an event.
func (m *member) await(t *testing.T, want string) {
	t.Helper()
	for event, err := range m.events.All(t.Context()) {
		if err != nil {
			t.Fatalf("L13: before %q: %v", want, err)
		}
		if event.String() == want {
			return
		}
	}
	t.Fatalf("L13: the events end before %q", want)
}

// TestTerminals joins by both doors, as from terminals.
func TestTerminals(t *testing.T) {
	h := newHouse(t)
	host, err := newMember(t.Context(), h.Unix, "host")
	if err != nil {
		t.Fatal(err)
	}
	defer host.session.Close()
	for _, address := range []string{h.Unix, h.Socket} {
		in, keys := io.Pipe()
		var screen strings.Builder
		left := testkit.WaitFor(func() {
			if err := join(t.Context(), address, "guest", in, &screen); err != nil {
				t.Errorf("L13: %v", err)
			}
		})
		testkit.Within(t, "L13", func() {
			host.await(t, "* guest has come")
			io.WriteString(keys, "hello\n")
			host.await(t, "guest: hello")
			keys.Close()
			host.await(t, "* guest has left")
			<-left
		})
		if got := screen.String(); got != "* guest has come\nguest: hello\n" {
			t.Errorf("L13: the guest's screen shows %q", got)
		}
	}
}

func TestWhoIsRefused(t *testing.T) {
	h := newHouse(t)
	host, err := newMember(t.Context(), h.Unix, "host")
	if err != nil {
		t.Fatal(err)
	}
	defer host.session.Close()
	for name, want := range map[string]string{
		"host":                  "somebody is called host already",
		"":                      "a name has 1 to 30 characters",
		strings.Repeat("x", 31): "a name has 1 to 30 characters",
	} {
		if _, err := newMember(t.Context(), h.Socket, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("L13: %q: %v, want %s", name, err, want)
		}
	}
	guest, err := newMember(t.Context(), h.Socket, "guest")
	if err != nil {
		t.Fatal(err)
	}
	defer guest.session.Close()
	testkit.Within(t, "L13", func() {
		for err == nil {
			err = guest.say.Send(context.Background(), strings.Repeat("x", longestText+1))
		}
		if !strings.Contains(err.Error(), "more than 2000 characters at a time") {
			t.Errorf("L13: who says too much gets %v", err)
		}
		host.await(t, "* guest has left")
	})
}
