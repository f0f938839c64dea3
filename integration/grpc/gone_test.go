// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpc_test

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/containerd/ttrpc/integration/grpc/ways"
	"github.com/containerd/ttrpc/internal/testkit"
)

// soon is a deadline for what has to wait until it passes.
const soon = 500 * time.Millisecond

func refused(b *bed) string {
	b.setup.Refused = true
	b.open()
	return b.next()
}

func refusedWaiting(b *bed) string {
	b.setup.Refused = true
	b.open()
	ctx, cancel := context.WithTimeout(b.ctx, soon)
	defer cancel()
	if b.path.Between != nil {
		ctx = b.ctx // it is there, and answers before that ends
	}
	_, err := b.stub.EmptyCall(ctx, new(testEmpty), grpc.WaitForReady(true))
	return code(err)
}

func goneBefore(b *bed) string {
	b.open()
	if got := b.next(); got != "OK" {
		return "with the server: " + got
	}
	b.path.Kill()
	return b.next()
}

func goneDuringUnary(b *bed) string {
	return b.goneDuring(func() { b.path.Kill() })
}

func betweenGone(b *bed) string {
	return b.goneDuring(func() { b.path.Between.Kill() })
}

// goneDuring has a unary call wait while something is killed.
func (b *bed) goneDuring(kill func()) string {
	h := b.hang()
	b.open()
	go func() {
		<-h.begun
		kill()
	}()
	_, err := b.stub.UnaryCall(b.ctx, new(request))
	return join(code(err), h.told())
}

func goneWhileReceiving(b *bed) string {
	h := b.hang()
	b.open()
	ss, err := b.stub.FullDuplexCall(b.ctx)
	if err != nil {
		return "open: " + code(err)
	}
	go func() {
		<-h.begun
		b.path.Kill()
	}()
	_, err = ss.Recv()
	return join(code(err), h.told())
}

func goneWhileSending(b *bed) string {
	h := b.hang()
	b.open()
	ss, err := b.stub.FullDuplexCall(b.ctx)
	if err != nil {
		return "open: " + code(err)
	}
	go func() {
		<-h.begun
		b.path.Kill()
	}()
	return join(fill(ss), h.told())
}

// fill sends until it fails, and returns that error's code and the one with which the stream
// has ended.
func fill(ss testDuplexClient) string {
	message := &asked{Payload: body(64 << 10)}
	const unread = 128 // messages, 8 MiB: a classic server ends a stream with 32 MiB, see ttrpc.StreamQueue
	start := time.Now()
	for n := 0; time.Since(start) < testkit.Hang/6; n++ {
		if n > unread { // nothing has stopped it: it is slow enough for what ends it to come first
			time.Sleep(5 * time.Millisecond)
		}
		if err := ss.Send(message); err != nil {
			_, end := ss.Recv()
			return code(err) + ", " + code(end)
		}
	}
	_, end := ss.Recv()
	return "no end, " + code(end)
}

// receive receives until the end, and returns the codes.
func receive(ss interface{ Recv() (*answer, error) }) (codes string) {
	for {
		_, err := ss.Recv()
		codes += code(err)
		if err != nil {
			return codes
		}
		codes += ", "
	}
}

func goneAfter(b *bed) string {
	b.server = func(_ *asked, ss testOutputServer) error { return ss.Send(new(answer)) }
	b.open()
	ss, err := b.stub.StreamingOutputCall(b.ctx, new(asked))
	if err != nil {
		return "open: " + code(err)
	}
	got := receive(ss)
	b.path.Kill()
	_, err = ss.Recv()
	return join(got+", "+code(err), b.next())
}

// pathLost has one call wait in its handler while the path is lost, and another begin then.
func pathLost(b *bed) string {
	const loss = 5 * time.Second
	begun, release := make(chan struct{}), make(chan struct{})
	b.unary = func(context.Context, *request) (*response, error) {
		close(begun)
		<-release
		return new(response), nil
	}
	b.setup.Slow = true
	b.open()
	var first, second string
	var calls sync.WaitGroup
	calls.Go(func() {
		_, err := b.stub.UnaryCall(b.ctx, new(request))
		first = code(err)
	})
	<-begun
	resume := b.path.Stall()
	close(release)
	calls.Go(func() { second = b.next() })
	time.Sleep(loss) // which is what is asked for, and not a wait for something
	resume()
	calls.Wait()
	return join(first, second)
}

func idle(b *bed) string {
	b.setup.Idle = soon
	b.open()
	if got := b.next(); got != "OK" {
		return "before: " + got
	}
	if b.path.Rest != nil {
		b.path.Rest()
	}
	return b.next()
}

func stopDuringUnary(b *bed) string {
	return b.stopDuring(func() { b.path.Stop() })
}

func betweenStops(b *bed) string {
	return b.stopDuring(func() { b.path.Between.Stop() })
}

// stopDuring has a unary call wait while something is stopped gracefully.
func (b *bed) stopDuring(stop func()) string {
	begun, release := make(chan struct{}), make(chan struct{})
	b.unary = func(context.Context, *request) (*response, error) {
		close(begun)
		<-release
		return new(response), nil
	}
	b.open()
	var running string
	var calls sync.WaitGroup
	calls.Go(func() {
		_, err := b.stub.UnaryCall(b.ctx, new(request))
		running = code(err)
	})
	<-begun
	calls.Go(stop)
	refused := b.untilRefused()
	close(release)
	calls.Wait()
	return join(running, "new call "+refused)
}

// untilRefused makes calls until one fails, as one does once the goodbye has come, and
// returns its code.
func (b *bed) untilRefused() string {
	for {
		if got := b.next(); got != "OK" {
			return got
		}
	}
}

func stopDuringStream(b *bed) string {
	begun := make(chan struct{})
	b.stream = func(ss duplex) error {
		close(begun)
		for {
			if _, err := ss.Recv(); err != nil {
				return nil
			}
			if err := ss.Send(new(answer)); err != nil {
				return err
			}
		}
	}
	b.open()
	ss, err := b.stub.FullDuplexCall(b.ctx)
	if err != nil {
		return "open: " + code(err)
	}
	<-begun
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		b.path.Stop()
	}()
	refused := b.untilRefused()
	for range 2 {
		if err := ss.Send(new(asked)); err != nil {
			return "send: " + code(err)
		}
	}
	if err := ss.CloseSend(); err != nil {
		return "half-close: " + code(err)
	}
	got := receive(ss)
	<-stopped
	return join(got, "new call "+refused)
}

func strangeCertificate(b *bed) string {
	b.setup.ServerTLS, _ = ways.Certificates(b.t, "")
	b.open()
	return b.next()
}

func wantedCertificate(b *bed) string {
	b.setup.Demand = true
	b.open()
	return b.next()
}

func otherProtocol(b *bed) string {
	b.setup.Protocol = "other"
	b.open()
	return b.next()
}
