// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !v1.0 && !v1.1

package main

import (
	"context"
	"fmt"
	"io"
	"log"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// serverStream asks for n messages.
func serverStream(method string, n int64) func(*session) {
	return func(s *session) {
		s.drain(s.stream(context.Background(), method, false, true, wrapperspb.Int64(n)))
		s.still()
	}
}

func serverStreamRequest(s *session) {
	s.drain(s.stream(context.Background(), "Request", false, true, text("the request")))
}

func serverStreamRequestTwice(s *session) {
	s.drain(s.stream(context.Background(), "RequestTwice", false, true, text("the request")))
}

// streamErrorTwice receives after the stream has failed.
func streamErrorTwice(s *session) {
	stream := s.stream(context.Background(), "CountThenFail", false, true, wrapperspb.Int64(1))
	s.drain(stream)
	s.receiveAgain(stream)
	s.still()
}

func serverStreamNilRequest(s *session) {
	s.drain(s.stream(context.Background(), "Request", false, true, nil))
	s.still()
}

// oddStreamMessages has the server send and receive what does not fit.
func oddStreamMessages(s *session) {
	for _, method := range []string{"WrongMessage", "InvalidMessage", "WrongRequestType"} {
		stream := s.stream(context.Background(), method, false, true, wrapperspb.Bytes([]byte("\xff")))
		s.note(method, "", stream.RecvMsg(new(textValue)))
	}
	stream := s.stream(context.Background(), "Request", false, true, wrapperspb.Bytes([]byte("\xff")))
	s.note("request that does not parse", "", stream.RecvMsg(new(textValue)))
	stream = s.stream(context.Background(), "Count", false, true, wrapperspb.Int64(1))
	s.note("message that does not parse", "", stream.RecvMsg(new(intValue)))
	s.still()
}

func serverStreamOversized(s *session) {
	s.drain(s.stream(context.Background(), "Oversized", false, true, new(empty)))
	s.still()
}

// clientStream sends n messages.
func clientStream(method string, n int) func(*session) {
	return func(s *session) {
		stream := s.stream(context.Background(), method, true, false, nil)
		for i := range n {
			s.send(stream, fmt.Sprintf("message %d", i))
		}
		s.closeSend(stream)
		s.result(stream)
		s.still()
	}
}

func clientStreamFails(s *session) {
	stream := s.stream(context.Background(), "SumThenFail", true, false, nil)
	s.send(stream, "one", "two")
	s.result(stream)
	s.still()
}

func clientStreamOversized(s *session) {
	stream := s.stream(context.Background(), "Sum", true, false, nil)
	s.send(stream, "before")
	s.note("oversized", "", stream.SendMsg(text("%s", pattern(messageLimit+1))))
	s.send(stream, "after")
	s.closeSend(stream)
	s.result(stream)
	s.still()
}

// relayed sends a message and notes what comes back.
func (s *session) relayed(stream ttrpc.ClientStream, name string, message any) {
	if err := stream.SendMsg(message); err != nil {
		s.note(name, "", err)
		return
	}
	messages, err := receive(stream, 1)
	s.note(name, summary(messages), err)
}

func pingPong(s *session) {
	stream := s.bidi("Relay")
	for i := range 20 {
		s.relayed(stream, fmt.Sprintf("round %d", i), text("ball %d", i))
	}
	s.closeSend(stream)
	s.drain(stream)
	s.still()
}

// pipelined sends without waiting for what comes back.
func pipelined(s *session) {
	stream := s.bidi("Relay")
	go func() {
		for i := range 1000 {
			if err := stream.SendMsg(text("message %d", i)); err != nil {
				log.Fatal(err)
			}
		}
		if err := stream.CloseSend(); err != nil {
			log.Fatal(err)
		}
	}()
	s.drain(stream)
	s.still()
}

func halfClose(s *session) {
	stream := s.bidi("Reverse")
	s.send(stream, "one", "two", "three")
	s.closeSend(stream)
	s.drain(stream)
	s.still()
}

func bidiFails(s *session) {
	stream := s.bidi("RelayThenFail")
	s.relayed(stream, "first", text("one"))
	s.relayed(stream, "second", text("two"))
	s.drain(stream)
	s.still()
}

// serverEndsStream has the server close its side, and the stream, before the client does.
func serverEndsStream(s *session) {
	stream := s.bidi("RelayThenEnd")
	s.relayed(stream, "first", text("one"))
	s.relayed(stream, "second", text("two"))
	s.drain(stream)
	err := stream.SendMsg(text("late"))
	if agreed(s.client) { // B71: there it tells of the end
		if err != io.EOF {
			err = fmt.Errorf("sending in extended mode returned %v, not io.EOF", err)
		} else {
			err = nil
		}
	}
	s.note("sent after the end", "", err)
	s.still()
}

func bidiEmpty(s *session) {
	stream := s.bidi("Relay")
	s.relayed(stream, "empty", text(""))
	s.relayed(stream, "nil", nil)
	s.relayed(stream, "full", text("full"))
	s.closeSend(stream)
	s.drain(stream)
	s.still()
}

// bidiFirst has a message in the frame that opens the stream.
func bidiFirst(s *session) {
	stream := s.stream(context.Background(), "Relay", true, true, text("first"))
	s.send(stream, "second")
	s.closeSend(stream)
	s.drain(stream)
}

func bidiContext(s *session) {
	ctx, cancel := hour()
	defer cancel()
	ctx = ttrpc.WithMetadata(ctx, ttrpc.MD{"key": {"value", "second"}})
	stream := s.stream(ctx, "Context", true, true, nil)
	messages, err := receive(stream, 2)
	for i, m := range messages {
		s.note([]string{"metadata", "deadline"}[i], m, nil)
	}
	s.note("both", "", err)
	s.closeSend(stream)
	s.drain(stream)
}

func bidiCancel(s *session) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream := s.stream(ctx, "Relay", true, true, nil)
	s.relayed(stream, "before", text("x"))
	cancel()
	s.note("received", "", stream.RecvMsg(new(textValue)))
	s.still()
}

// bidiDeadline has the caller's deadline pass while the server has nothing to send.
func bidiDeadline(s *session) {
	ctx := pastDeadline{context.Background(), make(chan struct{})}
	stream := s.stream(ctx, "Relay", true, true, nil)
	s.relayed(stream, "before", text("x"))
	close(ctx.passed)
	s.note("received", "", stream.RecvMsg(new(textValue)))
	s.still()
}

// misuse uses streams as they are not meant to be.
func misuse(s *session) {
	stream := s.bidi("Relay")
	s.note("no message sent", "", stream.SendMsg("text"))
	s.note("CloseSend", "", stream.CloseSend())
	s.note("CloseSend again", "", stream.CloseSend())
	s.note("sent after CloseSend", "", stream.SendMsg(text("late")))
	s.note("received after CloseSend", "", stream.RecvMsg(new(textValue)))

	stream = s.bidi("Relay")
	s.send(stream, "x")
	s.note("received into no message", "", stream.RecvMsg(new(string)))
	s.relayed(stream, "after it", text("y"))
	if err := stream.CloseSend(); err != nil {
		log.Fatal(err)
	}
	s.note("end", "", stream.RecvMsg(new(textValue)))

	stream = s.stream(context.Background(), "Count", false, true, wrapperspb.Int64(1))
	s.note("sent where the server streams", "", stream.SendMsg(text("x")))
	s.note("CloseSend where the server streams", "", stream.CloseSend())
	s.drain(stream)
	s.still()
}

func streamUnimplemented(s *session) {
	ctx := context.Background()
	both := &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}
	for _, names := range [][2]string{{serviceName, "Nothing"}, {"compat.Nothing", "Relay"}} {
		stream, err := s.client.NewStream(ctx, both, names[0], names[1], nil)
		if err != nil {
			log.Fatal(err)
		}
		s.note("/"+names[0]+"/"+names[1], "", stream.RecvMsg(new(textValue)))
	}
	s.still()
}

// crossed opens a unary method as a stream, and calls a streaming one.
func crossed(s *session) {
	stream := s.stream(context.Background(), "Text", false, true, text("x"))
	messages, err := receive(stream, 1)
	s.note("unary method as a stream", summary(messages), err)
	s.call("stream without messages as a method", "Count", wrapperspb.Int64(0))
	s.still()
}

// streamsOfAny opens streams, and ends them as a caller does who gets an error.
func streamsOfAny(s *session) {
	s.drain(s.stream(context.Background(), "Count", false, true, &intValue{Value: 2}))

	stream := s.stream(context.Background(), "Sum", true, false, nil)
	for i := range 3 {
		s.note(fmt.Sprintf("sent %d", i), "", stream.SendMsg(text("message %d", i)))
	}
	s.closeSend(stream)
	s.result(stream)

	stream = s.bidi("Relay")
	s.relayed(stream, "relayed", text("x"))
	s.note("CloseSend of both", "", stream.CloseSend())
	s.still()
}
