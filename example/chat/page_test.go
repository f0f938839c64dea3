// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/containerd/ttrpc/internal/testkit"
)

// driver is a page that uses the real one, in a frame, as somebody would: it joins, says what
// the list shows of what others have said, and joins again under a name that is taken.
const driver = `<!doctype html>
<iframe id="frame" src="/"></iframe>
<script type="module">
const frame = document.getElementById("frame");
const page = () => frame.contentDocument;
const loaded = () => new Promise((resolve) => (frame.onload = resolve));
const shown = async (text) => {
	for (;;) {
		for (const item of page().querySelectorAll("li")) if (item.textContent.startsWith(text)) return item.textContent;
		await new Promise((resolve) => setTimeout(resolve, 10));
	}
};
const fill = (form, field, text) => {
	page().forms[form].elements[field].value = text;
	page().forms[form].requestSubmit();
};
if (page().readyState !== "complete" || !page().forms.join) await loaded();
fill("join", "name", "page");
await shown("page has come");
fill("speak", "text", "I see: " + (await shown("host")));
fill("speak", "text", "long: " + "x".repeat(1500));
await shown("host" + "good bye");
const left = loaded();
frame.src = "/?again";
await left;
fill("join", "name", "host");
const refusal = await shown("somebody");
fill("join", "name", "second");
await shown("second has come");
fill("speak", "text", "refused: " + refusal);
</script>`

// TestPage has a browser show the page.
func TestPage(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	h := newHouse(t)
	h.mux.HandleFunc("/drive", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte(driver))
	})
	host, err := newMember(t.Context(), h.Unix, "host")
	if err != nil {
		t.Fatal(err)
	}
	defer host.session.Close()
	dir, err := os.MkdirTemp("", "chromium") // t.TempDir's must be empty when the test ends
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command(browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-extensions", "--disable-background-networking", "--enable-logging=stderr",
		"--user-data-dir="+dir, "--remote-debugging-port=0", h.Page+"drive")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("the browser says:\n%s", &log)
		}
	}()
	testkit.Within(t, "L13", func() {
		host.await(t, "* page has come")
		if err := host.say.Send(t.Context(), "hello, <page>"); err != nil {
			t.Error(err)
		}
		host.await(t, "page: I see: hosthello, <page>")
		host.await(t, "page: long: "+string(bytes.Repeat([]byte("x"), 1500)))
		if err := host.say.Send(t.Context(), "good bye"); err != nil {
			t.Error(err)
		}
		host.await(t, "* page has left")
		host.await(t, "second: refused: somebody is called host already")
	})
}
