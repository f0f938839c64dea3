// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/wire"
)

// TestRustSeesOnlyResponses looks at all that this library's server sends to clients
// that know unary calls alone.
func TestRustSeesOnlyResponses(t *testing.T) {
	needRust(t)
	for _, rust := range rustPeers {
		for _, sc := range []string{"errors", "unimplemented", "metadata", "response over the limit", "request over the limit", "64 callers"} {
			t.Run(rust+"/"+sc, func(t *testing.T) {
				asked, answered := tapped(t, rust, ours, sc)
				for i := range answered {
					for _, f := range answered[i] {
						if f.typ != wire.TypeResponse || f.flags != 0 || len(f.data) > 4<<20 {
							t.Errorf("B42: the server sent a %v", f)
						}
					}
					if got, want := ids(answered[i]), ids(asked[i]); !slices.Equal(got, want) {
						t.Errorf("B40: %d answers to %d requests, or not one to each", len(got), len(want))
					}
				}
			})
		}
	}
}

// TestRustSeesOnlyUnaryRequests looks at all that this library's client sends to
// servers that know unary calls alone, when it is asked for such.
func TestRustSeesOnlyUnaryRequests(t *testing.T) {
	needRust(t)
	for _, rust := range rustPeers {
		for _, sc := range []string{"status errors", "unimplemented", "metadata", "request over the limit", "64 callers"} {
			t.Run(rust+"/"+sc, func(t *testing.T) {
				asked, _ := tapped(t, ours, rust, sc)
				for _, frames := range asked {
					for i, f := range frames {
						if f.typ != wire.TypeRequest || f.flags != 0 || int(f.id) != 2*i+1 {
							t.Errorf("B36: request %d of the connection is a %v", i, f)
						}
					}
				}
			})
		}
	}
}

// ids returns the ids of frames, sorted.
func ids(frames []frame) []uint32 {
	var all []uint32
	for _, f := range frames {
		all = append(all, f.id)
	}
	slices.Sort(all)
	return all
}

// TestRustServerRules holds what PROTOCOL.md says about servers in Rust: what they
// answer to frames, and whether the connection is good afterwards.
func TestRustServerRules(t *testing.T) {
	needRust(t)
	for _, tt := range serverRules(t) {
		for _, rust := range rustPeers {
			if tt.peer != "" && tt.peer != rust {
				continue
			}
			t.Run(rust+"/"+tt.name, func(t *testing.T) {
				conn := dialRaw(t, startPeer(t, rust).addr)
				for _, f := range tt.frames {
					if _, err := conn.Write(f.encode()); err != nil && !tt.ends {
						t.Fatal(err)
					}
				}
				got := receive(conn, len(tt.answers))
				slices.SortFunc(got, func(a, b frame) int { return cmp.Compare(a.id, b.id) })
				if !slices.Equal(got, tt.answers) {
					t.Errorf("PROTOCOL.md: got %v, want %v", got, tt.answers)
				}
				if tt.ends {
					if f, err := readFrame(conn); err == nil {
						t.Errorf("PROTOCOL.md: got a %v, want the connection's end", f)
					}
				}
			})
		}
	}
}

type serverRule struct {
	name    string
	peer    string // the one to which it applies, or "" for both
	frames  []frame
	answers []frame // sorted by id
	ends    bool    // the server ends the connection
}

// serverRules end with a request that is answered if the connection is still good.
func serverRules(t *testing.T) []serverRule {
	text := wrapperspb.String("here")
	request := func(id uint32, flags byte, method string, timeout time.Duration) frame {
		payload := []byte(encoded(t, text))
		req := &ttrpc.Request{Service: "compat.Peer", Method: method, Payload: payload, TimeoutNano: int64(timeout)}
		return frame{id, wire.TypeRequest, flags, encoded(t, req)}
	}
	answer := func(id uint32, st *status.Status) frame {
		resp := &ttrpc.Response{Status: st.Proto(), Payload: []byte(encoded(t, text))}
		if st != nil {
			resp.Payload = nil
		}
		return frame{id, wire.TypeResponse, 0, encoded(t, resp)}
	}
	const last = 101
	still, good := request(last, 0, "Text", 0), answer(last, nil)

	// Who takes the length at its word is out of step after it; unless the data
	// is, as here, a number of frames that mean nothing.
	tooLong := frame{1, 1, 0, strings.Repeat("\x00", 4<<20+6)}
	return []serverRule{
		{
			name:    "types other than requests are ignored",
			frames:  []frame{{1, 0, 0, ""}, {1, 2, 0, ""}, {1, 3, 0, "data"}, {1, 3, 5, ""}, {1, 9, 0, "data"}, still},
			answers: []frame{good},
		},
		{
			name:    "health probes are not answered",
			frames:  []frame{{}, still},
			answers: []frame{good},
		},
		{
			name:    "data does not disturb a call",
			frames:  []frame{request(1, 0, "Hold", 0), {1, 3, 0, "data"}, {1, 3, 5, ""}, request(3, 0, "Release", 0), still},
			answers: []frame{{1, 2, 0, encoded(t, &ttrpc.Response{Payload: []byte(encoded(t, wrapperspb.String("held")))})}, answer(3, nil), good},
		},
		{
			name:    "flags are ignored",
			frames:  []frame{request(1, 1, "Text", 0), request(3, 2, "Text", 0), request(5, 6, "Text", 0), request(7, 0xff, "Text", 0), still},
			answers: []frame{answer(1, nil), answer(3, nil), answer(5, nil), answer(7, nil), good},
		},
		{
			name:    "ids may be even and need not rise",
			frames:  []frame{request(0, 0, "Text", 0), request(5, 0, "Text", 0), request(2, 0, "Text", 0), request(1, 0, "Text", 0), still},
			answers: []frame{answer(0, nil), answer(1, nil), answer(2, nil), answer(5, nil), good},
		},
		{
			name: "deadlines are watched", peer: rustAsync,
			frames:  []frame{request(1, 0, "Hold", time.Millisecond), still},
			answers: []frame{answer(1, status.New(codes.DeadlineExceeded, "timeout")), good},
		},
		{
			name: "data over the limit is taken for frames", peer: rustSync,
			frames:  []frame{tooLong, still},
			answers: []frame{good},
		},
		{
			name: "data over the limit ends the connection", peer: rustAsync,
			frames: []frame{tooLong},
			ends:   true,
		},
	}
}
