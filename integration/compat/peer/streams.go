// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !v1.0 && !v1.1

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/containerd/ttrpc"
)

func (s *server) register() {
	s.ttrpc.RegisterService(serviceName, &ttrpc.ServiceDesc{Methods: s.methods(), Streams: s.streams()})
}

func (s *server) streams() map[string]ttrpc.Stream {
	const client, server = true, true
	return map[string]ttrpc.Stream{
		"Count":            {Handler: count, StreamingServer: server},
		"CountThenFail":    {Handler: countThenFail, StreamingServer: server},
		"Empties":          {Handler: empties, StreamingServer: server},
		"Nils":             {Handler: nils, StreamingServer: server},
		"Request":          {Handler: sendRequest, StreamingServer: server},
		"RequestTwice":     {Handler: requestTwice, StreamingServer: server},
		"Oversized":        {Handler: oversized, StreamingServer: server},
		"WrongMessage":     {Handler: wrongMessage, StreamingServer: server},
		"InvalidMessage":   {Handler: invalidMessage, StreamingServer: server},
		"WrongRequestType": {Handler: wrongRequestType, StreamingServer: server},
		"Sum":              {Handler: sum, StreamingClient: client},
		"SumThenFail":      {Handler: sumThenFail, StreamingClient: client},
		"SumToNil":         {Handler: sumToNil, StreamingClient: client},
		"SendBack":         {Handler: sendBack, StreamingClient: client},
		"Relay":            {Handler: relay, StreamingClient: client, StreamingServer: server},
		"RelayThenEnd":     {Handler: relayTwo(nil), StreamingClient: client, StreamingServer: server},
		"RelayThenFail":    {Handler: relayTwo(failures["status with details"]), StreamingClient: client, StreamingServer: server},
		"Reverse":          {Handler: reverse, StreamingClient: client, StreamingServer: server},
		"Context":          {Handler: streamContext, StreamingClient: client, StreamingServer: server},
		"Watch":            {Handler: s.watch, StreamingClient: client, StreamingServer: server},
	}
}

// count sends as many messages as the request says.
func count(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	return nil, repeat(stream, func(i int) any { return text("message %d", i) })
}

func countThenFail(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
	if _, err := count(ctx, stream); err != nil {
		return nil, err
	}
	return nil, failures["status with details"]
}

func empties(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	return nil, repeat(stream, func(int) any { return text("") })
}

func nils(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	return nil, repeat(stream, func(int) any { return nil })
}

// repeat sends as many messages as the request says.
func repeat(stream ttrpc.StreamServer, message func(i int) any) error {
	var n intValue
	if err := stream.RecvMsg(&n); err != nil {
		return err
	}
	for i := range int(n.Value) {
		if err := stream.SendMsg(message(i)); err != nil {
			return err
		}
	}
	return nil
}

// sendRequest sends what it received.
func sendRequest(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	messages, err := receive(stream, 1)
	if err != nil {
		return nil, err
	}
	return nil, stream.SendMsg(text("%s", summary(messages)))
}

// requestTwice sends what it got when it received again.
func requestTwice(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	_, err := receive(stream, 2)
	return nil, stream.SendMsg(text("%v", err))
}

// oversized sends what is too large, and then what became of that.
func oversized(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	err := stream.SendMsg(text("%s", pattern(messageLimit+1)))
	return nil, stream.SendMsg(text("%v", err))
}

func wrongMessage(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	return nil, stream.SendMsg("text")
}

func invalidMessage(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	return nil, stream.SendMsg(&textValue{Value: "\xff"})
}

func wrongRequestType(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	return nil, stream.RecvMsg(new(string))
}

// sum answers with a summary of all messages.
func sum(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	messages, err := receive(stream, -1)
	if err != io.EOF {
		return nil, err
	}
	return text("%s", summary(messages)), nil
}

// sumThenFail fails after two messages, whatever else the client sends.
func sumThenFail(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	if _, err := receive(stream, 2); err != nil {
		return nil, err
	}
	return nil, failures["status with details"]
}

func sumToNil(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	if _, err := receive(stream, -1); err != io.EOF {
		return nil, err
	}
	return nil, nil
}

// sendBack sends where the server does not stream, and answers with the error.
func sendBack(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	if _, err := receive(stream, -1); err != io.EOF {
		return nil, err
	}
	err := stream.SendMsg(text("back"))
	return text("%v; ErrProtocol: %t", err, errors.Is(err, ttrpc.ErrProtocol)), nil
}

// relay sends back what it receives, one by one.
func relay(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	for {
		messages, err := receive(stream, 1)
		if err == io.EOF {
			return nil, nil
		}
		if err == nil {
			err = stream.SendMsg(text("%s", messages[0]))
		}
		if err != nil {
			return nil, err
		}
	}
}

// relayTwo relays two messages and then ends, with err.
func relayTwo(err error) ttrpc.StreamHandler {
	return func(_ context.Context, stream ttrpc.StreamServer) (any, error) {
		for range 2 {
			messages, err := receive(stream, 1)
			if err == nil {
				err = stream.SendMsg(text("%s", messages[0]))
			}
			if err != nil {
				return nil, err
			}
		}
		return nil, err
	}
}

// reverse sends nothing before the client has closed its side.
func reverse(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	messages, err := receive(stream, -1)
	if err != io.EOF {
		return nil, err
	}
	slices.Reverse(messages)
	for _, m := range messages {
		if err := stream.SendMsg(text("%s", m)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// streamContext sends what the context holds, and waits for the client to close its side.
func streamContext(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
	if err := stream.SendMsg(text("%s", metadataOf(ctx))); err != nil {
		return nil, err
	}
	if err := stream.SendMsg(text("%s", deadlineOf(ctx))); err != nil {
		return nil, err
	}
	if _, err := receive(stream, -1); err != io.EOF {
		return nil, err
	}
	return nil, nil
}

// watch notes how its stream and its context end. The first message is the name of
// the run.
func (s *server) watch(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
	first, err := receive(stream, 1)
	if err != nil {
		return nil, err
	}
	r := s.run(first[0])
	close(r.started)
	if _, err = receive(stream, -1); err == io.EOF {
		close(r.closed)
	}
	<-ctx.Done()
	r.noted <- fmt.Sprintf("RecvMsg: %v; context: %v", err, ctx.Err())
	return nil, err
}

// receive takes n messages, or as many as there are before an error.
func receive(stream interface{ RecvMsg(any) error }, n int) ([]string, error) {
	var messages []string
	for len(messages) != n {
		var m textValue
		if err := stream.RecvMsg(&m); err != nil {
			return messages, err
		}
		messages = append(messages, m.Value)
	}
	return messages, nil
}
