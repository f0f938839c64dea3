// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package debugpage

import (
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/wire"
)

// The bounds of a recording.
const (
	mostSeconds = 60
	mostFrames  = 500 // then it ends by itself
	mostData    = 128 // bytes of a frame that are kept
)

// A recorder keeps one recording of frames at a time, the last.
type recorder struct {
	running atomic.Pointer[recording] // nil if there is none, which is all that most frames see

	mu   sync.Mutex
	last *recording
}

// A recording is the frames of some seconds.
type recording struct {
	began time.Time
	until time.Time
	conn  uint64 // 0 for all
	timer *time.Timer

	mu     sync.Mutex
	frames []frame
}

// A frame is one that has passed.
type frame struct {
	At     duration // since the recording's beginning
	Conn   uint64
	Server bool
	Sent   bool
	Stream uint32
	Type   string
	Flags  uint8
	Length int
	Method string // of a request
	Data   string // the first bytes, in hexadecimal
	Dump   string `json:"-"`
}

// record begins a recording, in the place of any before. It ends by itself.
func (rs *recorder) record(d time.Duration, conn uint64) {
	now := time.Now()
	r := &recording{began: now, until: now.Add(d), conn: conn}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.stopLocked()
	r.timer = time.AfterFunc(d, func() { rs.running.CompareAndSwap(r, nil) })
	rs.last = r
	rs.running.Store(r)
}

// stop ends the recording, if there is one, and keeps it.
func (rs *recorder) stop() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.stopLocked()
}

func (rs *recorder) stopLocked() {
	if rs.last != nil {
		rs.last.timer.Stop()
	}
	rs.running.Store(nil)
}

// forget ends the recording and drops it.
func (rs *recorder) forget() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.stopLocked()
	rs.last = nil
}

// frame is a trace's.
func (rs *recorder) frame(info ttrpc.FrameInfo) {
	r := rs.running.Load()
	if r == nil || r.conn != 0 && r.conn != info.Conn.ID {
		return
	}
	if !r.add(info) {
		rs.running.CompareAndSwap(r, nil)
	}
}

// add keeps a frame, and reports whether more may come.
func (r *recording) add(info ttrpc.FrameInfo) bool {
	at := since(r.began)
	f := frame{
		At: at, Conn: info.Conn.ID, Server: info.Conn.Server, Sent: info.Sent, Stream: info.StreamID,
		Type: wire.Type(info.Type).String(), Flags: info.Flags, Length: info.Length,
	}
	if wire.Type(info.Type) == wire.TypeRequest {
		if service, method := wire.FrontOfRequest(info.Data); len(service)+len(method) > 0 {
			f.Method = clean("/" + string(service[:min(len(service), mostText)]) + "/" + string(method[:min(len(method), mostText)]))
		}
	}
	data := info.Data[:min(len(info.Data), mostData)]
	f.Data, f.Dump = hex.EncodeToString(data), dump(data)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.frames) >= mostFrames {
		return false
	}
	r.frames = append(r.frames, f)
	return len(r.frames) < mostFrames
}

// dump writes bytes in hexadecimal and, where they are ASCII, as letters, 16 a line.
func dump(data []byte) string {
	var b strings.Builder
	for i := 0; i < len(data); i += 16 {
		line := data[i:min(i+16, len(data))]
		letters := make([]byte, len(line))
		for j, c := range line {
			letters[j] = '.'
			if c >= ' ' && c <= '~' {
				letters[j] = c
			}
		}
		fmt.Fprintf(&b, "%-47s  %s\n", fmt.Sprintf("% x", line), letters)
	}
	return b.String()
}

// A recordingReport is a recording as it is now.
type recordingReport struct {
	Began   time.Time
	Until   time.Time
	Running bool
	Full    bool   // it has ended because it has 500 frames
	Conn    uint64 // 0 for all
	Frames  []frame
}

// report returns the last recording, or nil.
func (rs *recorder) report() *recordingReport {
	rs.mu.Lock()
	r := rs.last
	rs.mu.Unlock()
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	frames := r.frames[:len(r.frames):len(r.frames)]
	return &recordingReport{r.began, r.until, rs.running.Load() == r, len(frames) >= mostFrames, r.conn, frames}
}
