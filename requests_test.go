// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package ttrpc

import (
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TestRefusedRequestMakesNoRoom holds that a stream, which has much in its queue,
// does not fail for a request that opens nothing.
func TestRefusedRequestMakesNoRoom(t *testing.T) {
	roomy := smallQueue
	roomy.Messages = 1000
	for name, test := range map[string]struct {
		rule, text string
		id         uint32
		code       codes.Code
		handlers   int
	}{
		"an active id":     {"B37", "StreamID cannot be re-used and must increment", 1, codes.InvalidArgument, 9},
		"an even id":       {"B37", evenText, 2, codes.InvalidArgument, 9},
		"one handler more": {"B32", "ttrpc: more than 1 concurrent calls on the connection", 3, codes.ResourceExhausted, 1},
	} {
		t.Run(name, func(t *testing.T) {
			onServer(t, func(t *testing.T, ts *testServer) {
				ts.peer.request(1, flagRemoteOpen, "Stall", nil)
				<-ts.contexts
				for range 9 {
					ts.peer.send(1, messageTypeData, 0, make([]byte, 8000))
				}
				ts.peer.request(test.id, flagRemoteOpen, "Stall", wrapperspb.Bytes(make([]byte, 40000)))
				ts.peer.wantStatus(test.rule, test.id, test.code, test.text)
				ts.peer.wantNothing(test.rule)
				ts.answers <- nil
			}, WithServerLimits(Limits{Queue: roomy, Handlers: test.handlers}))
		})
	}
}

// TestUnaryRequestsOfStreams holds that requests of unary calls do not count, not
// even if the client takes them for streams.
func TestUnaryRequestsOfStreams(t *testing.T) {
	for _, flags := range []uint8{0, flagRemoteClosed} {
		onServer(t, func(t *testing.T, ts *testServer) {
			for i := range uint32(5) {
				ts.peer.request(2*i+1, flags, "Wait", wrapperspb.Bytes(make([]byte, 30000)))
				<-ts.contexts
			}
			synctest.Wait()
			if n := ts.conn.total.Load(); n != 0 {
				t.Errorf("B41: with flags %d, %d bytes are queued", flags, n)
			}
			ts.peer.wantNothing("B41")
			for range 5 {
				ts.answers <- nil
			}
		}, WithServerLimits(Limits{Queue: smallQueue}))
	}
}

// TestRequestsWaitForSlowHandlers holds that streams have their patience before
// their handlers first receive, too.
func TestRequestsWaitForSlowHandlers(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		const streams = 10
		for i := range uint32(streams) {
			ts.peer.request(2*i+1, flagRemoteOpen, "Late", wrapperspb.Bytes(make([]byte, 40000)))
		}
		time.Sleep(streams * smallQueue.Patience) // virtual
		ts.peer.wantNothing("B41: they have received in time")
		for range streams {
			<-ts.contexts
			ts.answers <- nil
		}
	}, WithServerLimits(Limits{Queue: smallQueue}))
}

// TestNoRequestIsKept holds that a stream that begins without a message holds no
// memory of its request, which counts as nothing.
func TestNoRequestIsKept(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		ts.peer.request(1, flagRemoteOpen|flagNoData, "Stall", wrapperspb.Bytes(make([]byte, 30000)))
		<-ts.contexts
		synctest.Wait()
		if s := ts.conn.streams[1]; s.call.(*serverCall).request != nil || ts.conn.total.Load() != 0 {
			t.Errorf("B41: %d bytes count, and the request is kept: %t", ts.conn.total.Load(), s.call.(*serverCall).request != nil)
		}
		ts.answers <- nil
	}, WithServerLimits(Limits{Queue: smallQueue}))
}

// TestLostWhileDraining holds that a reader which takes what has arrived goes on
// with it when it is woken once more, as the peer is lost.
func TestLostWhileDraining(t *testing.T) {
	a, b := unixPair(t)
	cfg := new(connConfig)
	cfg.setDefaults()
	c := newConn(roleServer, b, cfg)
	c.ch, c.started = newChannel(b), true
	c.drain()
	served := 0
	c.host = serveFunc(func(*serverCall) bool {
		if served++; served == 1 {
			c.peerLost(syscall.EPIPE)
			c.giveUp()
		}
		return true
	})
	for _, id := range []uint32{1, 3} {
		if _, err := a.Write(frameBytes(id, messageTypeRequest, 0, nil)); err != nil {
			t.Fatal(err)
		}
	}
	c.readLoop()
	if served != 2 {
		t.Errorf("B25: %d of 2 requests that had arrived were served", served)
	}
	if err := c.why(); err != syscall.EPIPE {
		t.Errorf("B1: the cause is %v", err)
	}
}

// TestEndWhileMakingRoom holds that no handler begins for a request that waited for
// room when its connection ended.
func TestEndWhileMakingRoom(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		for id := uint32(1); id < 5; id += 2 {
			ts.peer.request(id, flagRemoteOpen, "Stall", wrapperspb.Bytes(make([]byte, 40000)))
			<-ts.contexts
		}
		ts.peer.request(5, flagRemoteOpen, "Stall", wrapperspb.Bytes(make([]byte, 40000)))
		synctest.Wait()
		ts.conn.close(io.EOF)
		synctest.Wait()
		select {
		case <-ts.contexts:
			t.Error("B26: a handler has begun on a connection that has ended")
			ts.answers <- nil
		default:
		}
		for range 2 {
			ts.answers <- nil
		}
		wantClean(t, "B26", ts.conn)
	}, WithServerLimits(Limits{Queue: smallQueue}))
}
