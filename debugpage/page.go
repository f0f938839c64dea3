// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package debugpage shows what the ttrpc connections of a program are doing: a page for a
// browser and JSON for programs. It shows connections and their streams, the calls that have run
// longest, credit and queues, how calls have ended since the start and why the last have failed,
// and records frames when it is asked to.
//
//	page := debugpage.New()
//	server, err := ttrpc.NewServer(ttrpc.WithServerTrace(page.Trace()))
//	page.AddServer("tasks", server)
//	mux.Handle("/debug/ttrpc", page)
//
// Whoever may open the page sees who calls what, and, in recorded frames, what is said. Serve it
// on a unix socket that only the program's own user may open, or behind authentication.
package debugpage

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
)

// A Page is an [http.Handler], to be put at any path. GET shows the page, or with ?format=json or
// an Accept header of application/json the same as JSON; with ?refresh=SECONDS a browser shows it
// anew every so often. POST begins and ends recordings of frames. All of its methods may be
// called concurrently.
type Page struct {
	start    time.Time
	noFrames bool
	mux      http.Handler
	ledger   *ledger
	recorder recorder

	mu      sync.Mutex
	sources map[int]source
	last    int // the key of the source that was added last
}

// A source is a server or client whose connections are shown.
type source struct {
	name  string
	conns func() []ttrpc.ConnSnapshot
}

// An Option changes what a [Page] can do.
type Option func(*Page)

// WithoutFrames has the page never record frames, so that it never shows what is said, and
// [Page.Trace] does nothing for each frame.
func WithoutFrames() Option { return func(p *Page) { p.noFrames = true } }

// New returns a page that shows nothing yet. What it counts it counts from now on.
func New(opts ...Option) *Page {
	now := time.Now()
	p := &Page{start: now, ledger: newLedger(), sources: make(map[int]source)}
	for _, opt := range opts {
		opt(p)
	}
	p.mux = http.NewCrossOriginProtection().Handler(http.HandlerFunc(p.serve))
	return p
}

// Trace returns what counts calls and connections, and records frames, of the servers and
// clients that it is given to by [ttrpc.WithServerTrace] or [ttrpc.WithClientTrace]: the same
// one for all. Without it the page shows the present alone.
func (p *Page) Trace() *ttrpc.Trace {
	t := &ttrpc.Trace{Conn: p.ledger.connBegins, Refused: p.ledger.connRefused, Call: p.ledger.callBegins}
	if !p.noFrames {
		t.Frame = p.recorder.frame
	}
	return t
}

// AddServer shows the connections of a server, under a name, until remove is called.
func (p *Page) AddServer(name string, s *ttrpc.Server) (remove func()) {
	return p.add(source{name, s.Snapshot})
}

// AddClient shows the connection of a client, under a name, until remove is called. A client that
// is closed is to be removed.
func (p *Page) AddClient(name string, c *ttrpc.Client) (remove func()) {
	return p.add(source{name, func() []ttrpc.ConnSnapshot { return []ttrpc.ConnSnapshot{c.Snapshot()} }})
}

func (p *Page) add(s source) (remove func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	key := p.last
	p.sources[key] = s
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.sources, key)
	}
}

// sorted returns what is shown, in the order in which it was added.
func (p *Page) sorted() []source {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []source
	for _, key := range slices.Sorted(maps.Keys(p.sources)) {
		all = append(all, p.sources[key])
	}
	return all
}

// security are the headers of all answers. Nothing is loaded or run, whatever a peer sends.
var security = map[string]string{
	"Cache-Control":           "no-store",
	"Content-Security-Policy": "default-src 'none'; style-src '" + styleHash + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	"Referrer-Policy":         "no-referrer",
	"X-Content-Type-Options":  "nosniff",
}

// ServeHTTP implements [http.Handler].
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range security {
		w.Header().Set(name, value)
	}
	p.mux.ServeHTTP(w, r)
}

func (p *Page) serve(w http.ResponseWriter, r *http.Request) {
	var err error
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		err = p.show(w, r)
	case http.MethodPost:
		r.Body = http.MaxBytesReader(w, r.Body, 4096)
		if err = p.order(r); err == nil {
			w.Header().Set("Location", "?") // the page itself, wherever it is mounted
			w.WriteHeader(http.StatusSeeOther)
		}
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "GET shows the page, POST begins or ends a recording; "+strconv.Quote(r.Method)+" is neither", http.StatusMethodNotAllowed)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

// show writes the page as HTML or JSON.
func (p *Page) show(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	format := cmp.Or(query.Get("format"), accepted(r.Header.Get("Accept")))
	refresh, err := number(query.Get("refresh"), 0, 3600, 0)
	if err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	switch format {
	case "json":
		w.Header().Set("Content-Type", "application/json")
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.Encode(p.report()) // an error is that of the connection
	case "html":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		page.Execute(w, view{p.report(), refresh, !p.noFrames})
	default:
		return fmt.Errorf("format: %q is not html or json", format)
	}
	return nil
}

// accepted returns the format that an Accept header asks for first.
func accepted(accept string) string {
	for _, want := range strings.Split(accept, ",") {
		switch kind, _, _ := mime.ParseMediaType(want); kind {
		case "application/json":
			return "json"
		case "text/html":
			return "html"
		}
	}
	return "html"
}

// order does what a form asks for.
func (p *Page) order(r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return err
	}
	if p.noFrames {
		return fmt.Errorf("the page was made WithoutFrames, and records none")
	}
	switch action := r.PostForm.Get("action"); action {
	case "record":
		seconds, err := number(r.PostForm.Get("seconds"), 1, mostSeconds, 10)
		if err != nil {
			return fmt.Errorf("seconds: %w", err)
		}
		conn, err := strconv.ParseUint(cmp.Or(r.PostForm.Get("conn"), "0"), 10, 64)
		if err != nil {
			return fmt.Errorf("conn: %q is not the id of a connection, or 0 for all", r.PostForm.Get("conn"))
		}
		p.recorder.record(time.Duration(seconds)*time.Second, conn)
	case "stop":
		p.recorder.stop()
	case "forget":
		p.recorder.forget()
	default:
		return fmt.Errorf("action: %q is not record, stop or forget", action)
	}
	return nil
}

// number reads a whole number within bounds, or returns absent if there is none.
func number(s string, least, most, absent int) (int, error) {
	if s == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%q is not a number from %d to %d", s, least, most)
	}
	return n, nil
}

// program is what the process is called.
func program() string {
	if len(os.Args) == 0 {
		return ""
	}
	return clean(os.Args[0][strings.LastIndexByte(os.Args[0], '/')+1:])
}
