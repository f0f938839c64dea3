// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package websocket_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	coder "github.com/coder/websocket"

	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/transport/websocket"
)

// foreign returns a websocket of another kind, and the conn that is its other end.
func foreign(t *testing.T, l *websocket.Listener) (*coder.Conn, net.Conn) {
	t.Helper()
	s := serve(t, listen(t, l))
	ws, _, err := coder.Dial(t.Context(), at(s), nil)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	t.Cleanup(func() { ws.CloseNow() })
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return ws, c
}

// TestMessageBounds has bytes come in messages of any size, empty and fragmented ones too.
func TestMessageBounds(t *testing.T) {
	ws, c := foreign(t, &websocket.Listener{MaxMessage: 1000})
	go func() {
		for _, m := range []string{"a", "", "bc", strings.Repeat("d", 1000), ""} {
			ws.Write(t.Context(), coder.MessageBinary, []byte(m))
		}
		w, _ := ws.Writer(t.Context(), coder.MessageBinary)
		for _, m := range []string{"e", "fg", ""} {
			io.WriteString(w, m)
		}
		w.Close()
		ws.Close(coder.StatusNormalClosure, "")
	}()
	testkit.Within(t, "B110", func() {
		got, err := io.ReadAll(c)
		if want := "abc" + strings.Repeat("d", 1000) + "efg"; string(got) != want || err != nil {
			t.Errorf("B110: %q, %v", got, err)
		}
	})
}

func TestRefusedMessages(t *testing.T) {
	for _, tt := range []struct {
		name string
		kind coder.MessageType
		size int
		want error
		code coder.StatusCode
	}{
		{"text", coder.MessageText, 3, websocket.ErrText, coder.StatusUnsupportedData},
		{"too large", coder.MessageBinary, 1001, websocket.ErrTooLarge, coder.StatusMessageTooBig},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ws, c := foreign(t, &websocket.Listener{MaxMessage: 1000})
			go func() {
				ws.Write(t.Context(), coder.MessageBinary, []byte("fine"))
				ws.Write(t.Context(), tt.kind, bytes.Repeat([]byte("x"), tt.size))
			}()
			testkit.Within(t, "B110", func() {
				got, err := io.ReadAll(c)
				var op *net.OpError
				if !bytes.HasPrefix(got, []byte("fine")) || len(got) > 4+1000 || !errors.Is(err, tt.want) || !errors.As(err, &op) || op.Op != "read" {
					t.Errorf("B110: %d bytes, %v", len(got), err)
				}
				if _, err := c.Write([]byte("x")); !errors.Is(err, tt.want) {
					t.Errorf("B110: Write: %v", err)
				}
				_, _, err = ws.Read(t.Context())
				var closed coder.CloseError
				if !errors.As(err, &closed) || closed.Code != tt.code || !strings.HasPrefix(closed.Reason, tt.want.Error()) {
					t.Errorf("B110: the other end learns %v", err)
				}
			})
		})
	}
}

// TestCloseFrames holds what the other end's close means.
func TestCloseFrames(t *testing.T) {
	for _, tt := range []struct {
		name  string
		close func(ws *coder.Conn)
		want  string // of the error; "" is io.EOF
	}{
		{"normal", func(ws *coder.Conn) { ws.Close(coder.StatusNormalClosure, "bye") }, ""},
		{"a page that is left", func(ws *coder.Conn) { ws.Close(coder.StatusGoingAway, "") }, ""},
		{"close of a browser", func(ws *coder.Conn) { ws.Close(coder.StatusNoStatusRcvd, "") }, ""},
		{"an error", func(ws *coder.Conn) { ws.Close(coder.StatusInternalError, "out of\nluck") }, "the other end has closed the websocket with status 1011: out of luck"},
		{"no frame", func(ws *coder.Conn) { ws.CloseNow() }, "the connection has ended without the websocket's close frame: unexpected EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ws, c := foreign(t, new(websocket.Listener))
			ws.Write(t.Context(), coder.MessageBinary, []byte("last words"))
			go tt.close(ws)
			testkit.Within(t, "B110", func() {
				got, err := io.ReadAll(c)
				if string(got) != "last words" || (err == nil) != (tt.want == "") || err != nil && !strings.HasSuffix(err.Error(), tt.want) {
					t.Errorf("B110: %q, %v, want %q", got, err, tt.want)
				}
			})
		})
	}
}

// TestCloseSays has the other end learn of Close by a close frame, after all data.
func TestCloseSays(t *testing.T) {
	ws, c := foreign(t, new(websocket.Listener))
	c.Write(make([]byte, 200_000))
	c.Close()
	testkit.Within(t, "B110", func() {
		var n int
		for {
			_, m, err := ws.Read(t.Context())
			if n += len(m); err == nil {
				continue
			}
			if n != 200_000 || coder.CloseStatus(err) != coder.StatusNormalClosure {
				t.Errorf("B110: after %d bytes: %v", n, err)
			}
			return
		}
	})
}
