// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	wire "github.com/moby/spdystream/spdy"

	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/libchan"
)

// encoded returns frames as bytes.
func encoded(f interface{ Fatal(...any) }, list ...wire.Frame) []byte {
	var b bytes.Buffer
	framer, err := wire.NewFramer(&b, nil)
	for _, frame := range list {
		if err == nil {
			err = framer.WriteFrame(frame)
		}
	}
	if err != nil {
		f.Fatal(err)
	}
	return b.Bytes()
}

// FuzzFrames has a peer send anything, in either dialect and role. All of it that arrives is
// received, and what was received is used. Nothing hangs, and nothing is left.
func FuzzFrames(f *testing.F) {
	names, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for i, side := range [2]byte{'C', 'S'} {
			var b bytes.Buffer
			for _, line := range bytes.Split(text, []byte("\n")) {
				if len(line) > 2 && line[0] == side {
					b.Write(unhex(line[2:]))
				}
			}
			f.Add(b.Bytes(), byte(i))
			f.Add(b.Bytes(), byte(i+2))
		}
	}
	both := []byte{0x92, 0xc7, 5, 1, 1, 0, 0, 0, 3, 0xc7, 5, 1, 2, 0, 0, 0, 5}
	f.Add(encoded(f, top(1), nested(3, 1), data(1, both...), nested(5, 1), data(3, 0xa2, 'o', 'k'), fin(3), fin(1)), byte(0))
	f.Add(encoded(f, top(1), data(1, both...), data(1, both...), &wire.RstStreamFrame{StreamId: 1, Status: wire.Cancel}), byte(0))
	f.Add(encoded(f, top(1), data(1, 0xd6, 2, 0, 0, 0, 3), open(3, headerRef, "3"), data(3, 1, 2, 3),
		&wire.WindowUpdateFrame{StreamId: 3, DeltaWindowSize: 1 << 30}, &wire.WindowUpdateFrame{StreamId: 3, DeltaWindowSize: 1 << 30},
		&wire.GoAwayFrame{LastGoodStreamId: 1}), byte(0))
	f.Add(encoded(f, &wire.SettingsFrame{FlagIdValues: []wire.SettingsFlagIdValue{{Id: 7, Value: 1}}}, &wire.PingFrame{Id: 1},
		&wire.SynReplyFrame{StreamId: 1, Headers: Released.reply(1, false).Headers}), byte(1))
	f.Fuzz(fuzzFrames)
}

func unhex(text []byte) []byte {
	b := make([]byte, len(text)/2)
	for i := range b {
		for _, c := range text[2*i : 2*i+2] {
			if c -= '0'; c > 9 {
				c -= 'a' - '0' - 10
			}
			b[i] = b[i]<<4 | c
		}
	}
	return b
}

func fuzzFrames(t *testing.T, b []byte, kind byte) {
	begin := NewServer
	if kind&1 != 0 {
		begin = NewClient
	}
	near, far := memconn.Pipe(0)
	tr, err := begin(near, WithDialect(Dialect(kind>>1&1)), WithLimits(Limits{Streams: 20, Unclaimed: 10, Buffer: 1 << 20}))
	if err != nil {
		t.Fatal(err)
	}
	if kind&1 != 0 { // something that can be answered
		if s, err := tr.NewSendChannel(); err == nil {
			_, ret := libchan.Pipe()
			_, bs := libchan.NewByteStream()
			_ = s.Send(map[string]any{"ret": ret, "bs": bs})
		}
	}
	go io.Copy(io.Discard, far)
	within(t, func() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				r, err := tr.WaitReceiveChannel()
				if err != nil {
					return
				}
				go use(r)
			}
		}()
		far.Write(b)
		far.Close()
		<-tr.Done()
		<-done
		tr.Close()
	})
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if n := len(tr.streams) + len(tr.offered) + len(tr.awaited); n != 0 {
		t.Errorf("L11: %d streams are left after the end", n)
	}
}

// use receives what there is and uses the ends in it.
func use(v any) {
	switch v := v.(type) {
	case libchan.Receiver:
		for {
			var m any
			if err := v.Receive(&m); err != nil {
				return
			}
			use(m)
		}
	case libchan.Sender:
		go func() { _ = v.Send("hello"); _ = v.Close() }()
	case io.ReadWriteCloser:
		go func() { _, _ = io.Copy(v, v); _ = v.Close() }()
	case []any:
		for _, x := range v {
			go use(x)
		}
	case map[string]any:
		for _, x := range v {
			go use(x)
		}
	}
}
