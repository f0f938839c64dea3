// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpc_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
	"github.com/containerd/ttrpc/integration/grpc/ways"
	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/internal/wire"
)

// hello is what hostile peers begin with, as the extended mode wants it.
var hello = wire.Hello{Version: wire.HelloVersion, Metadata: true, MaxMessage: 4 << 20, Window: 1 << 20, ConnectionWindow: 16 << 20, Serves: true}

// A frame is one of a stream that is told later.
type frame struct {
	kind  wire.Type
	flags uint8
	data  []byte
}

// header and trailer are metadata frames.
func header(pairs ...string) frame { return frame{wire.TypeMetadata, 0, pairsOf(pairs)} }
func trailer(pairs ...string) frame {
	return frame{wire.TypeMetadata, wire.FlagTrailer, pairsOf(pairs)}
}

func pairsOf(pairs []string) (b []byte) {
	for i := 0; i < len(pairs); i += 2 {
		b = wire.AppendMetadata(b, pairs[i], pairs[i+1])
	}
	return b
}

// ended is a response; its status is encoded, or garbage.
func ended(status string, payload string) frame {
	return frame{wire.TypeResponse, 0, wire.Response{Status: []byte(status), Payload: []byte(payload)}.Append(nil)}
}

// message is data.
func message(payload string) frame { return frame{wire.TypeData, 0, []byte(payload)} }

// last is the end of a stream that has succeeded.
var last = frame{wire.TypeData, wire.FlagRemoteClosed | wire.FlagNoData, nil}

// garbage is no message, and no status.
const garbage = "\xff\xff\xff"

// What a hostile server answers, to a unary call and to a stream, and what stubs make of it.
// After the frames it closes the connection.
var hostileServers = []struct {
	name, unary, stream string
	frames              []frame
}{
	{"nothing", "Unavailable", "Unavailable", nil},
	{"an answer, and no more", "OK", "EOF", []frame{ended("", "")}},
	{"a header whose -bin value is no base64", "Internal", "Internal", []frame{header("a-bin", "!"), ended("", ""), last}},
	{"a trailer whose -bin value is no base64", "Internal", "Internal", []frame{trailer("a-bin", "!"), ended("", ""), last}},
	{"reserved names in header and trailer", "OK", "EOF", []frame{header("grpc-status", "13", ":path", "x"), trailer("grpc-status", "13", "te", "x"), ended("", ""), last}},
	{"a status that is none", "Internal", "Internal", []frame{ended(garbage, "")}},
	{"a status with a code that gRPC has not", "Code(999)", "Code(999)", []frame{ended("\x08\xe7\x07", "")}},
	{"a status whose text is no UTF-8", "Internal", "Internal", []frame{ended("\x08\x0a\x12\x02a\xff", "")}},
	{"an answer that is no message", "Internal", "Internal", []frame{ended("", garbage), message(garbage), last}},
	{"two headers", "Internal", "Internal", []frame{header("a", "b"), header("a", "b"), ended("", ""), last}},
	{"a header after a message", "Internal", "Internal", []frame{message(""), header("a", "b"), last}},
	{"a header after the trailer", "Internal", "Internal", []frame{trailer("a", "b"), header("a", "b"), ended("", ""), last}},
	{"a trailer, and no end", "Unavailable", "Unavailable", []frame{trailer("a", "b")}},
	{"metadata that is none", "Unavailable", "Unavailable", []frame{{wire.TypeMetadata, 0, []byte(garbage)}, ended("", ""), last}},
	{"metadata of more than 64 KiB", "Unavailable", "Unavailable", []frame{header("a", strings.Repeat("x", 65<<10)), ended("", ""), last}},
	{"an unknown type that must be known", "Unavailable", "Unavailable", []frame{{wire.Type(0x7f), 0, nil}, ended("", ""), last}},
	{"an unknown type that may be ignored", "OK", "EOF", []frame{{wire.TypeOptional, 0, nil}, ended("", ""), last}},
	{"a request", "Internal", "Internal", []frame{{wire.TypeRequest, 0, []byte(garbage)}, ended("", ""), last}},
	{"a cancel, which is the client's", "Internal", "Internal", []frame{{wire.TypeCancel, 0, nil}, ended("", ""), last}},
}

// TestHostileServers has servers that keep to no rule answer a unary call and a stream: nothing
// crashes or hangs, and the codes are what they should be.
func TestHostileServers(t *testing.T) {
	for _, h := range hostileServers {
		t.Run(h.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), testkit.Hang)
			defer cancel()
			err := testHostile(t, h.frames).Invoke(ctx, "/grpc.testing.TestService/UnaryCall", new(request), new(response), grpc.Header(new(metadata.MD)), grpc.Trailer(new(metadata.MD)))
			if got := code(err); got != h.unary {
				t.Errorf("B129: a unary call: %s, want %s (%v)", got, h.unary, err)
			}
			ss, err := testgrpc.NewTestServiceClient(testHostile(t, h.frames)).FullDuplexCall(ctx)
			if err == nil {
				ss.Header()
				for err == nil {
					_, err = ss.Recv()
				}
				ss.Trailer()
			}
			if got := code(err); got != h.stream {
				t.Errorf("B129: a stream: %s, want %s (%v)", got, h.stream, err)
			}
		})
	}
}

// testHostile returns a connection to a server that answers the first call with frames.
func testHostile(t *testing.T, frames []frame) grpc.ClientConnInterface {
	link := ways.NewLink(t, ways.Setup{})
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := link.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			h, data, err := readFrame(conn)
			switch {
			case err != nil:
				return
			case h.Type == wire.TypeRequest && wire.IsHello(data):
				answered := wire.Response{Payload: hello.Append(nil)}.Append(nil)
				conn.Write(wire.AppendFrame(nil, h.StreamID, wire.TypeResponse, 0, answered))
			case h.Type == wire.TypeRequest:
				conn.Write(framesOf(h.StreamID, frames))
				return
			}
		}
	}()
	t.Cleanup(func() { <-served })
	conn, err := link.Dial(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn, ttrpc.WithExtensions())
	t.Cleanup(func() { client.Close() })
	return grpcttrpc.NewClientConn(client)
}

func framesOf(id uint32, frames []frame) (b []byte) {
	for _, f := range frames {
		b = wire.AppendFrame(b, id, f.kind, f.flags, f.data)
	}
	return b
}

func readFrame(r io.Reader) (wire.Header, []byte, error) {
	b := make([]byte, wire.HeaderLength)
	if _, err := io.ReadFull(r, b); err != nil {
		return wire.Header{}, nil, err
	}
	h, err := wire.ParseHeader(b)
	if err != nil {
		return h, nil, err
	}
	data := make([]byte, h.Length)
	_, err = io.ReadFull(r, data)
	return h, data, err
}

const open = wire.FlagRemoteOpen

// asks is a request frame.
func asks(method, payload string, flags uint8, pairs ...string) frame {
	r := wire.Request{Service: "grpc.testing.TestService", Method: method, Payload: []byte(payload)}
	for i := 0; i < len(pairs); i += 2 {
		r.Metadata = append(r.Metadata, wire.KeyValue{Key: pairs[i], Value: pairs[i+1]})
	}
	return frame{wire.TypeRequest, flags, r.Append(nil)}
}

// What hostile clients send, and what they are answered: the code, or that the connection ends.
var hostileClients = []struct {
	name, want string
	frames     []frame
}{
	{"a call as it should be", "OK", []frame{asks("UnaryCall", "", 0)}},
	{"a -bin value that is no base64", "Internal", []frame{asks("UnaryCall", "", 0, "a-bin", "!")}},
	{"a -bin value that is no base64, on a stream", "Internal", []frame{asks("FullDuplexCall", "", open, "a-bin", "!")}},
	{"names that gRPC reserves", "OK", []frame{asks("UnaryCall", "", 0, "grpc-status", "1", ":path", "x", "te", "x")}},
	{"names and values that gRPC does not know", "OK", []frame{asks("UnaryCall", "", 0, "A b", "\x01", "", "")}},
	{"a request that is no message", "Internal", []frame{asks("UnaryCall", garbage, 0)}},
	{"a message of a stream that is none", "Internal", []frame{asks("FullDuplexCall", "", open), message(garbage)}},
	{"a unary method called as a stream", "OK", []frame{asks("UnaryCall", "", open)}},
	{"a stream called as unary", "OK", []frame{asks("FullDuplexCall", "", 0)}},
	{"metadata, which is the server's", "InvalidArgument", []frame{asks("FullDuplexCall", "", open), header("a", "b")}},
	{"a cancel whose status is none", "Canceled", []frame{asks("FullDuplexCall", "", open), {wire.TypeCancel, 0, []byte(garbage)}}},
}

// TestHostileClients has clients that keep to no rule call a server of gRPC's services: it
// answers them with the right code, and goes on serving others.
func TestHostileClients(t *testing.T) {
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{t: t, way: ways.TTRPC, ctx: t.Context()}
	b.unary = func(context.Context, *request) (*response, error) { return new(response), nil }
	b.stream = func(ss duplex) error {
		for {
			if _, err := ss.Recv(); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
	testgrpc.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), service{bed: b})
	link := ways.NewLink(t, ways.Setup{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), link) }()
	for _, h := range hostileClients {
		t.Run(h.name, func(t *testing.T) {
			conn, err := link.Dial(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if got := converse(conn, h.frames); got != h.want {
				t.Errorf("B121, B123: %s, want %s", got, h.want)
			}
		})
	}
	conn, err := link.Dial(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn, ttrpc.WithExtensions())
	defer client.Close()
	b.stub = testgrpc.NewTestServiceClient(grpcttrpc.NewClientConn(client))
	if got := b.next(); got != "OK" {
		t.Errorf("a client as it should be: %s, want OK", got)
	}
	server.Close()
	<-served
}

// converse says hello and then sends frames, and returns how stream 3 ends.
func converse(conn net.Conn, frames []frame) string {
	conn.SetDeadline(time.Now().Add(testkit.Hang))
	said := wire.AppendFrame(nil, 1, wire.TypeRequest, 0, wire.HelloRequest(hello.Append(nil)))
	go conn.Write(append(said, framesOf(3, frames)...))
	for {
		h, data, err := readFrame(conn)
		switch {
		case err != nil:
			return "connection ended"
		case h.StreamID == 3 && h.Type == wire.TypeResponse:
			var r ttrpc.Response
			if err := proto.Unmarshal(data, &r); err != nil {
				return err.Error()
			}
			return code(status.ErrorProto(r.GetStatus()))
		case h.StreamID == 3 && h.Type == wire.TypeData && h.Flags&wire.FlagRemoteClosed != 0:
			return "OK"
		}
	}
}
