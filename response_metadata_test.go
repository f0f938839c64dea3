// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/wire"
)

// metadataHello is what a raw peer says that knows metadata of answers.
func metadataHello() hello {
	h := peerHello()
	h.Metadata = true
	return h
}

// metadataBytes is the data of a metadata frame.
func metadataBytes(pairs ...string) (b []byte) {
	for i := 0; i < len(pairs); i += 2 {
		b = wire.AppendMetadata(b, pairs[i], pairs[i+1])
	}
	return b
}

// describer serves "meta": what it does is the test's.
func describer(s *Server, unary func(context.Context) error, stream func(context.Context, StreamServer) error) {
	s.RegisterService("meta", &ServiceDesc{
		Methods: map[string]Method{"Call": func(ctx context.Context, _ func(any) error) (any, error) {
			return wrapperspb.String("ok"), unary(ctx)
		}},
		Streams: map[string]Stream{"Stream": {StreamingClient: true, StreamingServer: true, Handler: func(ctx context.Context, ss StreamServer) (any, error) {
			return nil, stream(ctx, ss)
		}}},
	})
}

func (p *rawPeer) callMeta(id uint32, flags uint8, method string) {
	p.send(id, messageTypeRequest, flags, encode(p.t, &Request{Service: "meta", Method: method}))
}

// TestResponseMetadataOnTheWire holds what leaves, in which order, and the example of PROTOCOL.md.
func TestResponseMetadataOnTheWire(t *testing.T) {
	onExtendedServer(t, metadataHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		fails := errors.New("asked to fail")
		var result error
		big := bytesOfLength(t, partSize+100)
		describer(ts.Server, func(ctx context.Context) error {
			return errors.Join(SetHeader(ctx, MD{"k": {"v1"}}), SetHeader(ctx, MD{"k": {"v2"}, "a": {"b"}}), SetTrailer(ctx, MD{"t": {"1"}}), result)
		}, func(ctx context.Context, ss StreamServer) error {
			err := errors.Join(SetHeader(ctx, MD{"k": {"v"}}), ss.SendMsg(wrapperspb.String("m")), ss.SendMsg(big), SetTrailer(ctx, MD{"t": {"1"}}))
			if late := SetHeader(ctx, MD{"k": {"v"}}); late != errHeaderSent {
				t.Errorf("B58: a header after a message: %v", late)
			}
			return err
		})
		header := metadataBytes("a", "b", "k", "v1", "k", "v2")
		for i, err := range []error{nil, fails} {
			id := uint32(3 + 2*i)
			result = err
			p.callMeta(id, 0, "Call")
			p.want("B58: the header", id, messageTypeMetadata, 0, header)
			p.want("B58: the trailer", id, messageTypeMetadata, flagTrailer, unhex(t, "2a060a0174120131"))
			if err == nil {
				p.wantResult("B58", id, wrapperspb.String("ok"))
			} else {
				p.wantStatus("B58: an error has metadata", id, codes.Unknown, fails.Error())
			}
			p.wantNothing("B58")
		}
		p.callMeta(7, flagRemoteOpen|flagNoData, "Stream")
		p.want("B58: the header", 7, messageTypeMetadata, 0, unhex(t, "2a060a016b120176"))
		p.want("B58", 7, messageTypeData, 0, encode(t, wrapperspb.String("m")))
		for _, typ := range []messageType{messageTypePart, messageTypeData} {
			if f := p.next("B58"); f.Type != typ {
				t.Fatalf("B58: %v", f.messageHeader)
			}
		}
		p.want("B58: the trailer after a large message", 7, messageTypeMetadata, flagTrailer, metadataBytes("t", "1"))
		p.want("B58", 7, messageTypeData, flagRemoteClosed|flagNoData, nil)
		p.wantNothing("B58")
	})
}

// TestResponseMetadataSentNow holds that SendHeader does not wait for a message, and when it is late.
func TestResponseMetadataSentNow(t *testing.T) {
	onExtendedServer(t, metadataHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		goes := make(chan struct{})
		var kept context.Context
		describer(ts.Server, func(ctx context.Context) error {
			err := errors.Join(SetHeader(ctx, MD{"a": {"1"}}), SendHeader(ctx, MD{"b": {"2"}}))
			if late := SendHeader(ctx, nil); late != errHeaderSent {
				t.Errorf("B58: a second header: %v", late)
			}
			<-goes
			kept = ctx
			return err
		}, func(ctx context.Context, ss StreamServer) error {
			err := SendHeader(ctx, nil)
			<-ctx.Done()
			if late := SetTrailer(ctx, MD{"t": {"1"}}); late != errAnswered {
				t.Errorf("B58: a trailer for a stream that was cancelled: %v", late)
			}
			return err
		})
		p.callMeta(3, 0, "Call")
		p.want("B58", 3, messageTypeMetadata, 0, metadataBytes("a", "1", "b", "2"))
		p.wantNothing("B58: the answer waits")
		close(goes)
		p.wantResult("B58", 3, wrapperspb.String("ok"))
		if err := SetTrailer(kept, MD{"t": {"1"}}); err != errAnswered {
			t.Errorf("B58: a trailer after the answer: %v", err)
		}
		p.callMeta(5, flagRemoteOpen|flagNoData, "Stream")
		p.want("B58: an empty header", 5, messageTypeMetadata, 0, nil)
		p.send(5, messageTypeCancel, 0, nil)
		p.wantStatus("B47", 5, codes.Canceled, "")
		p.wantNothing("B58")
	})
}

// TestResponseMetadataRefused holds what setters refuse, and that nothing of it leaves.
func TestResponseMetadataRefused(t *testing.T) {
	onExtendedServer(t, metadataHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		describer(ts.Server, func(ctx context.Context) error {
			for what, set := range map[string]func(context.Context, MD) error{"header": SetHeader, "header now": SendHeader, "trailer": SetTrailer} {
				for _, md := range []MD{{"k\xff": {"v"}}, {"k": {"v", "\xff"}}} {
					if err := set(ctx, md); err != errNotUTF8 {
						t.Errorf("B58: %s: %q: %v", what, md, err)
					}
				}
				if err := set(ctx, MD{"k": {strings.Repeat("v", maxControl)}}); err == nil || !strings.Contains(err.Error(), "65536 are the most") {
					t.Errorf("B58: %s too large: %v", what, err)
				}
				if err := set(context.Background(), MD{"k": {"v"}}); err != errNoHandler {
					t.Errorf("B58: %s without handler: %v", what, err)
				}
			}
			return nil
		}, nil)
		p.callMeta(3, 0, "Call")
		p.wantResult("B58", 3, wrapperspb.String("ok"))
		p.wantNothing("B58")
	})
}

// TestResponseMetadataLargest holds that what is allowed leaves in one frame, and comes.
func TestResponseMetadataLargest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newBubblePair(t, nil)
		defer p.client.Close()
		most := strings.Repeat("v", maxControl-11)
		if n := sizeOfMetadata(MD{"k": {most}}); n != maxControl {
			t.Fatalf("the test's metadata has %d bytes", n)
		}
		describer(p.server, func(ctx context.Context) error {
			return errors.Join(SetHeader(ctx, MD{"k": {most}}), SetTrailer(ctx, MD{"k": {most}}))
		}, nil)
		ctx, md := WithResponseMetadata(t.Context())
		if err := p.client.Call(ctx, "meta", "Call", wrapperspb.String(""), new(wrapperspb.StringValue)); err != nil {
			t.Fatal(err)
		}
		wantMetadata(t, "B58", md, MD{"k": {most}}, MD{"k": {most}})
	})
}

// wantMetadata requires this to have come of an answer.
func wantMetadata(t *testing.T, rule string, r *ResponseMetadata, header, trailer MD) {
	t.Helper()
	got, err := r.Header(t.Context())
	if err != nil || !reflect.DeepEqual(got, header) {
		t.Errorf("%s: the header is %.100v, %v, want %.100v", rule, got, err, header)
	}
	if got := r.Trailer(); !reflect.DeepEqual(got, trailer) {
		t.Errorf("%s: the trailer is %.100v, want %.100v", rule, got, trailer)
	}
}

// TestResponseMetadataWithoutFeature holds that it is an error where it does not arrive, and that
// not one byte is different.
func TestResponseMetadataWithoutFeature(t *testing.T) {
	refused := func(ctx context.Context) error {
		for _, err := range []error{SetHeader(ctx, MD{"k": {"v"}}), SendHeader(ctx, nil), SetTrailer(ctx, nil)} {
			if err != ErrNoResponseMetadata {
				return fmt.Errorf("B58: %v", err)
			}
		}
		return nil
	}
	read := func(t *testing.T, c *Client, answer func()) {
		ctx, md := WithResponseMetadata(t.Context())
		call := goCall(ctx, c, new(wrapperspb.StringValue))
		answer()
		if err := <-call; err != nil {
			t.Error(err)
		}
		if got, err := md.Header(t.Context()); got != nil || err != ErrNoResponseMetadata || md.Trailer() != nil {
			t.Errorf("B58: the header is %v, %v", got, err)
		}
	}
	t.Run("extended", func(t *testing.T) {
		onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
			describer(e.ts.Server, refused, nil)
			e.peer.callMeta(e.theirs(0), 0, "Call")
			e.peer.wantResult("B58", e.theirs(0), wrapperspb.String("ok"))
			e.peer.wantNothing("B58")
			read(t, e.client, func() { e.peer.next("B58"); e.peer.respond(e.ours(0), nil, nil) })
		})
	})
	t.Run("classic server", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ts := newTestServer(t)
			describer(ts.Server, refused, nil)
			ts.peer.callMeta(1, 0, "Call")
			ts.peer.wantResult("B58", 1, wrapperspb.String("ok"))
			ts.peer.wantNothing("B58")
		})
	})
	t.Run("classic client", func(t *testing.T) {
		onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
			read(t, c, func() { p.next("B58"); p.respond(1, nil, nil) })
		})
	})
}

// TestResponseMetadataReceived holds when it is known.
func TestResponseMetadataReceived(t *testing.T) {
	onExtendedClient(t, metadataHello(), func(t *testing.T, c *Client, p *rawPeer) {
		ctx, md := WithResponseMetadata(t.Context())
		call := goCall(ctx, c, new(wrapperspb.StringValue))
		p.next("B58")
		p.send(3, messageTypeMetadata, 0, metadataBytes("k", "v"))
		wantMetadata(t, "B58: before the answer", md, MD{"k": {"v"}}, nil)
		p.send(3, messageTypeMetadata, flagTrailer, metadataBytes("t", "1", "t", "2"))
		p.respond(3, status.New(codes.Aborted, "why"), nil)
		if err := <-call; status.Code(err) != codes.Aborted {
			t.Errorf("B58: %v", err)
		}
		wantMetadata(t, "B58: of an error", md, MD{"k": {"v"}}, MD{"t": {"1", "2"}})

		ctx, md = WithResponseMetadata(t.Context())
		inner, other := WithResponseMetadata(ctx)
		s := open(t, inner, c, bidi, nil)
		p.next("B58")
		short, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := md.Header(short); err != context.Canceled {
			t.Errorf("B58: a header that has not come: %v", err)
		}
		p.send(5, messageTypeData, 0, nil)
		wantMetadata(t, "B58: a message without a header", md, nil, nil)
		p.send(5, messageTypeMetadata, flagTrailer, metadataBytes("t", "1"))
		p.send(5, messageTypeData, flagRemoteClosed|flagNoData, nil)
		m := new(wrapperspb.StringValue)
		if err := errors.Join(s.RecvMsg(m), endOfStream(s.RecvMsg(m))); err != nil {
			t.Error(err)
		}
		wantMetadata(t, "B58", md, nil, MD{"t": {"1"}})
		wantMetadata(t, "B58: an interceptor's", other, nil, MD{"t": {"1"}})
		p.wantNothing("B58")
	})
}

// TestResponseMetadataNeverComes holds that nobody waits for it in vain.
func TestResponseMetadataNeverComes(t *testing.T) {
	for name, end := range map[string]func(p *rawPeer, cancel func(), c *Client){
		"the call ends":       func(p *rawPeer, _ func(), _ *Client) { p.respond(3, nil, nil) },
		"the caller gives up": func(_ *rawPeer, cancel func(), _ *Client) { cancel() },
		"the peer goes":       func(p *rawPeer, _ func(), _ *Client) { p.conn.Close() },
		"the client closes":   func(_ *rawPeer, _ func(), c *Client) { c.Close() },
	} {
		for _, streams := range []bool{false, true} {
			t.Run(fmt.Sprint(name, streams), func(t *testing.T) {
				onExtendedClient(t, metadataHello(), func(t *testing.T, c *Client, p *rawPeer) {
					ctx, md := WithResponseMetadata(t.Context())
					ctx, cancel := context.WithCancel(ctx)
					defer cancel()
					if streams {
						open(t, ctx, c, bidi, nil)
					} else {
						goCall(ctx, c, new(wrapperspb.StringValue))
					}
					p.next("B58")
					known := make(chan struct{})
					go func() {
						wantMetadata(t, "B58: "+name, md, nil, nil)
						close(known)
					}()
					synctest.Wait()
					select {
					case <-known:
						t.Error("B58: nobody has waited")
					default:
					}
					end(p, cancel, c)
					<-known
				})
			})
		}
	}
	onExtendedClient(t, metadataHello(), func(t *testing.T, c *Client, p *rawPeer) {
		c.Close()
		synctest.Wait()
		ctx, md := WithResponseMetadata(t.Context())
		if err := c.Call(ctx, "s", "m", wrapperspb.String(""), new(wrapperspb.StringValue)); !isTold(err, ErrClosed, true) {
			t.Errorf("B58: %v", err)
		}
		wantMetadata(t, "B58: of a call that was not made", md, nil, nil)
	})
}

// TestResponseMetadataViolations holds what a peer may not send.
func TestResponseMetadataViolations(t *testing.T) {
	header, trailer := raw(3, messageTypeMetadata, 0, metadataBytes("k", "v")), raw(3, messageTypeMetadata, flagTrailer, nil)
	for name, test := range map[string]struct {
		frames []rawFrame
		ends   bool // the connection, not the stream
	}{
		"two headers":            {[]rawFrame{header, header}, false},
		"a header after data":    {[]rawFrame{raw(3, messageTypeData, 0, nil), header}, false},
		"a header after trailer": {[]rawFrame{trailer, header}, false},
		"two trailers":           {[]rawFrame{header, trailer, trailer}, false},
		"malformed":              {[]rawFrame{raw(3, messageTypeMetadata, 0, []byte{0x2a})}, true},
		"no UTF-8":               {[]rawFrame{raw(3, messageTypeMetadata, 0, metadataBytes("k", "\xff"))}, true},
		"malformed, late":        {[]rawFrame{raw(7, messageTypeMetadata, 0, []byte{0x2a})}, true},
		"too large":              {[]rawFrame{raw(3, messageTypeMetadata, 0, make([]byte, maxControl+1))}, true},
	} {
		t.Run(name, func(t *testing.T) {
			onExtendedClient(t, metadataHello(), func(t *testing.T, c *Client, p *rawPeer) {
				ctx, _ := WithResponseMetadata(t.Context())
				s := open(t, ctx, c, bidi, nil)
				p.next("B58")
				for _, f := range test.frames {
					p.wantAlive("B58")
					b := make([]byte, messageHeaderLength)
					f.Put(b)
					p.write(append(b, f.data...))
					synctest.Wait()
				}
				if test.ends {
					p.wantEnd("B56")
					if err := c.Cause(); !errors.Is(err, ErrProtocol) {
						t.Errorf("B56: the cause is %v", err)
					}
					return
				}
				if err := s.RecvMsg(new(wrapperspb.StringValue)); !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), `"metadata"`) {
					t.Errorf("B58: %v", err)
				}
				if f := p.next("B58"); f.Type != messageTypeCancel || parseReason(f.data, 0).Code() != codes.InvalidArgument {
					t.Errorf("B58: %v", f.messageHeader)
				}
				p.send(3, messageTypeMetadata, 0, nil)
				p.send(99, messageTypeMetadata, flagTrailer, metadataBytes("k", "v"))
				p.send(2, messageTypeMetadata, 0, nil)
				p.wantAlive("B58: what is late is ignored")
				p.wantNothing("B58")
			})
		})
	}
	onExtendedServer(t, metadataHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		p.request(3, 0, "Wait", nil)
		<-ts.contexts
		p.send(3, messageTypeMetadata, 0, nil)
		p.wantStatus("B58: a caller sends none", 3, codes.InvalidArgument, string(violationType))
		p.send(3, messageTypeMetadata, 0, nil)
		p.send(9, messageTypeMetadata, 0, nil)
		p.wantNothing("B58: what is late is ignored")
		ts.answers <- nil
	})
}

// TestResponseMetadataOfInterceptors holds that those of both sides see it, on calls and streams in
// both directions.
func TestResponseMetadataOfInterceptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := make(chan string, 8)
		tell := func(side string, r *ResponseMetadata, err error) {
			header, herr := r.Header(t.Context())
			seen <- fmt.Sprintf("%s %v %v %v %v", side, header, r.Trailer(), err, herr)
		}
		server := WithUnaryServerInterceptor(func(ctx context.Context, unmarshal Unmarshaler, info *UnaryServerInfo, method Method) (any, error) {
			answer, err := method(ctx, unmarshal)
			r, rerr := ResponseMetadataFromContext(ctx)
			tell("server", r, errors.Join(rerr, SetTrailer(ctx, MD{"i": {"2"}})))
			return answer, err
		})
		client := WithUnaryClientInterceptor(func(ctx context.Context, req *Request, resp *Response, info *UnaryClientInfo, invoke Invoker) error {
			ctx, r := WithResponseMetadata(ctx)
			err := invoke(ctx, req, resp)
			tell("client", r, err)
			return err
		})
		p := newBubblePair(t, []ServerOpt{server}, client)
		defer p.client.Close()
		describer(p.server, func(ctx context.Context) error {
			return errors.Join(SetHeader(ctx, MD{"h": {"1"}}), SetTrailer(ctx, MD{"t": {"1"}}))
		}, func(ctx context.Context, ss StreamServer) error {
			return errors.Join(SendHeader(ctx, MD{"h": {"1"}}), ss.RecvMsg(new(wrapperspb.StringValue)), SetTrailer(ctx, MD{"t": {"1"}}), io.ErrClosedPipe)
		})
		ctx, r := WithResponseMetadata(t.Context())
		if err := p.client.Call(ctx, "meta", "Call", wrapperspb.String(""), new(wrapperspb.StringValue)); err != nil {
			t.Fatal(err)
		}
		wantMetadata(t, "B58", r, MD{"h": {"1"}}, MD{"i": {"2"}, "t": {"1"}})
		for _, side := range []string{"server", "client"} {
			if got, want := <-seen, side+" map[h:[1]] map[i:[2] t:[1]] <nil> <nil>"; got != want {
				t.Errorf("B58: %s, want %s", got, want)
			}
		}
		ctx, r = WithResponseMetadata(t.Context())
		s, err := p.client.NewStream(ctx, bidi, "meta", "Stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		wantMetadata(t, "B58", r, MD{"h": {"1"}}, nil)
		if err := s.SendMsg(wrapperspb.String("")); err != nil {
			t.Error(err)
		}
		if err := s.RecvMsg(new(wrapperspb.StringValue)); status.Code(err) != codes.Unknown {
			t.Errorf("B58: %v", err)
		}
		wantMetadata(t, "B58", r, MD{"h": {"1"}}, MD{"t": {"1"}})
	})
}

// TestHeaderAfterMessage holds that a header which comes too late is refused, also where
// nothing was set before the message, and that the stream goes on.
func TestHeaderAfterMessage(t *testing.T) {
	onExtendedServer(t, metadataHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		describer(ts.Server, nil, func(ctx context.Context, ss StreamServer) error {
			err := ss.SendMsg(wrapperspb.String("m"))
			for name, late := range map[string]error{"SetHeader": SetHeader(ctx, MD{"k": {"v"}}), "SendHeader": SendHeader(ctx, nil)} {
				if late != errHeaderSent {
					t.Errorf("B58: %s after a message: %v", name, late)
				}
			}
			return errors.Join(err, ss.SendMsg(wrapperspb.String("n")))
		})
		p.callMeta(3, flagRemoteOpen|flagNoData, "Stream")
		for range 2 {
			if f := p.next("B58"); f.Type != messageTypeData {
				t.Errorf("B58: %v came, want a message", f.Type)
			}
		}
	})
}

// TestResponseMetadataOfAttempts holds that of several attempts of an interceptor that of the
// answer which it returns counts, and is not known before; if it returns none, the last.
func TestResponseMetadataOfAttempts(t *testing.T) {
	for name, test := range map[string]struct {
		want      string
		intercept func(first, second *Response, answer *Response) error
	}{
		"the first":  {"1", func(first, _, answer *Response) error { answer.Payload = first.Payload; return nil }},
		"the second": {"2", func(_, second, answer *Response) error { answer.Payload = second.Payload; return nil }},
		"one's own":  {"2", func(_, _, answer *Response) error { answer.Payload = []byte{}; return nil }},
		"an error":   {"2", func(_, _, _ *Response) error { return io.ErrNoProgress }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, md := WithResponseMetadata(t.Context())
				gave := make(chan struct{})
				p := newBubblePair(t, nil, WithUnaryClientInterceptor(func(ctx context.Context, req *Request, answer *Response, _ *UnaryClientInfo, invoke Invoker) error {
					var got [2]Response
					for i := range got {
						if err := invoke(ctx, req, &got[i]); err != nil {
							return err
						}
						synctest.Wait()
						select {
						case <-gave:
							t.Errorf("B58: the header is known after attempt %d", i+1)
						default:
						}
					}
					return test.intercept(&got[0], &got[1], answer)
				}))
				defer p.client.Close()
				n := 0
				p.server.Register("tries", map[string]Method{"Call": func(ctx context.Context, unmarshal func(any) error) (any, error) {
					n++
					return wrapperspb.String("x"), errors.Join(SetHeader(ctx, MD{"h": {fmt.Sprint(n)}}), SetTrailer(ctx, MD{"t": {fmt.Sprint(n)}}))
				}})
				go func() {
					defer close(gave)
					wantMetadata(t, "B58", md, MD{"h": {test.want}}, MD{"t": {test.want}})
				}()
				p.client.Call(ctx, "tries", "Call", wrapperspb.String(""), new(wrapperspb.StringValue))
				<-gave
			})
		})
	}
}

// TestTrailerBehindLargeMessage holds that a trailer leaves behind the parts of the message
// before it, and not at all if the call is given up meanwhile.
func TestTrailerBehindLargeMessage(t *testing.T) {
	for _, test := range []struct {
		givenUp bool
		want    []messageType // but parts
	}{
		{false, []messageType{messageTypeData, messageTypeMetadata, messageTypeData}},
		{true, []messageType{messageTypeResponse}},
	} {
		h := metadataHello()
		h.Window = 8 * partSize
		onStalledServer(t, 1000, h, func(t *testing.T, ts *testServer, p *rawPeer) {
			describer(ts.Server, nil, func(ctx context.Context, ss StreamServer) error {
				return errors.Join(SetTrailer(ctx, MD{"t": {"1"}}), ss.SendMsg(bytesOfLength(t, 4*partSize)))
			})
			p.callMeta(3, flagRemoteOpen|flagNoData, "Stream")
			synctest.Wait()
			if f := p.readFrame(); f.Type != messageTypePart {
				t.Fatalf("B58: %v comes first", f.messageHeader)
			}
			if test.givenUp {
				p.send(3, messageTypeCancel, 0, nil)
				synctest.Wait()
			}
			go p.receive()
			synctest.Wait()
			var got []messageType
			for _, f := range p.frames {
				if f.Type != messageTypePart {
					got = append(got, f.Type)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("B58: given up %v: %v follow, want %v", test.givenUp, got, test.want)
			}
		})
	}
}
