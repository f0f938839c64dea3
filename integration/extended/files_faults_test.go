// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package extended

import (
	"context"
	"maps"
	"math/rand"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

// envMessages tells how many messages TestFilesWithFaults sends, if more than by
// default; a million takes some minutes.
const envMessages = "TTRPC_EXTENDED_FILE_MESSAGES"

// TestFilesWithFaults sends files in both directions while calls are cancelled, streams
// are given up, and connections are closed. In the end neither process has more files
// open than before.
func TestFilesWithFaults(t *testing.T) {
	messages := fileMessages
	if n, err := strconv.Atoi(os.Getenv(envMessages)); err == nil {
		messages = n
	}
	sendWithFaults(t, messages, func(*peer) {})
}

// TestFilesWithoutCollector is TestFilesWithFaults in processes whose garbage is not
// collected, for that would close files that nobody else does.
func TestFilesWithoutCollector(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	sendWithFaults(t, 5000, func(p *peer) { p.mustAsk(t, "B51", "CollectNothing", "") })
}

func sendWithFaults(t *testing.T, messages int, prepare func(*peer)) {
	p, address := startServer(t, "plain")
	first := connect(t, p, address, "plain")
	first.mustWork(t, "B51")
	prepare(first)
	files := newFiles(t, 3)
	ours, theirs := openFiles("self"), openFiles(p.pid())
	var sent atomic.Int64
	var wg sync.WaitGroup
	for seed := range int64(4) {
		f := &faulty{rand.New(rand.NewSource(seed)), files, &sent}
		wg.Add(1)
		go func() {
			defer wg.Done()
			for sent.Load() < int64(messages) {
				f.useConnection(dial(t, address))
			}
		}()
	}
	wg.Wait()
	t.Logf("%d messages with files", sent.Load())
	mustHaveOpen(t, "self", ours)
	mustHaveOpen(t, p.pid(), theirs)
	first.mustWork(t, "B51")
}

// mustHaveOpen waits until a process has no more files open than these: nothing tells
// when the last connection has ended, and what came on it was closed.
func mustHaveOpen(t *testing.T, pid any, want map[string]int) {
	t.Helper()
	var got map[string]int
	defer func() {
		if t.Failed() {
			t.Errorf("B51: process %v has open %v, and had %v", pid, got, want)
		}
	}()
	await(t, "files to be closed", func() bool {
		got = openFiles(pid)
		return maps.Equal(got, want)
	})
}

// A faulty user of connections passes files, and breaks off what it has begun.
type faulty struct {
	*rand.Rand
	files []*os.File
	sent  *atomic.Int64 // messages with files, of all users
}

// some returns one file or more.
func (f *faulty) some() []*os.File { return f.files[:1+f.Intn(len(f.files))] }

// useConnection makes calls on a connection, and closes it while some are under way.
func (f *faulty) useConnection(nc net.Conn) {
	c := newStation().client(nc)
	var wg sync.WaitGroup
	for range 1 + f.Intn(30) {
		ctx, cancel := context.WithCancel(context.Background())
		g := &faulty{rand.New(rand.NewSource(f.Int63())), f.files, f.sent}
		switch f.Intn(3) {
		case 0: // soon
			after := time.Duration(f.Intn(500)) * time.Microsecond
			time.AfterFunc(after, cancel)
		case 1:
			defer cancel()
		default:
			cancel = func() {}
		}
		use := []func(context.Context, *ttrpc.Client){g.call, g.stream}[f.Intn(2)]
		wg.Add(1)
		go func() {
			defer wg.Done()
			use(ctx, c)
		}()
		if f.Intn(4) == 0 {
			wg.Wait()
		}
	}
	if f.Intn(2) == 0 {
		wg.Wait()
	}
	c.Close()
	wg.Wait()
	<-c.Done()
}

// call makes calls with files, there and back, and of some does not claim the answer's.
func (f *faulty) call(ctx context.Context, c *ttrpc.Client) {
	for range 20 {
		f.sent.Add(1)
		_, back, err := swap(ctx, c, []string{"Swap", "Bounce", "Echo"}[f.Intn(3)], f.some())
		closeAll(back)
		if err != nil {
			return
		}
	}
}

// stream sends messages with files, receives some back, with files or without, and gives
// up the stream.
func (f *faulty) stream(ctx context.Context, c *ttrpc.Client) {
	ctx, cancel := context.WithCancel(ctx)
	s, err := c.NewStream(ctx, bothStream, serviceName, "Echoes", nil)
	if err != nil {
		cancel()
		return
	}
	received := make(chan struct{})
	go func(until int) {
		defer close(received)
		defer cancel()
		for i := range until {
			text := new(wrapperspb.StringValue)
			m := &ttrpc.FileMessage{Message: text}
			var err error
			if i%2 == 0 {
				err = s.RecvMsg(m)
			} else {
				err = s.RecvMsg(text)
			}
			closeAll(m.Files)
			if err != nil {
				return
			}
		}
	}(f.Intn(40))
	for range f.Intn(50) {
		f.sent.Add(1)
		size := []int{0, 100, 100, 100, 100, 100, 100, 70_000}[f.Intn(8)] // the last leaves in parts
		text := wrapperspb.String(string(make([]byte, size)))
		if s.SendMsg(&ttrpc.FileMessage{Message: text, Files: f.some()}) != nil {
			break
		}
	}
	s.CloseSend()
	<-received
	for s.RecvMsg(new(wrapperspb.StringValue)) == nil { // what came before the stream's end is still there
	}
}
