// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix && !race

package ttrpc

import (
	"context"
	"fmt"
	"io"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

// These tests hold how many objects are allocated, where that is a promise. Under
// the race detector pools lose things at random, so they are built without it only:
//
//	go test -run Allocs .

// allocsRuns is how often AllocsPerRun, which drops the fraction of the average, runs
// what is measured. It counts all goroutines, and what garbage collections take from
// pools is made again, but not once in each of so many runs.
const allocsRuns = 2000

// wantAllocs requires that f allocates at most so many objects on the average.
func wantAllocs(t *testing.T, what string, most int, f func()) {
	t.Helper()
	if got := int(testing.AllocsPerRun(allocsRuns, f)); got > most {
		t.Errorf("%s allocates %d objects, promised are at most %d", what, got, most)
	}
}

// TestAllocsUnary counts both ends: at each the message and its content, and at the
// server the call.
func TestAllocsUnary(t *testing.T) {
	const size, most = 64, 5
	client, ctx := benchClient(t, benchServer(t), "unix"), context.Background()
	fast := benchClient(t, benchServer(t, WithServerVTProto()), "unix", WithVTProto())
	plain, vt := wrapperspb.String(text(size)), newVTString(text(size))
	for name, call := range map[string]func() error{
		"a call":                 func() error { return echo(ctx, client, "test", plain) },
		"a call with vtprotobuf": func() error { return echo(ctx, fast, "vt", vt) },
	} {
		wantAllocs(t, name, most, func() {
			if err := call(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestAllocsClientStream counts a client's end only: its peer allocates nothing.
func TestAllocsClientStream(t *testing.T) {
	near, far := unixPair(t)
	client := NewClient(near)
	defer client.Close()
	s, err := client.NewStream(context.Background(), &StreamDesc{true, true}, "test", "Bidi", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := newChannel(far).recv(); err != nil { // the request
		t.Fatal(err)
	}
	msg := wrapperspb.String(text(64))
	message := frameBytes(1, messageTypeData, 0, encode(t, msg))
	wantAllocs(t, "receiving a message", 2, func() {
		if _, err := far.Write(message); err != nil {
			t.Fatal(err)
		}
		if err := receiveLike(s, msg); err != nil {
			t.Fatal(err)
		}
	})
	go io.Copy(io.Discard, far)
	wantAllocs(t, "sending a message", 0, func() {
		if err := s.SendMsg(msg); err != nil {
			t.Fatal(err)
		}
	})
}

// TestAllocsServerStream counts a server's end only: its peer allocates nothing.
func TestAllocsServerStream(t *testing.T) {
	near, far := unixPair(t)
	benchServer(t).accept(context.Background(), far)
	if _, err := near.Write(frameBytes(1, messageTypeRequest, flagRemoteOpen|flagNoData, encode(t, &Request{Service: "test", Method: "Bidi"}))); err != nil {
		t.Fatal(err)
	}
	message := frameBytes(1, messageTypeData, 0, encode(t, wrapperspb.String(text(64))))
	answer := make([]byte, len(message))
	wantAllocs(t, "receiving a message and sending it back", 2, func() {
		if _, err := near.Write(message); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(near, answer); err != nil {
			t.Fatal(err)
		}
	})
}

// TestAllocsEnvelopes leaves out the decoding of metadata, which makes a map.
func TestAllocsEnvelopes(t *testing.T) {
	msg := wrapperspb.String(text(64))
	for _, head := range benchHeads {
		wantAllocs(t, "encoding a request, "+head.name, 0, func() {
			buildRequest(t, head.requestHead, msg).release()
		})
		if head.metadata != nil {
			continue
		}
		request := buildRequest(t, head.requestHead, msg).data[messageHeaderLength:]
		wantAllocs(t, "decoding a request, "+head.name, 0, func() {
			if _, err := parseRequest(request); err != nil {
				t.Fatal(err)
			}
		})
	}
	wantAllocs(t, "encoding a response", 0, func() {
		buildResponse(t, msg).release()
	})
	response := buildResponse(t, msg).data[messageHeaderLength:]
	wantAllocs(t, "decoding a response", 0, func() {
		if _, _, err := parseResponse(response); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAllocsFrames(t *testing.T) {
	for _, n := range []int{0, 64, 4 << 10, 64 << 10, messageLengthMax} {
		wantAllocs(t, fmt.Sprintf("a frame of %d bytes", n), 0, func() {
			newFrame(n).release()
		})
	}
	near, far := unixPair(t)
	sender, receiver := newChannel(near), newChannel(far)
	for _, n := range []int{0, 64, 4 << 10} { // which any socket holds
		data := pattern(n)
		wantAllocs(t, fmt.Sprintf("sending and receiving a frame of %d bytes", n), 0, func() {
			passFrame(t, sender, receiver, data)
		})
	}
}
