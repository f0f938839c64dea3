// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/containerd/ttrpc/internal/browser"
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
	b := browser.Start(t)
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
	b.Open(h.Page + "drive")
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
