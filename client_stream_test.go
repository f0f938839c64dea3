// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/wire"
)

var (
	bidi          = &StreamDesc{StreamingClient: true, StreamingServer: true}
	clientStreams = &StreamDesc{StreamingClient: true}
	serverStreams = &StreamDesc{StreamingServer: true}
)

// open opens a stream and fails the test if it cannot.
func open(t *testing.T, ctx context.Context, c *Client, desc *StreamDesc, req any) ClientStream {
	t.Helper()
	s, err := c.NewStream(ctx, desc, "test", "Stream", req)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantRecv requires RecvMsg to return a message with that value, or err.
func wantRecv(t *testing.T, rule string, s ClientStream, value string, want error) {
	t.Helper()
	var m wrapperspb.StringValue
	err := s.RecvMsg(&m)
	if err != want && !(want != nil && errors.Is(err, want)) || err == nil && m.Value != value {
		t.Errorf("%s: RecvMsg gave %q, %v, want %q, %v", rule, m.Value, err, value, want)
	}
}

func TestStreamOpening(t *testing.T) {
	for name, test := range map[string]struct {
		desc    *StreamDesc
		req     proto.Message
		flags   uint8
		payload string
	}{
		"both sides":                 {bidi, nil, flagRemoteOpen | flagNoData, ""},
		"client":                     {clientStreams, nil, flagRemoteOpen | flagNoData, ""},
		"client with a message":      {clientStreams, wrapperspb.String("m"), flagRemoteOpen, "\n\x01m"},
		"client with an empty one":   {clientStreams, wrapperspb.String(""), flagRemoteOpen | flagNoData, ""},
		"server":                     {serverStreams, wrapperspb.String("m"), flagRemoteClosed, "\n\x01m"},
		"server with an empty one":   {serverStreams, wrapperspb.String(""), flagRemoteClosed, ""},
		"server with no message":     {serverStreams, nil, flagRemoteClosed, ""},
		"nobody streams, no message": {&StreamDesc{}, nil, flagRemoteClosed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
				ctx := WithMetadata(context.Background(), MD{"k": {"v1", "v2"}})
				ctx, cancel := context.WithTimeout(ctx, time.Minute)
				defer cancel()
				var req any
				if test.req != nil {
					req = test.req
				}
				open(t, ctx, c, test.desc, req)
				r := p.wantRequest("B36", 1, test.flags)
				if string(r.Payload) != test.payload {
					t.Errorf("B36: the payload is %q, want %q", r.Payload, test.payload)
				}
				if len(r.Metadata) != 2 || r.Metadata[1].Value != "v2" || r.TimeoutNano != int64(time.Minute) {
					t.Errorf("B17: metadata %v, timeout %v", r.Metadata, r.TimeoutNano)
				}
				p.send(1, messageTypeData, flagRemoteClosed|flagNoData, nil)
				synctest.Wait()
			})
		})
	}
}

func TestStreamSending(t *testing.T) {
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		s := open(t, context.Background(), c, bidi, nil)
		p.wantRequest("", 1, flagRemoteOpen|flagNoData)
		if err := errors.Join(s.SendMsg(wrapperspb.String("a")), s.SendMsg(nil), s.SendMsg(wrapperspb.String(""))); err != nil {
			t.Error(err)
		}
		p.want("B39", 1, messageTypeData, 0, []byte("\n\x01a"))
		p.want("B20: SendMsg(nil)", 1, messageTypeData, 0, nil)
		p.want("B39: an empty message", 1, messageTypeData, 0, nil)
		var big *OversizedMessageErr
		if err := s.SendMsg(wrapperspb.Bytes(make([]byte, messageLengthMax))); !errors.As(err, &big) {
			t.Errorf("B6: %v", err)
		}
		if err := s.SendMsg(5); err == nil || err.Error() != "ttrpc: cannot marshal unknown type: int" {
			t.Errorf("B44: %v", err)
		}
		if err := s.CloseSend(); err != nil {
			t.Error(err)
		}
		p.want("B39: the half-close", 1, messageTypeData, flagRemoteClosed|flagNoData, nil)
		if err := s.SendMsg(nil); err != ErrStreamClosed {
			t.Errorf("B20: SendMsg: %v", err)
		}
		if err := s.CloseSend(); err != ErrStreamClosed {
			t.Errorf("B20: CloseSend: %v", err)
		}
		p.wantNothing("B20")
		p.send(1, messageTypeData, 0, []byte("\n\x01b"))
		wantRecv(t, "what comes after our half-close", s, "b", nil)
		p.send(1, messageTypeData, flagRemoteClosed|flagNoData, nil)
		wantRecv(t, "B21", s, "", io.EOF)
		wantRecv(t, "B21", s, "", io.EOF)

		one := open(t, context.Background(), c, serverStreams, nil)
		if err := one.SendMsg(nil); !errors.Is(err, ErrProtocol) {
			t.Errorf("B20: SendMsg where the client does not stream: %v", err)
		}
		if err := one.CloseSend(); !errors.Is(err, ErrProtocol) {
			t.Errorf("B20: CloseSend where the client does not stream: %v", err)
		}
		p.wantRequest("", 3, flagRemoteClosed)
		p.wantNothing("B20")
		p.respond(3, nil, nil)
		wantRecv(t, "success as a response", one, "", io.EOF)
	})
}

func TestStreamEndings(t *testing.T) {
	aborted := status.New(codes.Aborted, "no")
	for name, test := range map[string]struct {
		desc *StreamDesc
		send func(p *rawPeer)
		want []string // messages
		end  func(err error) bool
	}{
		"closed": {bidi, func(p *rawPeer) {
			p.send(1, messageTypeData, 0, []byte("\n\x01a"))
			p.send(1, messageTypeData, flagRemoteClosed|flagNoData, nil)
		}, []string{"a"}, func(err error) bool { return err == io.EOF }},
		"a message marked as none, as released servers send nil": {serverStreams, func(p *rawPeer) {
			p.send(1, messageTypeData, flagNoData, nil)
			p.send(1, messageTypeData, flagRemoteClosed|flagNoData, nil)
		}, []string{""}, func(err error) bool { return err == io.EOF }},
		"closed with a message": {serverStreams, func(p *rawPeer) {
			p.send(1, messageTypeData, flagRemoteClosed, []byte("\n\x01a"))
		}, []string{"a"}, func(err error) bool { return err == io.EOF }},
		"status": {bidi, func(p *rawPeer) {
			p.send(1, messageTypeData, 0, nil)
			p.respond(1, aborted, nil)
		}, []string{""}, func(err error) bool { return status.Code(err) == codes.Aborted }},
		"result": {clientStreams, func(p *rawPeer) { p.respond(1, nil, wrapperspb.String("sum")) },
			[]string{"sum"}, func(err error) bool { return err == io.EOF }},
		"empty result": {clientStreams, func(p *rawPeer) { p.respond(1, nil, nil) },
			[]string{""}, func(err error) bool { return err == io.EOF }},
		"a result that does not parse": {clientStreams, func(p *rawPeer) {
			p.send(1, messageTypeResponse, 0, wire.Response{Payload: []byte{0xff}}.Append(nil))
		}, nil, func(err error) bool { return err != nil && err != io.EOF }},
		"status instead of a result": {clientStreams, func(p *rawPeer) { p.respond(1, aborted, nil) },
			nil, func(err error) bool { return status.Code(err) == codes.Aborted }},
		"data where the server does not stream": {clientStreams, func(p *rawPeer) { p.send(1, messageTypeData, 0, nil) },
			nil, func(err error) bool { return errors.Is(err, ErrProtocol) }},
		"a request": {bidi, func(p *rawPeer) { p.send(1, messageTypeRequest, 0, nil) },
			nil, func(err error) bool { return errors.Is(err, ErrProtocol) }},
		"an unknown type": {bidi, func(p *rawPeer) { p.send(1, 0x42, 0, nil) },
			nil, func(err error) bool { return errors.Is(err, ErrProtocol) }},
		"over the limit": {bidi, func(p *rawPeer) { p.send(1, messageTypeData, 0, make([]byte, messageLengthMax+1)) },
			nil, func(err error) bool { return status.Code(err) == codes.ResourceExhausted }},
	} {
		t.Run(name, func(t *testing.T) {
			onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
				s := open(t, context.Background(), c, test.desc, nil)
				p.next("")
				test.send(p)
				wantClean(t, "B21: after the end, before RecvMsg", connOf(c))
				for _, want := range test.want {
					wantRecv(t, "B21", s, want, nil)
				}
				for range 2 {
					if err := s.RecvMsg(new(wrapperspb.StringValue)); !test.end(err) {
						t.Errorf("B21: the end is %v", err)
					}
				}
				if test.desc.StreamingClient {
					endedSends(t, s, p)
				}
			})
		})
	}
}

// TestStreamEmptyFirstMessage holds that an explicit first message arrives even
// if it is empty, which no request can tell.
func TestStreamEmptyFirstMessage(t *testing.T) {
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		open(t, context.Background(), c, clientStreams, wrapperspb.String(""))
		p.wantRequest("B36", 1, flagRemoteOpen|flagNoData)
		p.want("B36", 1, messageTypeData, 0, nil)
		p.respond(1, nil, nil)
		synctest.Wait()
	})
}

// endedSends holds that what is sent on a stream that has ended is not written.
func endedSends(t *testing.T, s ClientStream, p *rawPeer) {
	t.Helper()
	if err := s.SendMsg(nil); err == ErrClosed || err == ErrStreamClosed {
		t.Errorf("SendMsg after the end: %v", err)
	}
	s.CloseSend()
	if err := s.CloseSend(); err != ErrStreamClosed {
		t.Errorf("B20: CloseSend twice: %v", err)
	}
	p.wantNothing("B21: after the end")
}

func TestStreamContextEnds(t *testing.T) {
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		ctx, cancel := context.WithCancel(context.Background())
		s := open(t, ctx, c, bidi, nil)
		received := make(chan error, 1)
		go func() { received <- s.RecvMsg(new(wrapperspb.StringValue)) }()
		p.wantRequest("", 1, flagRemoteOpen|flagNoData)
		cancel()
		if err := <-received; err != context.Canceled {
			t.Errorf("B4: RecvMsg: %v", err)
		}
		wantClean(t, "B21: nobody waits for an abandoned stream", connOf(c))
		if err := s.SendMsg(nil); err != context.Canceled {
			t.Errorf("B4: SendMsg: %v", err)
		}
		p.send(1, messageTypeData, 0, nil)
		p.respond(1, nil, nil)
		wantRecv(t, "B21", s, "", context.Canceled)
		p.wantNothing("B42: classic ttrpc has no word for it")

		ctx, cancel = context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		s = open(t, ctx, c, serverStreams, nil)
		p.next("")
		wantRecv(t, "B4", s, "", context.DeadlineExceeded)
	})
}

// TestStreamWithdrawn holds that of a stream whose request was not written
// nothing is.
func TestStreamWithdrawn(t *testing.T) {
	onClientOver(t, 100, func(t *testing.T, c *Client, p *rawPeer) {
		block, unblock := context.WithCancel(context.Background())
		defer unblock()
		go c.Call(block, "test", "Big", wrapperspb.Bytes(make([]byte, 1000)), new(wrapperspb.StringValue))
		synctest.Wait()
		ctx, cancel := context.WithCancel(context.Background())
		s := open(t, ctx, c, bidi, nil)
		kept := open(t, context.Background(), c, bidi, nil)
		if err := errors.Join(s.SendMsg(nil), kept.SendMsg(nil), s.CloseSend()); err != nil {
			t.Error(err)
		}
		cancel()
		synctest.Wait()
		go p.receive()
		p.next("the call")
		if f := p.next("the stream that was kept"); f.StreamID != 5 {
			t.Errorf("B18: a %v came on %d", f.Type, f.StreamID)
		}
		p.want("its message", 5, messageTypeData, 0, nil)
		p.wantNothing("B18: what was withdrawn")
	})
}

// TestSendersWaitForRoom holds that senders on streams do not fill the memory
// when the peer does not read, and wake when it does or the stream ends.
func TestSendersWaitForRoom(t *testing.T) {
	onClientOver(t, 100, func(t *testing.T, c *Client, p *rawPeer) {
		ctx, cancel := context.WithCancel(context.Background())
		s := open(t, ctx, c, bidi, nil)
		sent := make(chan int, 1)
		go func() {
			n := 0
			for s.SendMsg(wrapperspb.Bytes(make([]byte, 1000))) == nil {
				n++
			}
			sent <- n
		}()
		synctest.Wait()
		connOf(c).mu.Lock()
		if held := connOf(c).out.bytes; held > 2*maxPending {
			t.Errorf("%d bytes are queued", held)
		}
		connOf(c).mu.Unlock()
		cancel()
		if n := <-sent; n > 200 {
			t.Errorf("%d messages were taken while the peer did not read", n)
		}
	})
}

// TestClosedClientsStreams holds that the end of a connection is no half-close.
func TestClosedClientsStreams(t *testing.T) {
	onClient(t, func(t *testing.T, c *Client, _ *rawPeer) {
		s, err := c.NewStream(context.Background(), bidi, "test", "Bidi", nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		for range 2 {
			if err := s.CloseSend(); err != ErrClosed {
				t.Errorf("B1: CloseSend: %v", err)
			}
		}
		if err := s.SendMsg(nil); err != ErrClosed {
			t.Errorf("B1: SendMsg: %v", err)
		}
	})
}
