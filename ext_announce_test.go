// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && linux

package ttrpc

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A fakeKernel refuses files of one end's connection as long as it has an error.
type fakeKernel struct {
	err   atomic.Pointer[unix.Errno]
	tries atomic.Int64
}

// on has the connection pass files through it.
func (k *fakeKernel) on(c *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	extOf(c).pass = func(fd int, b []byte, d *descriptors) (int, error) {
		k.tries.Add(1)
		if err := k.err.Load(); err != nil {
			return 0, *err
		}
		return sendFiles(fd, b, d)
	}
}

func (k *fakeKernel) refuse(err unix.Errno) { k.err.Store(&err) }

func (k *fakeKernel) take() { k.err.Store(nil) }

// bothConns are the connections of both ends.
func (p *extendedPair) bothConns() map[string]*conn {
	return map[string]*conn{"client": connOf(p.client), "server": p.serverConn()}
}

// TestFilesRefused holds that what the kernel refuses fails alone, as not sent.
func TestFilesRefused(t *testing.T) {
	p := newFilePair(t)
	p.client.Extended(t.Context())
	clients, before := p.bothClients(), openFiles(t)
	for name, c := range p.bothConns() {
		client := clients[name]
		running := make(chan error, 1)
		hold, cancel := context.WithCancel(t.Context())
		go func() {
			running <- client.Call(hold, "test", "Block", wrapperspb.String(""), new(wrapperspb.StringValue))
		}()
		k := new(fakeKernel)
		k.on(c)
		for _, errno := range []unix.Errno{unix.EPERM, unix.EINVAL, unix.EBADF} {
			k.refuse(errno)
			for _, size := range []int{0, 3 * partSize} { // the last leaves in parts
				ctx, _ := withFiles(t, 2)
				text := wrapperspb.String(string(make([]byte, 1+size)))
				err := client.Call(ctx, "files", "Ignore", text, new(wrapperspb.StringValue))
				if !errors.Is(err, ErrNotExecuted) || !errors.Is(err, errno) || status.Code(err) != codes.FailedPrecondition {
					t.Errorf("B94: %s: a call of %d bytes: %v", name, size, err)
				}
				ctx, _ = withFiles(t, 2)
				s, err := client.NewStream(ctx, bidi, "files", "Reverses", text)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.RecvMsg(new(wrapperspb.StringValue)); !errors.Is(err, ErrNotExecuted) || !errors.Is(err, errno) {
					t.Errorf("B94: %s: a stream of %d bytes: %v", name, size, err)
				}
				k.take()
				s, err = client.NewStream(t.Context(), bidi, "files", "Reverses", nil)
				if err != nil {
					t.Fatal(err)
				}
				k.refuse(errno)
				s.SendMsg(&FileMessage{text, []*os.File{os.Stdin}})
				if err := s.RecvMsg(new(wrapperspb.StringValue)); errors.Is(err, ErrNotExecuted) || !errors.Is(err, errno) {
					t.Errorf("B94: %s: a message of %d bytes: %v", name, size, err)
				}
			}
			if err := client.Call(t.Context(), "test", "Echo", wrapperspb.String(""), new(wrapperspb.StringValue)); err != nil {
				t.Errorf("B94: %s: another call: %v", name, err)
			}
		}
		k.take()
		if err := callWithFiles(t, client, "Ignore", 1); err != nil {
			t.Errorf("B94: %s: files afterwards: %v", name, err)
		}
		cancel()
		if err := <-running; !errors.Is(err, context.Canceled) {
			t.Errorf("B94: %s: a call that was running: %v", name, err)
		}
	}
	wantNoMoreFiles(t, "B94", before)
}

// TestFilesOfAnswerRefused holds that instead of an answer whose files the kernel refuses
// the reason is told.
func TestFilesOfAnswerRefused(t *testing.T) {
	p := newFilePair(t)
	p.client.Extended(t.Context())
	k := new(fakeKernel)
	k.on(p.serverConn())
	k.refuse(unix.EPERM)
	p.server.RegisterService("give", &ServiceDesc{
		Methods: map[string]Method{"Give": func(ctx context.Context, unmarshal func(any) error) (any, error) {
			m := new(wrapperspb.StringValue)
			files, err := FilesFromContext(ctx)
			return m, errors.Join(unmarshal(m), err, files.Attach(os.Stdin))
		}},
		Streams: map[string]Stream{"Gives": {StreamingServer: true, Handler: func(ctx context.Context, s StreamServer) (any, error) {
			err := s.SendMsg(&FileMessage{wrapperspb.String(""), []*os.File{os.Stdin}})
			<-ctx.Done()
			return nil, err
		}}},
	})
	for _, size := range []int{0, 3 * partSize} {
		err := p.client.Call(t.Context(), "give", "Give", wrapperspb.String(string(make([]byte, size))), new(wrapperspb.StringValue))
		if status.Code(err) != codes.FailedPrecondition {
			t.Errorf("B94: an answer of %d bytes: %v", size, err)
		}
	}
	s, err := p.client.NewStream(t.Context(), &StreamDesc{StreamingServer: true}, "give", "Gives", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(new(wrapperspb.StringValue)); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("B94: a message of a handler: %v", err)
	}
	if err := p.echo(t.Context(), "a"); err != nil {
		t.Errorf("B94: another call: %v", err)
	}
}

// TestFilesRefusedByKernel holds it with a kernel that can, and that a client of Dial does
// not look for another connection.
func TestFilesRefusedByKernel(t *testing.T) {
	if !knowsPassRights(t) {
		return
	}
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	limits := Limits{Files: 10}
	s, err := NewServer(WithServerExtensions(), WithServerLimits(limits))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.RegisterService("files", fileService())
	go s.Serve(t.Context(), l)
	c, err := Dial("unix:"+l.Addr().String(), WithExtensions(), WithClientLimits(limits))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := callWithFiles(t, c, "Ignore", 1); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	for conn := range s.connections {
		refuseRights(t, conn.nc, 0)
	}
	s.mu.Unlock()
	first := dialOf(c).current
	ctx, _ := withFiles(t, 1)
	err = c.Call(Repeatable(ctx), "files", "Ignore", wrapperspb.String(""), new(wrapperspb.StringValue))
	if !errors.Is(err, ErrNotExecuted) || !errors.Is(err, unix.EPERM) {
		t.Errorf("B94: %v", err)
	}
	if err := callWithFiles(t, c, "Ignore", 0); err != nil || dialOf(c).current != first {
		t.Errorf("B94: another connection was made: %v", err)
	}
}

// TestFilesInFlight holds that when too many are in flight only what has files waits: all
// else passes, later calls too, and deadlines.
func TestFilesInFlight(t *testing.T) {
	for _, size := range []int{0, 3 * partSize} {
		p := newFilePair(t)
		p.client.Extended(t.Context())
		clients := p.bothClients()
		for name, c := range p.bothConns() {
			client, text := clients[name], wrapperspb.String(string(make([]byte, size)))
			k := new(fakeKernel)
			k.on(c)
			k.refuse(unix.ETOOMANYREFS)
			ctx, files := WithFiles(t.Context())
			if err := files.Attach(numberedFiles(t, 2)...); err != nil {
				t.Fatal(err)
			}
			var waiting sync.WaitGroup
			waiting.Go(func() {
				if err := client.Call(ctx, "files", "Reverse", text, new(wrapperspb.StringValue)); err != nil {
					t.Errorf("B94: %s: %v", name, err)
				}
			})
			s, err := client.NewStream(t.Context(), bidi, "files", "Reverses", nil)
			if err != nil {
				t.Fatal(err)
			}
			two := numberedFiles(t, 2)
			waiting.Go(func() {
				for range 2 {
					if err := s.SendMsg(&FileMessage{text, two}); err != nil {
						t.Error(err)
					}
				}
			})
			for k.tries.Load() < 4 { // two of them, again and again
				time.Sleep(time.Millisecond)
			}
			if err := client.Call(t.Context(), "test", "Echo", wrapperspb.String(""), new(wrapperspb.StringValue)); err != nil {
				t.Errorf("B94: %s: a later call: %v", name, err)
			}
			late, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			late, more := WithFiles(late)
			if err := more.Attach(os.Stdin); err != nil {
				t.Fatal(err)
			}
			if err := client.Call(late, "files", "Ignore", text, new(wrapperspb.StringValue)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("B94: %s: a deadline: %v", name, err)
			}
			cancel()
			k.take()
			waiting.Wait()
			wantNumbered(t, "B94: "+name, files.Claim(), 1, 0)
			for range 2 {
				got := &FileMessage{Message: new(wrapperspb.StringValue)}
				if err := s.RecvMsg(got); err != nil {
					t.Fatalf("B94: %s: a stream: %v", name, err)
				}
				wantNumbered(t, "B94: "+name, got.Files, 1, 0)
			}
			if err := errors.Join(s.CloseSend(), endOfStream(s.RecvMsg(new(wrapperspb.StringValue)))); err != nil {
				t.Error(err)
			}
		}
		for name, c := range p.bothConns() {
			c.mu.Lock()
			if x := extOf(c); len(x.held)+len(x.waiting) > 0 {
				t.Errorf("B94: %s: %d and %d trains are left", name, len(x.held), len(x.waiting))
			}
			c.mu.Unlock()
		}
	}
}

// TestFilesInFlightAtEnd holds that files which wait for the kernel do not keep a connection,
// and are closed with it.
func TestFilesInFlightAtEnd(t *testing.T) {
	p := newFilePair(t)
	p.client.Extended(t.Context())
	k := new(fakeKernel)
	k.on(connOf(p.client))
	k.refuse(unix.ETOOMANYREFS)
	f := newWatchedFile(t)
	s, err := p.client.NewStream(t.Context(), bidi, "files", "Reverses", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SendMsg(&FileMessage{wrapperspb.String(""), []*os.File{f.File}}); err != nil {
		t.Fatal(err)
	}
	for k.tries.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	p.client.Close()
	f.wantClosed(t, "B94")
}
