// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package lines_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/lines"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/testpeer/demo"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/watch"
	"github.com/containerd/ttrpc/internal/leak"
	"github.com/containerd/ttrpc/internal/wire"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

func encode(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func described(t testing.TB) *schema.Schema {
	t.Helper()
	flags := schema.Flags{Proto: []string{"../../testdata/proto/demo.proto"}}
	s, err := flags.Open(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var began = time.Date(2026, 1, 2, 3, 4, 5, 600_000, time.UTC)

// events are one of each kind.
func events(t testing.TB) []watch.Event {
	call := &watch.Call{StreamID: 3, Service: "demo.Greeter", Method: "Wrap", Begun: began, Timeout: 5 * time.Second}
	chat := &watch.Call{StreamID: 5, Service: "demo.Greeter", Method: "Chat", Begun: began, Streams: true, Sends: true}
	request := encode(t, &demo.GreetRequest{Name: "Ada", Labels: map[string]string{"a": "b"}})
	reply := &demo.GreetReply{Text: "Hello, Ada!"}
	content, err := anypb.New(reply)
	if err != nil {
		t.Fatal(err)
	}
	content.TypeUrl = "demo.GreetReply" // as containerd's are
	later := began.Add(1234567 * time.Nanosecond)
	md := []wire.KeyValue{{Key: "k", Value: "v"}, {Key: "k", Value: "w"}}
	failed := &spb.Status{Code: 5, Message: "no such thing", Details: []*anypb.Any{content, {TypeUrl: "x.y/Z", Value: []byte{8, 1}}}}
	return []watch.Event{
		{Kind: watch.Begin, At: began, StreamID: 3, Call: call, HasMessage: true, Payload: request, Size: len(request), Metadata: md, Files: 2},
		{Kind: watch.Frame, At: began, StreamID: 3, Text: "request, id 3"},
		{Kind: watch.Header, At: later, FromServer: true, StreamID: 3, Call: call, Metadata: md},
		{Kind: watch.Finish, At: later, FromServer: true, StreamID: 3, Call: call, HasMessage: true, Payload: encode(t, &demo.Envelope{Content: content})},
		{Kind: watch.Begin, At: began, StreamID: 5, Call: chat},
		{Kind: watch.Message, At: began, StreamID: 5, Call: chat, HasMessage: true, Payload: request},
		{Kind: watch.HalfEnd, At: began, StreamID: 5, Call: chat},
		{Kind: watch.Message, At: began, FromServer: true, StreamID: 5, Call: chat, HasMessage: true, Payload: encode(t, reply)},
		{Kind: watch.Message, At: began, FromServer: true, StreamID: 5, Call: chat, HasMessage: true, Size: 5 << 20},
		{Kind: watch.Message, At: began, FromServer: true, StreamID: 5, Call: chat, HasMessage: true, Payload: []byte("\xff no message")},
		{Kind: watch.Cancel, At: later, StreamID: 5, Call: chat, Status: &spb.Status{Code: 1, Message: "context canceled"}},
		{Kind: watch.Trailer, At: later, FromServer: true, StreamID: 5, Call: chat},
		{Kind: watch.Finish, At: later, FromServer: true, StreamID: 5, Call: chat, Status: failed},
		{Kind: watch.Finish, At: later, FromServer: true, StreamID: 0, Status: &spb.Status{Code: 3, Message: "odd"}},
		{Kind: watch.Lost, At: later, FromServer: true, StreamID: 3, Call: call},
		{Kind: watch.Agreed, At: later, FromServer: true, Text: "extended mode"},
		{Kind: watch.Goodbye, At: later, FromServer: true, Number: 7, Status: &spb.Status{Code: 14, Message: "shutting down"}},
		{Kind: watch.Control, At: later, StreamID: 0, Text: "ping"},
		{Kind: watch.Note, At: later, Trunk: 2, Text: "a request on id 1, which is in use"},
		{Kind: watch.Begin, At: began, StreamID: 7, Call: &watch.Call{Service: "no.Such", Method: "M", Begun: began}, HasMessage: true, Payload: []byte("\n\x03Ada\x12\x02\x08\x01")},
	}
}

func print(t testing.TB, p lines.Printer) string {
	t.Helper()
	var out bytes.Buffer
	p.Out = &out
	for _, e := range events(t) {
		if err := p.Event(1, e); err != nil {
			t.Fatal(err)
		}
	}
	p.About(1, began, "closed", "after 3s")
	p.Dropped(17, began)
	return out.String()
}

// TestText holds the lines for people, without flags and with -vv.
func TestText(t *testing.T) {
	want := `[1] → 3 /demo.Greeter/Wrap +2 files {"name":"Ada","labels":{"a":"b"}}
[1] ← 3 OK 1.23ms {"content":{"@type":"demo.GreetReply","text":"Hello, Ada!"}}
[1] → 5 /demo.Greeter/Chat stream
[1]   → 5 {"name":"Ada","labels":{"a":"b"}}
[1]   ← 5 {"text":"Hello, Ada!"}
[1]   ← 5 (a message of 5242880 bytes, which is too long to be kept)
[1]   ← 5 {12 bytes that are no field: ff206e6f206d657373616765}
[1] → 5 cancelled: context canceled
[1] ← 5 NotFound 1.23ms /demo.Greeter/Chat: no such thing {"@type":"demo.GreetReply","text":"Hello, Ada!"} {"@type":"x.y/Z","value":"CAE="}
[1] ← 0 InvalidArgument: odd
[1] ← 3 lost 1.23ms /demo.Greeter/Wrap: the connection has ended before the call
[1] ← extended mode
[1] ← goodbye, serves up to id 7: shutting down
[1 runtime] → note: a request on id 1, which is in use
[1] → 7 /no.Such/M {1: "Ada" 2 { 1: 1 }}
[1] closed: after 3s
… 17 events are not shown, as they could not be printed in time
`
	compare(t, print(t, lines.Printer{Schema: described(t)}), want)
	verbose := print(t, lines.Printer{Schema: described(t), Verbose: 2, Clock: true, Limit: 20, Paint: func(_ int, s string) string { return "<" + s + ">" }})
	for _, text := range []string{
		"<[1]> → 3 </demo.Greeter/Wrap> +2 files <timeout 5s> <k: v, k: w> {\"name\":\"Ada\",\"label< … 13 bytes more>\n",
		"<[1]>   → 3 <request, id 3>\n",
		"<[1]> ← 3 <header> k: v, k: w\n",
		"<[1]>   → 5 <sends no more>\n",
		"<[1]> → <ping>\n",
	} {
		if !strings.Contains(verbose, text) {
			t.Errorf("B180: there is no line %q in\n%s", text, verbose)
		}
	}
	if clock := "<" + began.Local().Format("15:04:05") + ".000600> <[1]>"; !strings.HasPrefix(verbose, clock) {
		t.Errorf("B180: the first line does not begin with %s:\n%s", clock, verbose)
	}
}

func compare(t *testing.T, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		a, b := "", ""
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			t.Errorf("B180: line %d is\n%s\nnot\n%s", i+1, a, b)
		}
	}
}

// TestJSON holds the lines for programs.
func TestJSON(t *testing.T) {
	got := strings.Split(print(t, lines.Printer{Schema: described(t), JSON: true}), "\n")
	for i, want := range []string{
		`{"conn":1,"at":"2026-01-02T03:04:05.0006Z","kind":"begin","from":"client","id":3,"method":"/demo.Greeter/Wrap","timeout_seconds":5,"metadata":{"k":["v","w"]},"message":{"name":"Ada","labels":{"a":"b"}},"size":13,"files":2}`,
		`{"conn":1,"at":"2026-01-02T03:04:05.001834567Z","kind":"finish","from":"server","id":3,"method":"/demo.Greeter/Wrap","message":{"content":{"@type":"demo.GreetReply","text":"Hello, Ada!"}},"size":0,"status":{"code":0,"name":"OK"},"took_seconds":0.001234567}`,
		`{"conn":1,"at":"2026-01-02T03:04:05.0006Z","kind":"begin","from":"client","id":5,"method":"/demo.Greeter/Chat","stream":true}`,
	} {
		if got[i] != want {
			t.Errorf("B180: line %d is\n%s\nnot\n%s", i+1, got[i], want)
		}
	}
	all := strings.Join(got, "\n")
	for _, want := range []string{
		`"kind":"finish","from":"server","id":5,"method":"/demo.Greeter/Chat","status":{"code":5,"name":"NotFound","message":"no such thing","details":[{"@type":"demo.GreetReply","text":"Hello, Ada!"},{"@type":"x.y/Z","value":"CAE="}]},"took_seconds":0.001234567}`,
		`{"conn":1,"trunk":2,"at":"2026-01-02T03:04:05.001834567Z","kind":"note","from":"client","text":"a request on id 1, which is in use"}`,
		`"method":"/no.Such/M","raw":"CgNBZGESAggB","size":0}`,
		`{"at":"2026-01-02T03:04:05.0006Z","kind":"dropped","number":17}`,
		`{"conn":1,"at":"2026-01-02T03:04:05.0006Z","kind":"closed","text":"after 3s"}`,
	} {
		if !strings.Contains(all, want) {
			t.Errorf("B180: there is no line with\n%s\nin\n%s", want, all)
		}
	}
}

// TestNoEscape holds that nothing that a peer sends gets at the terminal, or begins a line.
func TestNoEscape(t *testing.T) {
	const evil = "\x1b[2J\r\n[9] ← 3 OK\u202e\u200b\xff\u009b"
	var out bytes.Buffer
	p := lines.Printer{Out: &out, Schema: described(t), Verbose: 2}
	call := &watch.Call{Service: evil, Method: evil, Begun: began}
	greet := &watch.Call{Service: "demo.Greeter", Method: "Greet", Begun: began}
	named := encode(t, &demo.GreetRequest{Name: strings.ToValidUTF8(evil, "")})
	all := []watch.Event{
		{Kind: watch.Begin, Call: call, HasMessage: true, Payload: []byte("\n\x05\x1b[2Jx"), Metadata: []wire.KeyValue{{Key: evil, Value: evil}}},
		{Kind: watch.Begin, Call: greet, HasMessage: true, Payload: named},
		{Kind: watch.Finish, Call: call, Status: &spb.Status{Code: 99, Message: evil, Details: []*anypb.Any{{TypeUrl: evil}}}},
		{Kind: watch.Lost, Call: call}, {Kind: watch.Cancel, Status: &spb.Status{Message: evil}}, {Kind: watch.Goodbye, Status: &spb.Status{Message: evil}},
		{Kind: watch.Note, Text: evil}, {Kind: watch.Control, Text: evil}, {Kind: watch.Frame, Text: evil},
		{Kind: watch.Trailer, Metadata: []wire.KeyValue{{Key: evil, Value: evil}}},
	}
	for _, e := range all {
		p.Event(1, e)
	}
	p.About(1, began, "open", evil)
	if n := strings.Count(out.String(), "\n"); n != len(all)+1 {
		t.Errorf("B180: %d events are %d lines:\n%q", len(all)+1, n, out.String())
	}
	for _, r := range out.String() {
		if r != '\n' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf)) {
			t.Fatalf("B180: %U goes to the terminal:\n%q", r, out.String())
		}
	}
}

// TestDuration holds that three digits are shown or so.
func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 999: "999ns", 1234: "1.23µs", 438_123: "438µs", 1_234_567: "1.23ms", 12_345_678: "12.3ms", 1_234_567_890: "1.23s", 61 * time.Second: "1m1s",
	} {
		if got := lines.Duration(d); got != want {
			t.Errorf("B180: %d ns are %s, not %s", d, got, want)
		}
	}
}

// TestFilter holds which events pass, for each field of a filter and several.
func TestFilter(t *testing.T) {
	for _, test := range []struct {
		filter lines.Filter
		want   string // kinds and ids
	}{
		{lines.Filter{Methods: []string{"Wrap"}}, "begin3 frame3 header3 finish3 lost3 note0"},
		{lines.Filter{Methods: []string{"demo.Greeter/C*"}}, "begin5 message5 half-end5 message5 message5 message5 cancel5 trailer5 finish5 note0"},
		{lines.Filter{Methods: []string{"no.Such", "/demo.Greeter/Wrap"}}, "begin3 frame3 header3 finish3 lost3 note0 begin7"},
		{lines.Filter{Streams: []uint{7}}, "note0 begin7"},
		{lines.Filter{Failed: true, Streams: []uint{3}}, "lost3 note0"},
		{lines.Filter{Failed: true}, "begin5 message5 half-end5 message5 message5 message5 cancel5 trailer5 finish5 finish0 lost3 note0"},
		{lines.Filter{Failed: true, Methods: []string{"no.Such"}}, "note0"},
	} {
		var got []string
		s := test.filter.Select(func(conn int, e watch.Event) { got = append(got, fmt.Sprintf("%v%d", e.Kind, e.StreamID)) })
		for i, e := range events(t) {
			if i == 1 { // frames know their call
				e.Call = events(t)[0].Call
			}
			s.Event(1, e)
		}
		if got := strings.Join(got, " "); got != test.want {
			t.Errorf("B182: %+v lets pass\n%s\nnot\n%s", test.filter, got, test.want)
		}
	}
	for pattern, ok := range map[string]bool{"a*": true, "[": false, "": false} {
		if err := (&lines.Filter{Methods: []string{pattern}}).Check(); (err == nil) != ok {
			t.Errorf("B182: the pattern %q: %v", pattern, err)
		}
	}
}

// TestFailedIsBounded holds that what waits to see whether calls fail is bounded.
func TestFailedIsBounded(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	kept := 0
	s := (&lines.Filter{Failed: true}).Select(func(_ int, e watch.Event) { kept += e.Bytes() })
	call := &watch.Call{Service: "s", Method: "m", Begun: began}
	for range 100 {
		s.Event(1, watch.Event{Kind: watch.Message, StreamID: r.Uint32N(10), Call: call, HasMessage: true, Payload: make([]byte, 1<<20), Size: 1 << 20})
	}
	for range 100 {
		s.Event(1, watch.Event{Kind: watch.Begin, StreamID: 10 + r.Uint32N(1000), Call: call, Metadata: []wire.KeyValue{{Value: strings.Repeat("v", 1<<20)}}})
	}
	for id := range uint32(1010) {
		s.Event(1, watch.Event{Kind: watch.Lost, StreamID: id, Call: call})
	}
	if kept == 0 || kept > 33<<20 {
		t.Errorf("B182: %d bytes were kept", kept)
	}
}
