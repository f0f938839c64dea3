// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchantest

import (
	"context"
	"errors"
	"runtime"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/libchan"
)

// closeRows are of L6.
var closeRows = []row{
	{"L6: Close delivers all", false, testClose},
	{"L6: an error as the end", false, testCloseWithError},
	{"L6: a receiver refuses with a cause", false, testCancel},
	{"L6: contexts leave the channel good", false, testContexts},
	{"L6: what waits returns when a side closes", false, testSideCloses},
	{"L6: Shutdown waits for channels", false, testShutdown},
}

func testClose(k *kit) {
	for _, capacity := range []int{-1, 200} {
		k.channels(capacity, func(s libchan.ContextSender, r libchan.ContextReceiver) {
			for i := range 30 {
				k.send(s, i)
			}
			k.must(s.Close())
			k.must(s.Close())
			if err := s.Send(k.value(1)); !errors.Is(err, libchan.ErrClosed) {
				k.Errorf("Send after Close: %v, want ErrClosed", err)
			}
			for i := range 30 {
				k.expect(r, i, 0)
			}
			k.ends(r)
			k.ends(r)
		})
	}
}

func testCloseWithError(k *kit) {
	k.channels(-1, func(s libchan.ContextSender, r libchan.ContextReceiver) {
		k.send(s, 1)
		k.must(s.CloseWithError(status.Error(codes.DataLoss, "half is gone")))
		k.expect(r, 1, 0)
		if _, err := k.receive(r); status.Code(err) != codes.DataLoss || !strings.Contains(err.Error(), "half is gone") {
			k.Errorf("the end is %v, want DataLoss", err)
		}
	})
	s, r := k.top()
	k.must(s.CloseWithError(errors.New("plain text")))
	if _, err := k.receive(r); err == nil || err.Error() != "plain text" {
		k.Errorf("the end is %v, want its text", err)
	}
}

func testCancel(k *kit) {
	k.channels(-1, func(s libchan.ContextSender, r libchan.ContextReceiver) {
		k.send(s, 1)
		k.expect(r, 1, 0)
		blocked := make(chan error, 1)
		go func() {
			for i := 0; ; i++ {
				if err := s.Send(k.value(i)); err != nil {
					blocked <- err
					return
				}
			}
		}()
		r.Cancel(status.Error(codes.OutOfRange, "enough"))
		for _, err := range []error{<-blocked, s.Send(k.value(2))} {
			if status.Code(err) != codes.OutOfRange || !strings.Contains(err.Error(), "enough") {
				k.Errorf("Send returns %v, want OutOfRange", err)
			}
		}
		if err := s.Close(); err != nil {
			k.Errorf("Close after that: %v", err)
		}
	})
}

func testContexts(k *kit) {
	for _, capacity := range []int{-1, 1} {
		k.channels(capacity, func(s libchan.ContextSender, r libchan.ContextReceiver) {
			into, _ := k.target()
			if err := r.ReceiveContext(k.brief(), into); !errors.Is(err, context.DeadlineExceeded) {
				k.Errorf("ReceiveContext: %v, want DeadlineExceeded", err)
			}
			k.send(s, 1)
			if capacity == 1 {
				if err := s.SendContext(k.brief(), k.value(2)); !errors.Is(err, context.DeadlineExceeded) {
					k.Errorf("SendContext: %v, want DeadlineExceeded", err)
				}
			}
			k.expect(r, 1, 0)
			k.send(s, 3)
			k.expect(r, 3, 0)
		})
	}
}

// testSideCloses has each method wait at either side, and one of them close the session.
func testSideCloses(k *kit) {
	for _, own := range []bool{true, false} {
		a, b := k.session()
		s, r := k.topOf(a, b)
		feeds, feed := k.topOf(b, a)
		rest, full := libchan.BufferedPipe(1)
		k.send(s, 0, rest)
		unread := k.expect(r, 0, 1)[0]
		k.send(full, 1)
		ret, answers := k.topOf(b, a)
		waits := map[string]func() error{
			"Receive":                         func() error { _, err := k.receive(feed); return err },
			"Send":                            func() error { return full.Send(k.value(2)) },
			"WaitReceiveChannel":              func() error { _, err := a.WaitReceiveChannel(); return err },
			"WaitReceiveChannel of the other": func() error { _, err := b.WaitReceiveChannel(); return err },
			"Receive of the other":            func() error { _, err := k.receive(r); return err },
			"Select": func() error {
				into, _ := k.target()
				_, err := libchan.Select(ctx, libchan.OnReceive(answers, into))
				return err
			},
		}
		results := make(chan error, len(waits))
		for name, wait := range waits {
			go func() {
				err := wait()
				if !errors.Is(err, libchan.ErrSessionEnded) {
					k.Errorf("%s returns %v, want ErrSessionEnded", name, err)
				}
				results <- err
			}()
		}
		<-k.brief().Done()
		if own {
			k.must(a.Close())
		} else {
			k.must(b.Close())
		}
		for range waits {
			<-results
		}
		<-a.Done()
		<-b.Done()
		if _, err := a.NewSendChannel(); !errors.Is(err, libchan.ErrSessionEnded) {
			k.Errorf("NewSendChannel returns %v, want ErrSessionEnded", err)
		}
		runtime.KeepAlive([]any{unread, feeds, ret, s, r})
	}
}

func testShutdown(k *kit) {
	s, r := k.top()
	done := make(chan error, 1)
	go func() { done <- k.a.Shutdown(ctx) }()
	<-k.b.Draining()
	if _, err := k.b.NewSendChannel(); !errors.Is(err, libchan.ErrDraining) {
		k.Errorf("NewSendChannel of a session that drains: %v, want ErrDraining", err)
	}
	for i := range 10 {
		k.send(s, i)
	}
	k.must(s.Close())
	for i := range 10 {
		k.expect(r, i, 0)
	}
	k.ends(r)
	k.must(<-done)
	<-k.b.Done()
}
