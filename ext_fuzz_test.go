// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package ttrpc

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/internal/wire"
)

// extFuzzHello is what a raw peer says of itself.
var extFuzzHello = hello{Version: 1, Metadata: true, MaxMessage: extFuzzLimit, Window: 4 << 10, ConnectionWindow: 24 << 10, Serves: true}

// FuzzControl looks at what control frames tell, and that those we send are allowed
// (B56).
func FuzzControl(f *testing.F) {
	why, _ := proto.Marshal(status.New(codes.Aborted, "why").Proto())
	f.Add(uint32(0), byte(0), why)
	f.Add(uint32(3), byte(1), []byte("\x08\x00\x12\x02no"))
	f.Add(uint32(3), byte(0), make([]byte, 9))
	f.Fuzz(func(t *testing.T, id uint32, flags byte, data []byte) {
		st := parseReason(data, codes.Canceled)
		var p spb.Status
		wantCode, text := codes.Canceled, st.Message()
		if proto.Unmarshal(data, &p) == nil && p.Code != 0 {
			wantCode = codes.Code(p.Code)
		}
		switch {
		case st.Code() != wantCode && utf8.Valid(data): // who checks the text of details knows more
			t.Errorf("B47: %x has the code %v, want %v", data, st.Code(), wantCode)
		case !strings.HasPrefix(p.Message, text) && utf8.Valid(data), len(text) > wire.MaxReason, len(st.Proto().Details) != 0:
			t.Errorf("B47: %x is %v", data, st)
		}
		for _, frame := range []*frame{cancelFrame(id|1, st.Err()), goodbyeFrame(id, st), pingFrame(flags&1, data[:min(8, len(data))])} {
			if h, _ := parseHeader(frame.data); int(h.Length) != len(frame.data)-messageHeaderLength || checkControl(h) != nil && h.Type != messageTypePing {
				t.Errorf("B56: we send %+v", h)
			}
			frame.release()
		}
	})
}

// FuzzExtendedServer sends a server anything that the extended mode has, in any order.
func FuzzExtendedServer(f *testing.F) { fuzzExtended(f, roleServer) }

// FuzzExtendedClient sends a client anything that the extended mode has, in any order.
func FuzzExtendedClient(f *testing.F) { fuzzExtended(f, roleClient) }

func fuzzExtended(f *testing.F, r role) {
	for seed := range 30 {
		f.Add(randomProgram(seed))
	}
	f.Add(bytes.Repeat([]byte{0}, 100))
	f.Fuzz(func(t *testing.T, code []byte) {
		synctest.Test(t, func(t *testing.T) { runExtFuzz(t, r, code) })
	})
}

// TestExtendedFrames runs random programs of the fuzzers.
func TestExtendedFrames(t *testing.T) {
	for _, r := range []role{roleServer, roleClient} {
		for seed := range 40 * testkit.Times(t) {
			synctest.Test(t, func(t *testing.T) { runExtFuzz(t, r, randomProgram(seed)) })
			if t.Failed() {
				t.Fatalf("role %d, seed %d", r, seed)
			}
		}
	}
}
