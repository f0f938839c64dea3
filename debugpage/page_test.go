// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package debugpage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/internal/wire"
)

// TestPage holds what is shown of calls that run, that have ended, and of connections that have.
func TestPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := New()
		h := newHouse(t, page)
		for range 3 {
			if err := h.call(t.Context(), "Greet"); err != nil {
				t.Fatal(err)
			}
		}
		h.call(t.Context(), "Fail")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		waits := make(chan error, 1)
		go func() { waits <- h.call(ctx, "Wait") }()
		synctest.Wait()
		time.Sleep(90 * time.Second)
		stream, err := h.client.NewStream(t.Context(), &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, "test.Service", "Echo", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.SendMsg(wrapperspb.String("hi")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()

		r := look(t, page)
		if r.Running != 4 || len(r.Longest) != 4 || r.Opened != 2 || r.Ended != 0 || r.Outcomes["OK"] != 6 || r.Outcomes["NotFound"] != 2 {
			t.Errorf("B160: %+v", r)
		}
		for _, s := range r.Longest[:2] {
			if s.FullMethod != "/test.Service/Wait" || s.Age < 89 || s.Age > 91 || s.Left == nil || *s.Left < 3509 || *s.Left > 3511 || !s.Unary {
				t.Errorf("B160: the oldest call is %+v", s)
			}
		}
		if r.Longest[0].Served == r.Longest[1].Served {
			t.Errorf("B160: the call is not there at both ends: %+v", r.Longest)
		}
		if s := r.Longest[2]; s.FullMethod != "/test.Service/Echo" || s.Left != nil || s.Sent.Messages+s.Received.Messages < 2 {
			t.Errorf("B160: the stream is %+v", s)
		}
		if c := r.Conns[0]; len(r.Conns) != 2 || c.Source != "house" || !c.Server || !c.Extended || c.State != "active" || c.Served.OK != 3 || c.Served.Failed != 1 || len(c.Streams) != 2 {
			t.Errorf("B160: the server's connection is %+v", c)
		}
		for _, m := range r.Methods {
			want := map[string]uint64{"/test.Service/Greet": 3, "/test.Service/Fail": 1, "/test.Service/Wait": 0, "/test.Service/Echo": 0}[m.Method]
			if m.Ended != want || m.Failed > 0 != (m.Method == "/test.Service/Fail") || m.Running+m.Ended == 0 {
				t.Errorf("B160: counted %+v", m)
			}
		}
		if f := r.Failures; len(f) != 2 || f[0].Code != "NotFound" || f[0].Cause != "there is no <b>such</b> thing" || f[0].Method != "/test.Service/Fail" {
			t.Errorf("B160: failures %+v", f)
		}
		text := get(page, "/debug").Body.String()
		for _, want := range []string{"/test.Service/Wait", "1 m 30 s", "in 58 m 30 s", "there is no &lt;b&gt;such&lt;/b&gt; thing", "house", "guest", "extended"} {
			if !strings.Contains(text, want) {
				t.Errorf("B160: the page lacks %q:\n%s", want, text)
			}
		}

		cancel()
		<-waits
		h.close()
		synctest.Wait()
		r = look(t, page)
		if r.Running != 0 || r.Ended != 2 || r.Outcomes["OK"] != 6 || len(r.Ends) != 2 || len(r.Conns) != 1 || r.Conns[0].State != "closed" {
			t.Errorf("B160: after the end: %+v", r)
		}
		for _, e := range r.Ends {
			if e.Refused || e.Cause == "" {
				t.Errorf("B160: ended %+v", e)
			}
		}
		if r.Outcomes["Canceled"] < 2 {
			t.Errorf("B160: cancelled calls of connections that have ended: %v", r.Outcomes)
		}
	})
}

// TestClientGone holds that a served call whose client has gone was cancelled, as in spans and
// metrics.
func TestClientGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := New()
		h := newHouse(t, page)
		go h.call(t.Context(), "Wait")
		synctest.Wait()
		h.client.Close()
		synctest.Wait()
		for _, f := range look(t, page).Failures {
			if f.Served && f.Code != "Canceled" {
				t.Errorf("B160: a call whose client has gone is %+v", f)
			}
		}
		if n := look(t, page).Outcomes["Canceled"]; n != 2 { // at either end
			t.Errorf("B160: %d calls were cancelled, not 2", n)
		}
		h.close()
	})
}

// TestRemove holds that what is removed is not shown, and what was counted of it stays.
func TestRemove(t *testing.T) {
	page := New()
	h := newHouse(t, page)
	defer h.close()
	other := New()
	removeServer, removeClient := other.AddServer("one", h.server), other.AddClient("two", h.client)
	if err := h.call(t.Context(), "Greet"); err != nil {
		t.Fatal(err)
	}
	if r := look(t, other); len(r.Conns) != 2 || r.Conns[0].Source != "one" || r.Conns[1].Source != "two" || r.Opened != 0 {
		t.Errorf("B160: %+v", r.Conns)
	}
	removeServer()
	removeClient()
	removeClient()
	if r := look(t, other); len(r.Conns) != 0 {
		t.Errorf("B160: %+v", r.Conns)
	}
}

// TestRefused holds that connections that were refused are counted, with the reason.
func TestRefused(t *testing.T) {
	page := New()
	s, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(ttrpc.RequireRoot()), ttrpc.WithServerTrace(page.Trace()), ttrpc.WithServerLogger(silent{}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	near, far := memconn.Pipe(0)
	defer near.Close()
	s.ServeConn(t.Context(), far)
	r := look(t, page)
	if len(r.Ends) != 1 || r.Refused != 1 || r.Opened != 0 || !r.Ends[0].Refused || !r.Ends[0].Server || !strings.Contains(r.Ends[0].Cause, "only unix sockets") {
		t.Errorf("B160: %+v", r)
	}
}

// A silent logger is for connections that are refused on purpose.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}

// TestBounds has peers and programs make up methods, errors and connections without end.
func TestBounds(t *testing.T) {
	l := newLedger()
	long := strings.Repeat("x", 1<<20)
	for i := range 3 * mostMethods {
		name := fmt.Sprintf("/%d/%s", i, long[:i%(2*mostText)])
		l.callBegins(ttrpc.CallInfo{FullMethod: name, Served: true})(status.Error(codes.Code(i), long))
		l.callBegins(ttrpc.CallInfo{FullMethod: name})(nil)
		l.connBegins(ttrpc.ConnInfo{ID: uint64(i)})(errors.New(long))
	}
	if n := len(l.methods); n > mostMethods+2 {
		t.Errorf("B161: %d methods are counted apart", n)
	}
	if unknown := l.methods[methodKey{unknownMethods, true}]; unknown == nil || unknown.codes[lastCode] != 3*mostMethods-uint64(lastCode) {
		t.Errorf("B161: methods that peers have made up: %+v", unknown)
	}
	if others := l.methods[methodKey{otherMethods, false}]; others == nil || others.codes[codes.OK] == 0 {
		t.Errorf("B161: further methods: %+v", others)
	}
	if len(l.begun) != 0 || l.opened != 3*mostMethods || l.ended != l.opened {
		t.Errorf("B161: %d connections are open of %d", len(l.begun), l.opened)
	}
	var r report
	l.report(&r)
	if len(r.Failures) != mostEvents || len(r.Ends) != mostEvents || r.Ends[0].Conn != 3*mostMethods-1 || r.Ends[mostEvents-1].Conn != 3*mostMethods-mostEvents {
		t.Errorf("B161: %d failures and %d ends, the newest %d", len(r.Failures), len(r.Ends), r.Ends[0].Conn)
	}
	for _, f := range r.Failures {
		if len(f.Cause)+len(f.Method) > 3*mostText {
			t.Errorf("B161: a failure has a cause of %d bytes, of a method of %d", len(f.Cause), len(f.Method))
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		"/a.B/C":                       "/a.B/C",
		"größer":                       "größer",
		"<script>":                     "<script>", // what shows it escapes it
		"a\nb\x00\x1b[31m":             `a\nb\x00\x1b[31m`,
		"right\u202eto left":           `right\u202eto left`,
		"\xff\xfe":                     `\xff\xfe`,
		"zero\u200bwidth":              `zero\u200bwidth`,
		strings.Repeat("ä", 300):       strings.Repeat("ä", 250) + "…",
		"x" + strings.Repeat("ä", 300): "x" + strings.Repeat("ä", 249) + "…",
	} {
		if got := clean(in); got != want {
			t.Errorf("B161: %q: %q, want %q", in, got, want)
		}
	}
}

// TestRecording holds that frames are recorded only while it is asked for, and then end by time.
func TestRecording(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := New()
		h := newHouse(t, page)
		defer h.close()
		greet := func() {
			t.Helper()
			if err := h.call(t.Context(), "Greet"); err != nil {
				t.Fatal(err)
			}
		}
		greet()
		if r := look(t, page); r.Recording != nil || page.recorder.running.Load() != nil {
			t.Errorf("B160: recorded unasked: %+v", r.Recording)
		}
		if w := post(page, url.Values{"action": {"record"}, "seconds": {"5"}}); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "?" {
			t.Errorf("B160: %d, %v", w.Code, w.Header())
		}
		greet()
		synctest.Wait()
		rec := look(t, page).Recording
		if rec == nil || !rec.Running || rec.Full || len(rec.Frames) != 4 {
			t.Fatalf("B160: recorded %+v", rec)
		}
		if f := rec.Frames[0]; !f.Sent || f.Server || f.Type != "request" || f.Method != "/test.Service/Greet" || f.Length == 0 || f.Data[:4] != "0a0c" {
			t.Errorf("B160: the first frame is %+v", f)
		}
		if text := get(page, "/").Body.String(); !strings.Contains(text, "0a 0c 74 65 73 74 2e 53 65 72 76 69 63 65 12 05  ..test.Service..") {
			t.Errorf("B160: no dump on the page: %s", text)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if page.recorder.running.Load() != nil {
			t.Error("B161: a recording goes on after its time")
		}
		greet()
		synctest.Wait()
		if rec = look(t, page).Recording; rec.Running || rec.Full || len(rec.Frames) != 4 {
			t.Errorf("B161: after its time the recording is %+v", rec)
		}
		conn := look(t, page).Conns[0].ID
		post(page, url.Values{"action": {"record"}, "conn": {fmt.Sprint(conn)}})
		greet()
		synctest.Wait()
		if rec = look(t, page).Recording; len(rec.Frames) != 2 || rec.Frames[0].Conn != conn || rec.Conn != conn {
			t.Errorf("B160: of connection %d is recorded %+v", conn, rec)
		}
		post(page, url.Values{"action": {"stop"}})
		greet()
		synctest.Wait()
		if rec = look(t, page).Recording; rec.Running || len(rec.Frames) != 2 {
			t.Errorf("B160: recorded after the stop: %+v", rec)
		}
		post(page, url.Values{"action": {"forget"}})
		if rec = look(t, page).Recording; rec != nil {
			t.Errorf("B160: not forgotten: %+v", rec)
		}
	})
}

// TestRecordingEnds holds that a recording is bounded in memory.
func TestRecordingEnds(t *testing.T) {
	var rs recorder
	rs.record(time.Hour, 0)
	defer rs.forget()
	late := rs.last // what has looked at it before it ended
	data := make([]byte, 1<<20)
	for i := range 2 * mostFrames {
		rs.frame(ttrpc.FrameInfo{StreamID: uint32(i), Type: uint8(wire.TypeData), Length: len(data), Data: data})
	}
	r := rs.report()
	if r.Running || !r.Full || len(r.Frames) != mostFrames || r.Frames[mostFrames-1].Stream != mostFrames-1 || rs.running.Load() != nil {
		t.Errorf("B161: %d frames, running %v, full %v", len(r.Frames), r.Running, r.Full)
	}
	if late.add(ttrpc.FrameInfo{}) || len(late.frames) != mostFrames {
		t.Errorf("B161: a full recording has taken a frame more")
	}
	if f := r.Frames[0]; len(f.Data) != 2*mostData || f.Length != 1<<20 {
		t.Errorf("B161: of a frame of 1 MiB %d digits are kept", len(f.Data))
	}
}

// TestWithoutFrames holds that a page without frames has no way to them.
func TestWithoutFrames(t *testing.T) {
	page := New(WithoutFrames())
	if page.Trace().Frame != nil {
		t.Error("B160: the trace is told of frames")
	}
	if w := post(page, url.Values{"action": {"record"}}); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "WithoutFrames") {
		t.Errorf("B160: %d, %s", w.Code, w.Body)
	}
	if text := get(page, "/").Body.String(); strings.Contains(text, "<form") {
		t.Errorf("B160: the page has a form")
	}
}

// TestRequests holds what becomes of requests of all kinds.
func TestRequests(t *testing.T) {
	page := New()
	for query, want := range map[string]string{
		"format=xml":  `format: "xml" is not html or json`,
		"refresh=-1":  `refresh: "-1" is not a number from 0 to 3600`,
		"refresh=now": `refresh: "now" is not a number from 0 to 3600`,
	} {
		if w := get(page, "/?"+query); w.Code != http.StatusBadRequest || strings.TrimSpace(w.Body.String()) != want {
			t.Errorf("B160: %s: %d, %s", query, w.Code, w.Body)
		}
	}
	for form, want := range map[string]string{
		"":                                    `action: "" is not record, stop or forget`,
		"action=jump":                         `action: "jump" is not record, stop or forget`,
		"action=record&seconds=61":            `seconds: "61" is not a number from 1 to 60`,
		"action=record&seconds=0":             `seconds: "0" is not a number from 1 to 60`,
		"action=record&conn=all":              `conn: "all" is not the id of a connection, or 0 for all`,
		"action=" + strings.Repeat("x", 5000): `http: request body too large`,
	} {
		values, _ := url.ParseQuery(form)
		if w := post(page, values); w.Code != http.StatusBadRequest || strings.TrimSpace(w.Body.String()) != want {
			t.Errorf("B160: %.40s: %d, %s", form, w.Code, w.Body)
		}
	}
	if page.recorder.report() != nil {
		t.Error("B160: a request that is refused has begun a recording")
	}
	if w := post(page, url.Values{"action": {"record"}}, "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden || page.recorder.report() != nil {
		t.Errorf("B161: another site's form: %d", w.Code)
	}
	w := httptest.NewRecorder()
	page.ServeHTTP(w, httptest.NewRequest("DELETE", "/", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("B160: DELETE: %d, %v", w.Code, w.Header())
	}
	for accept, want := range map[string]string{
		"":                                   "text/html; charset=utf-8",
		"*/*":                                "text/html; charset=utf-8",
		"text/html,application/json;q=0.9":   "text/html; charset=utf-8",
		"application/json":                   "application/json",
		"image/png, application/json; q=0.5": "application/json",
	} {
		r := httptest.NewRequest("GET", "/any/where", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		page.ServeHTTP(w, r)
		if got := w.Header().Get("Content-Type"); got != want {
			t.Errorf("B160: Accept %q: %s, want %s", accept, got, want)
		}
		if h := w.Header(); h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'; style-src 'sha256-") {
			t.Errorf("B161: the headers are %v", h)
		}
	}
}

// TestPeerText holds what is shown of peers: nothing that is large or may be changing.
func TestPeerText(t *testing.T) {
	type ids struct{ UID, GID uint32 }
	for _, c := range []struct {
		peer *ttrpc.Peer
		want string
	}{
		{nil, ""},
		{&ttrpc.Peer{}, ""},
		{&ttrpc.Peer{Addr: ttrpc.VsockAddr{CID: 3, Port: 4}}, "3:4"},
		{&ttrpc.Peer{Addr: ttrpc.VsockAddr{CID: 3, Port: 4}, AuthInfo: &ttrpc.PeerCredentials{UID: 5, GID: 6, PID: 7}}, "3:4 (uid 5, gid 6, pid 7)"},
		{&ttrpc.Peer{AuthInfo: &ids{1, 2}}, " ({UID:1 GID:2})"},
		{&ttrpc.Peer{AuthInfo: "somebody"}, " (somebody)"},
		{&ttrpc.Peer{AuthInfo: map[string]int{}}, " (map[string]int)"},
		{&ttrpc.Peer{AuthInfo: &struct{ secret []byte }{}}, " (*struct { secret []uint8 })"},
		{&ttrpc.Peer{AuthInfo: (*ids)(nil)}, " (*debugpage.ids)"},
	} {
		if got := peerText(c.peer); got != c.want {
			t.Errorf("B160: %+v: %q, want %q", c.peer, got, c.want)
		}
	}
}

func TestTexts(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 µs", 999 * time.Microsecond: "999 µs", 1500 * time.Microsecond: "1 ms", 59*time.Second + 990*time.Millisecond: "59.9 s",
		time.Minute: "1 m 0 s", 61 * time.Minute: "1 h 1 m", 49 * time.Hour: "2 d 1 h", -time.Second: "-1.0 s",
	} {
		if got := durationText(d); got != want {
			t.Errorf("B160: %d: %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 4 << 20: "4.0 MiB", 1 << 30: "1.0 GiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("B160: %d: %q, want %q", n, got, want)
		}
	}
	late := duration(-2 * time.Second)
	if got, want := string(leftText(&late)), `<span class="bad">passed 2.0 s ago</span>`; got != want {
		t.Errorf("B160: %q, want %q", got, want)
	}
	if got, want := countsText(ttrpc.CallCounts{OK: 1, Failed: 2, Canceled: 3, Deadline: 4, Refused: 5}), "1 ok, 2 failed, 3 cancelled, 4 late, 5 refused"; got != want {
		t.Errorf("B160: %q, want %q", got, want)
	}
}

// TestManyRows holds that the HTML stays readable and the JSON has all.
func TestManyRows(t *testing.T) {
	page := New()
	var conns []ttrpc.ConnSnapshot
	for i := range 2 * mostRows {
		conns = append(conns, ttrpc.ConnSnapshot{ID: uint64(i + 1), State: "idle"})
	}
	conns[0].Streams = make([]ttrpc.StreamSnapshot, 3*mostRows)
	page.add(source{"many", func() []ttrpc.ConnSnapshot { return conns }})
	r := look(t, page)
	if len(r.Conns) != 2*mostRows || len(r.Conns[0].Streams) != 3*mostRows || len(r.Longest) != mostLongest || r.Running != 3*mostRows {
		t.Errorf("B160: %d connections, %d streams, %d longest of %d", len(r.Conns), len(r.Conns[0].Streams), len(r.Longest), r.Running)
	}
	text := get(page, "/").Body.String()
	if n := strings.Count(text, "<details"); n != mostRows || !strings.Contains(text, "200 more are in the JSON") || !strings.Contains(text, "400 more are in the JSON") || !strings.Contains(text, "and 580 more") {
		t.Errorf("B160: %d connections are on the page", n)
	}
	if len(text) > 1<<20 {
		t.Errorf("B161: the page has %d bytes", len(text))
	}
}

// TestConcurrently has it all at once, for the race detector.
func TestConcurrently(t *testing.T) {
	page := New()
	h := newHouse(t, page)
	defer h.close()
	done := make(chan error, 8)
	for range 4 {
		go func() {
			var err error
			for range 50 {
				err = errors.Join(err, h.call(t.Context(), "Greet"))
			}
			done <- err
		}()
		go func() {
			for i := range 20 {
				post(page, url.Values{"action": {[]string{"record", "stop", "forget"}[i%3]}})
				get(page, "/")
				get(page, "/?format=json")
				page.AddClient("again", h.client)()
			}
			done <- nil
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	testkit.Within(t, "B160", func() { // a call's end is told a moment after its answer has left
		for look(t, page).Outcomes["OK"] < 400 {
			runtime.Gosched()
		}
	})
	h.close()
	if r := look(t, page); r.Outcomes["OK"] != 400 || len(r.Outcomes) != 1 {
		t.Errorf("B160: %v", r.Outcomes)
	}
}

// TestHandshakerKnown holds that who the peer is stands in the page.
func TestHandshakerKnown(t *testing.T) {
	page := New()
	h := newHouse(t, page, ttrpc.WithServerHandshaker(authed{"a <known> peer"}))
	defer h.close()
	if err := h.call(t.Context(), "Fail"); err == nil {
		t.Fatal("no error")
	}
	r := look(t, page)
	if !slices.ContainsFunc(r.Conns, func(c jsonConn) bool { return strings.HasSuffix(c.Peer, "(a <known> peer)") }) {
		t.Errorf("B160: %+v", r.Conns)
	}
	if text := get(page, "/").Body.String(); !strings.Contains(text, "a &lt;known&gt; peer") {
		t.Error("B161: the peer is not on the page, or not escaped")
	}
}
