// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package debugpage

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/browser"
)

var pictures = flag.String("pictures", "", "the directory to which pictures of the page are written")

// hostile are names and texts that a page must show and nothing else.
var hostile = []string{
	`<script>document.title='taken'</script>`,
	`"><img src=x onerror="document.title='taken'">`,
	`</style><script>document.title='taken'</script>`,
	`javascript:document.title='taken'`,
	`{{.PID}}`,
}

// TestBrowser has a browser show the page, with hostile peers, press its buttons, and do so
// without scripts.
func TestBrowser(t *testing.T) {
	b := browser.Start(t)
	page := New()
	h := newHouse(t, page, ttrpc.WithServerHandshaker(authed{hostile[1]}))
	defer h.close()
	site := httptest.NewServer(page)
	defer site.Close()
	for _, name := range hostile {
		h.client.Call(t.Context(), name, name, wrapperspb.String(name), new(wrapperspb.StringValue))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hangs := make(chan error, 1)
	go func() { hangs <- h.call(ctx, "Wait") }()
	for look(t, page).Running < 2 {
		time.Sleep(time.Millisecond)
	}

	title := ""
	for _, scripts := range []bool{true, false} {
		if !scripts {
			b.NoScripts()
		}
		b.Open(site.URL + "/debug/ttrpc?refresh=3600")
		text := b.Text()
		for _, want := range append(hostile, "/test.Service/Wait", "Unimplemented", "Every 5 s") {
			if shown := strings.Contains(text, want); shown != (want != "Every 5 s") {
				t.Errorf("B161: the page shows %q: %v\n%s", want, shown, text)
			}
		}
		if b.Eval("document.title", &title); title != "debugpage.test: ttrpc" {
			t.Errorf("B161: the title is %q", title)
		}
		var found int
		if b.Eval("document.querySelectorAll('script, img, link, iframe').length", &found); found != 0 {
			t.Errorf("B161: the page has %d elements that load or run something", found)
		}
		var family string // only if the style was applied
		if b.Eval("getComputedStyle(document.querySelector('.m')).fontFamily", &family); !strings.Contains(family, "monospace") {
			t.Errorf("B161: the page has no style: %q", family)
		}
		b.Click("nav a") // Refresh
		if text = b.Text(); !strings.Contains(text, "Every 5 s") {
			t.Errorf("B160: the page after Refresh:\n%s", text)
		}
		b.Click("form button") // Record
		for _, name := range hostile {
			h.client.Call(t.Context(), name, name, wrapperspb.String(name), new(wrapperspb.StringValue))
		}
		b.Click("nav a")
		if text = b.Text(); !strings.Contains(text, "frames since") || !strings.Contains(text, "records until") || !strings.Contains(text, "/"+hostile[0]) {
			t.Errorf("B160: the page while it records:\n%s", text)
		}
		b.Click("form:nth-of-type(2) button") // Stop
		if text = b.Text(); !strings.Contains(text, "; ended") {
			t.Errorf("B160: the page after Stop:\n%s", text)
		}
		b.Click("form:nth-of-type(2) button") // Forget
		if text = b.Text(); strings.Contains(text, "frames since") {
			t.Errorf("B160: the page after Forget:\n%s", text)
		}
	}
	for _, told := range b.Told() {
		if !strings.Contains(told, "favicon.ico") { // which the page does not have
			t.Errorf("B161: the browser complains: %s", told)
		}
	}
	cancel()
	<-hangs
}

// TestPictures takes those of the documentation, if it is asked to.
func TestPictures(t *testing.T) {
	if *pictures == "" {
		t.Skip("without -pictures")
	}
	b := browser.Start(t)
	site := httptest.NewServer(scene(t))
	defer site.Close()
	shoot := func(name string, width, height int, dark bool, section string) {
		t.Helper()
		b.Dark(dark)
		b.Size(width, height)
		b.Open(site.URL)
		b.Eval(fmt.Sprintf("window.scrollTo(0, document.querySelector(%q).offsetTop - 16)", section), nil)
		if err := os.WriteFile(filepath.Join(*pictures, name), small(t, b.Picture()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	shoot("debug-page.png", 1220, 960, false, "header")
	shoot("debug-page-dark.png", 1220, 560, true, "section:nth-of-type(3)")
	shoot("debug-page-frames.png", 1220, 480, false, "section:nth-of-type(6)")
}

// small returns a picture with the 256 colours that it has most of, or what is nearest.
func small(t *testing.T, data []byte) []byte {
	full, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	scores := make(map[color.Color]int)
	box := full.Bounds()
	for y := range box.Dy() {
		for x := range box.Dx() {
			c := color.NRGBAModel.Convert(full.At(x, y)).(color.NRGBA)
			scores[c] += 1 + int(max(c.R, c.G, c.B)-min(c.R, c.G, c.B)) // so that colours are not lost among greys
		}
	}
	most := slices.SortedFunc(maps.Keys(scores), func(a, b color.Color) int { return scores[b] - scores[a] })
	few := image.NewPaletted(box, most[:min(len(most), 256)])
	draw.Draw(few, box, full, image.Point{}, draw.Src)
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, few); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
