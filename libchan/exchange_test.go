// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/internal/wire"
)

// A recording has the frames of a connection, one to a line, in the form of PROTOCOL.md.
type recording struct {
	mu    sync.Mutex
	lines []string
}

// A recorder is a conn whose writes are recorded.
type recorder struct {
	net.Conn
	from string
	to   *recording
	rest []byte // of a frame that is not whole yet
}

// Write is called by one goroutine at a time.
func (r *recorder) Write(p []byte) (int, error) {
	r.to.mu.Lock()
	r.rest = append(r.rest, p...)
	for {
		h, data, rest, err := wire.CutFrame(r.rest)
		if err != nil {
			break
		}
		r.rest = rest
		r.to.lines = append(r.to.lines, fmt.Sprintf("%s  %08x %08x %02x %02x  %x", r.from, h.Length, h.StreamID, uint8(h.Type), h.Flags, data))
	}
	r.to.mu.Unlock()
	return r.Conn.Write(p)
}

// protocol returns a part of PROTOCOL.md, below a heading.
func protocol(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile("../PROTOCOL.md")
	must(t, err)
	_, part, ok := strings.Cut(string(text), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("PROTOCOL.md has no heading %q", heading)
	}
	part, _, _ = strings.Cut(part, "\n## ")
	part, _, _ = strings.Cut(part, "\n### ")
	return part
}

// TestExchange plays the exchange of PROTOCOL.md, and holds that the frames are those there.
func TestExchange(t *testing.T) {
	within(t, func(t *testing.T) {
		all := new(recording)
		a, b := memconn.Pipe(0)
		begun := make(chan *Session, 1)
		server := newServer(t, ttrpc.WithServerExtensions())
		must(t, Register(server, WithHandler(func(s *Session) { begun <- s })))
		go server.ServeConn(ctx, &recorder{Conn: b, from: "S", to: all})
		client := ttrpc.NewClient(&recorder{Conn: a, from: "C", to: all}, WithSessions())
		t.Cleanup(func() {
			client.Close()
			server.Close()
		})
		near, err := Over(client)
		must(t, err)
		exchange(t, near, <-begun)

		got := all.lines[2:] // without Hello and its answer
		want := regexp.MustCompile(`(?m)^[CS]  .*`).FindAllString(protocol(t, "### A worked exchange"), -1)
		for i := range max(len(got), len(want)) {
			var sent, shown string
			if i < len(got) {
				sent = strings.TrimSpace(got[i])
			}
			if i < len(want) {
				shown = want[i]
			}
			if sent != shown {
				t.Errorf("frame %d: sent is %q, and PROTOCOL.md shows %q", i+1, sent, shown)
			}
		}
	})
}

// exchange has both sides do one thing after the other.
func exchange(t *testing.T, near, far *Session) {
	type job struct {
		Name string
		Ret  SendChan[string]
	}
	var s Sender
	var r Receiver
	var got job
	answers, ret := Make[string](1)
	receive := func(want string, end error) func() error {
		return func() error {
			if text, err := answers.Receive(ctx); text != want || err != end {
				return fmt.Errorf("received %q, %v; want %q, %v", text, err, want, end)
			}
			return nil
		}
	}
	for i, step := range []func() error{
		func() (err error) { s, err = near.NewSendChannel(); return err },
		func() error { return s.Send(job{"build", ret}) },
		func() (err error) { r, err = far.WaitReceiveChannel(); return err },
		func() error { return r.Receive(&got) },
		func() error { return got.Ret.Send(ctx, "begun") },
		receive("begun", nil),
		func() error { return got.Ret.Send(ctx, "done") },
		func() error { return got.Ret.Close() },
		receive("done", nil),
		receive("", io.EOF),
		func() error { return s.Close() },
		func() error {
			if err := r.Receive(&got); err != io.EOF {
				return fmt.Errorf("the end is %v, want io.EOF", err)
			}
			return nil
		},
		near.Close,
	} {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i+1, err)
		}
		synctest.Wait()
	}
}

// TestProtocolMessages holds the other messages that PROTOCOL.md shows.
func TestProtocolMessages(t *testing.T) {
	status := &spb.Status{Code: 11, Message: "enough"}
	shown := protocol(t, "### More messages")
	for name, got := range map[string][]byte{
		"a new channel called logs, capacity 4": (&wireOpen{session: 1, id: 3, name: "logs", capacity: 5}).append(nil),
		"the end with an error":                 (&wireMessage{end: status}).appendBeside(nil),
		"a final report":                        (&wireControl{reports: []wireReport{{7, 300, true, status}}}).append(nil),
		"two releases":                          (&wireControl{releases: []uint64{9, 11}}).append(nil),
		"draining":                              (&wireControl{draining: true}).append(nil),
		"idle":                                  (&wireControl{idle: &wireIdle{2, 1}}).append(nil),
	} {
		if line := "| " + name + " | `" + hex.EncodeToString(got) + "` |\n"; !strings.Contains(shown, line) {
			t.Errorf("PROTOCOL.md has no line %s", line)
		}
	}
}
