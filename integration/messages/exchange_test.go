// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package messages

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
)

// parsed returns a new message with the content of the text.
func parsed(t *testing.T, k *kind, newMessage func() any, text string) any {
	t.Helper()
	m := newMessage()
	if err := k.parse(text, m); err != nil {
		t.Fatalf("%s: %v", k.name, err)
	}
	return m
}

// eachPair runs a test for a client and a server of any two kinds.
func eachPair(t *testing.T, test func(t *testing.T, client, server *kind)) {
	for _, client := range kinds {
		for _, server := range kinds {
			t.Run(client.name+"/"+server.name, func(t *testing.T) { test(t, client, server) })
		}
	}
}

// TestCall has what one kind encodes decoded by another, and the other way round. The
// response is decoded into a message that has content.
func TestCall(t *testing.T) {
	eachPair(t, func(t *testing.T, client, server *kind) {
		decoded := make(chan any, 1)
		c := connect(t, server.service(), echoService(server.newSample, func(m any) { decoded <- m }))
		for name, text := range samples {
			req := parsed(t, client, client.newSample, text)
			resp := parsed(t, client, client.newSample, samples["nested"])
			if err := c.Call(context.Background(), server.service(), "Echo", req, resp); err != nil {
				t.Fatalf("B44: %s: %v", name, err)
			}
			got, want := <-decoded, parsed(t, server, server.newSample, text)
			if !server.equal(got, want) {
				t.Errorf("B44: %s: the server decoded %v\nwant %v", name, got, want)
			}
			if !client.equal(resp, req) {
				t.Errorf("B44: %s: the client decoded %v\nwant %v", name, resp, req)
			}
		}
	})
}

// TestStream is TestCall on a stream, where each side decodes all messages into the
// same one.
func TestStream(t *testing.T) {
	eachPair(t, func(t *testing.T, client, server *kind) {
		expected := make(chan any, 1)
		c := connect(t, server.service(), echoService(server.newSample, func(got any) {
			if want := <-expected; !server.equal(got, want) {
				t.Errorf("B44: the server decoded %v\nwant %v", got, want)
			}
		}))
		stream := openEcho(t, c, server.service())
		in := client.newSample()
		for _, name := range append(slices.Sorted(maps.Keys(samples)), "empty", "scalar") {
			out := parsed(t, client, client.newSample, samples[name])
			expected <- parsed(t, server, server.newSample, samples[name])
			exchange(t, stream, out, in)
			if !client.equal(in, out) {
				t.Errorf("B44: %s: the client decoded %v\nwant %v", name, in, out)
			}
		}
		finish(t, stream, in)
	})
}

// TestUnknownFields passes a message through a server that knows an older version.
func TestUnknownFields(t *testing.T) {
	eachPair(t, func(t *testing.T, client, server *kind) {
		c := connect(t, server.service(), echoService(server.newSample, nil))
		req, resp := parsed(t, client, client.newExtended, extended), client.newExtended()
		if err := c.Call(context.Background(), server.service(), "Echo", req, resp); err != nil {
			t.Fatal(err)
		}
		if !client.equal(resp, req) {
			t.Errorf("B44: of unknown fields the call kept %v\nwant %v", resp, req)
		}
		stream := openEcho(t, c, server.service())
		resp = client.newExtended()
		exchange(t, stream, req, resp)
		if !client.equal(resp, req) {
			t.Errorf("B44: of unknown fields the stream kept %v\nwant %v", resp, req)
		}
		// The next message has none, and must not get them from the one before.
		exchange(t, stream, client.newExtended(), resp)
		if !client.equal(resp, client.newExtended()) {
			t.Errorf("B44: unknown fields of the message before: %v", resp)
		}
		finish(t, stream, resp)
	})
}

// TestNil sends nil, which is an empty message on streams.
func TestNil(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			c := connect(t, k.service(), echoService(k.newSample, nil))
			stream := openEcho(t, c, k.service())
			in := parsed(t, k, k.newSample, samples["nested"])
			exchange(t, stream, nil, in)
			if !k.equal(in, k.newSample()) {
				t.Errorf("B20: SendMsg(nil) sent %v", in)
			}
			finish(t, stream, in)
		})
	}
}

// TestKept looks at messages after others have been received: those that decode some
// fields when these are first asked for must not have kept memory that is used again.
func TestKept(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			c := connect(t, k.service(), echoService(k.newSample, nil))
			stream := openEcho(t, c, k.service())
			const text = `child { name: "child %[1]d" data: "%[1]d" } named { key: "%[1]d" value { text: "%[1]d" } }`
			var sent, kept []any
			for i := range 100 {
				out, in := parsed(t, k, k.newSample, fmt.Sprintf(text, i)), k.newSample()
				if i%2 == 0 {
					exchange(t, stream, out, in)
				} else if err := c.Call(context.Background(), k.service(), "Echo", out, in); err != nil {
					t.Fatal(err)
				}
				sent, kept = append(sent, out), append(kept, in)
			}
			for i := range sent {
				if !k.equal(kept[i], sent[i]) {
					t.Fatalf("B44: message %d became %v", i, kept[i])
				}
			}
			finish(t, stream, k.newSample())
		})
	}
}
