// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package browser lets tests drive a headless Chromium, by the DevTools protocol over a pair of
// pipes.
package browser

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// A Browser is one that runs until its test ends. It has one page.
type Browser struct {
	t       *testing.T
	to      *os.File
	session string
	log     bytes.Buffer

	mu     sync.Mutex
	last   int
	awaits map[int]chan answer
	events map[string]chan json.RawMessage // by method
	told   []string
}

type answer struct {
	Result json.RawMessage
	Error  *struct{ Message string }
}

// patience bounds the wait for anything that the browser does.
const patience = 60 * time.Second

// Start starts a browser. The test is skipped where there is none.
func Start(t *testing.T) *Browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	dir, err := os.MkdirTemp("", "chromium") // t.TempDir's must be empty when the test ends
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cmd := exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-extensions", "--disable-background-networking", "--hide-scrollbars",
		"--force-color-profile=srgb", "--enable-logging=stderr", "--user-data-dir="+dir, "--remote-debugging-pipe", "about:blank")
	b := &Browser{t: t, awaits: make(map[int]chan answer), events: make(map[string]chan json.RawMessage)}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &b.log, &b.log, time.Second
	commands, to := pipe(t)
	from, answers := pipe(t)
	b.to = to
	cmd.ExtraFiles = []*os.File{commands, answers} // descriptors 3 and 4
	err = cmd.Start()
	commands.Close()
	answers.Close()
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() { defer close(read); b.read(from) }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		to.Close()
		from.Close()
		<-read
		if t.Failed() {
			t.Logf("the browser says:\n%s", &b.log)
		}
	})
	b.attach()
	return b
}

func pipe(t *testing.T) (r, w *os.File) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

// attach finds the page.
func (b *Browser) attach() {
	b.t.Helper()
	var targets struct {
		TargetInfos []struct{ TargetID, Type string }
	}
	for deadline := time.Now().Add(patience); len(targets.TargetInfos) == 0; {
		b.call("Target.getTargets", map[string]any{"filter": []any{map[string]any{"type": "page"}}}, &targets)
		if time.Now().After(deadline) {
			b.t.Fatal("the browser has no page")
		}
	}
	var session struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": targets.TargetInfos[0].TargetID, "flatten": true}, &session)
	b.session = session.SessionID
	b.call("Page.enable", nil, nil)
	b.call("Runtime.enable", nil, nil)
	b.call("Log.enable", nil, nil)
}

// read hands answers and events to who waits for them.
func (b *Browser) read(from *os.File) {
	for r := bufio.NewReader(from); ; {
		text, err := r.ReadBytes(0)
		if err != nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			for id, c := range b.awaits {
				delete(b.awaits, id)
				close(c)
			}
			return
		}
		var m struct {
			ID     int
			Method string
			Params json.RawMessage
			answer
		}
		if err := json.Unmarshal(text[:len(text)-1], &m); err != nil {
			continue
		}
		b.mu.Lock()
		switch {
		case m.ID != 0:
			if c := b.awaits[m.ID]; c != nil {
				c <- m.answer
				delete(b.awaits, m.ID)
			}
		case m.Method == "Log.entryAdded" || m.Method == "Runtime.exceptionThrown" || m.Method == "Runtime.consoleAPICalled":
			b.told = append(b.told, string(m.Params))
		case b.events[m.Method] != nil:
			select {
			case b.events[m.Method] <- m.Params:
			default:
			}
		}
		b.mu.Unlock()
	}
}

// call has the browser do something, and waits for its answer.
func (b *Browser) call(method string, params, result any) {
	b.t.Helper()
	c := make(chan answer, 1)
	b.mu.Lock()
	b.last++
	m := map[string]any{"id": b.last, "method": method}
	b.awaits[b.last] = c
	b.mu.Unlock()
	if params != nil {
		m["params"] = params
	}
	if b.session != "" {
		m["sessionId"] = b.session
	}
	text, err := json.Marshal(m)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	select {
	case a, ok := <-c:
		if !ok || a.Error != nil {
			b.t.Fatalf("%s: the browser has ended, or refuses: %+v", method, a.Error)
		}
		if result != nil {
			if err := json.Unmarshal(a.Result, result); err != nil {
				b.t.Fatal(err)
			}
		}
	case <-time.After(patience):
		b.t.Fatalf("%s: no answer", method)
	}
}

// loading does what loads a page, and waits until that is there.
func (b *Browser) loading(f func()) {
	b.t.Helper()
	loaded := make(chan json.RawMessage, 1)
	b.mu.Lock()
	b.events["Page.loadEventFired"] = loaded
	b.mu.Unlock()
	f()
	select {
	case <-loaded:
	case <-time.After(patience):
		b.t.Fatal("the page does not load")
	}
}

// Open opens an address and waits until the page has been loaded.
func (b *Browser) Open(url string) {
	b.t.Helper()
	b.loading(func() {
		var result struct{ ErrorText string }
		if b.call("Page.navigate", map[string]any{"url": url}, &result); result.ErrorText != "" {
			b.t.Fatalf("opening %s: %s", url, result.ErrorText)
		}
	})
}

// Click clicks on the first element that a selector finds, as a mouse does, and waits until the page has
// been loaded to which that leads.
func (b *Browser) Click(selector string) {
	b.t.Helper()
	b.Eval(fmt.Sprintf("document.querySelector(%q).scrollIntoView({block: 'center', behavior: 'instant'})", selector), nil)
	var at struct{ X, Y float64 }
	b.Eval(fmt.Sprintf("(() => { const r = document.querySelector(%q).getBoundingClientRect(); return {x: r.x + r.width / 2, y: r.y + r.height / 2} })()", selector), &at)
	b.loading(func() {
		for _, kind := range []string{"mousePressed", "mouseReleased"} {
			b.call("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1}, nil)
		}
	})
}

// Eval evaluates an expression in the page, also where the page's own scripts may not run.
func (b *Browser) Eval(expression string, result any) {
	b.t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, r.ExceptionDetails)
	}
	if result != nil {
		if err := json.Unmarshal(r.Result.Value, result); err != nil {
			b.t.Fatal(err)
		}
	}
}

// Text returns what the page shows.
func (b *Browser) Text() (text string) {
	b.t.Helper()
	b.Eval("document.body.innerText", &text)
	return text
}

// Dark has the browser prefer dark colours, or light ones.
func (b *Browser) Dark(dark bool) {
	b.t.Helper()
	value := "light"
	if dark {
		value = "dark"
	}
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": value}}}, nil)
}

// Size sets the size of the window in pixels.
func (b *Browser) Size(width, height int) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil)
}

// NoScripts keeps pages from running scripts.
func (b *Browser) NoScripts() {
	b.t.Helper()
	b.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
}

// Picture returns what the window shows as PNG.
func (b *Browser) Picture() []byte {
	b.t.Helper()
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png", "optimizeForSpeed": false}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	return png
}

// Told returns what the browser has logged of pages: errors, exceptions, and what scripts have
// written.
func (b *Browser) Told() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.told
}
