// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package debugpage

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
)

// mostRows is how many connections, and streams of each, and methods the HTML has. The JSON has
// all.
const mostRows = 200

var (
	//go:embed page.css
	css string

	//go:embed page.html
	html string
)

// styleHash is the one style that browsers may apply.
var styleHash = func() string {
	sum := sha256.Sum256([]byte(css))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}()

// A view is what the page is made of.
type view struct {
	*report
	Refresh int  // seconds, 0 for never
	Frames  bool // it can record them
}

// Up is how long the page has been there.
func (v view) Up() duration { return duration(v.Now.Sub(v.Start)) }

// Failed is how many calls have not ended with OK.
func (v view) Failed() (n uint64) {
	for code, count := range v.Outcomes {
		if code != "OK" {
			n += count
		}
	}
	return n
}

// MoreRunning is how many calls run beside those that are shown at the top.
func (v view) MoreRunning() int { return v.Running - len(v.Longest) }

// FirstConns are the connections that are shown.
func (v view) FirstConns() []connReport { return v.Conns[:min(len(v.Conns), mostRows)] }

// MoreConns is how many are not.
func (v view) MoreConns() int { return max(len(v.Conns)-mostRows, 0) }

// FirstMethods are the methods that are shown: those with most calls.
func (v view) FirstMethods() []methodReport { return v.Methods[:min(len(v.Methods), mostRows)] }

// page is html, which escapes what it shows.
var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"style":        func() template.CSS { return template.CSS(css) },
	"age":          func(d duration) string { return durationText(time.Duration(d)) },
	"left":         leftText,
	"clock":        func(at time.Time) string { return at.UTC().Format("Jan 2 15:04:05") },
	"bytes":        bytesText,
	"volume":       func(v ttrpc.Volume) string { return fmt.Sprintf("%d · %s", v.Messages, bytesText(v.Bytes)) },
	"counts":       countsText,
	"way":          func(served bool) string { return either(served, "served", "made") },
	"role":         func(server bool) string { return either(server, "server", "client") },
	"row":          func(s streamReport, conn bool) streamRow { return streamRow{s, conn} },
	"firstStreams": func(c connReport) []streamReport { return c.Streams[:min(len(c.Streams), mostRows)] },
	"moreStreams":  func(c connReport) int { return max(len(c.Streams)-mostRows, 0) },
	"mostRows":     func() int { return mostRows },
	"mostSeconds":  func() int { return mostSeconds },
	"mostData":     func() int { return mostData },
}).Parse(html))

// A streamRow is a stream, and whether its connection is to be shown.
type streamRow struct {
	Stream streamReport
	Conn   bool
}

func either(yes bool, then, otherwise string) string {
	if yes {
		return then
	}
	return otherwise
}

// durationText writes a duration with two or three digits that matter.
func durationText(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + durationText(-d)
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d m %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d m", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
}

// leftText tells how long it is until a deadline.
func leftText(d *duration) template.HTML {
	text := durationText(time.Duration(*d))
	if *d < 0 {
		return template.HTML(`<span class="bad">passed ` + strings.TrimPrefix(text, "-") + ` ago</span>`)
	}
	return template.HTML("in " + text)
}

// bytesText writes a number of bytes.
func bytesText(n int) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

// countsText writes how calls have ended, without what there is none of.
func countsText(c ttrpc.CallCounts) string {
	text := fmt.Sprintf("%d ok", c.OK)
	for _, one := range []struct {
		n    uint64
		what string
	}{{c.Failed, "failed"}, {c.Canceled, "cancelled"}, {c.Deadline, "late"}, {c.Refused, "refused"}} {
		if one.n > 0 {
			text += fmt.Sprintf(", %d %s", one.n, one.what)
		}
	}
	return text
}
