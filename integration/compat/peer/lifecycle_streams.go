// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !v1.0 && !v1.1

package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/containerd/ttrpc"
)

// openWhenGone notes what becomes of a new stream when the connection is gone.
func (s *session) openWhenGone() {
	_, err := s.client.NewStream(context.Background(), &ttrpc.StreamDesc{StreamingServer: true}, serviceName, "Count", nil)
	s.note("NewStream", "", err)
}

func serverEndsMidStream(method string) func(*session) {
	return func(s *session) {
		stream := s.bidi("Watch")
		s.send(stream, "run")
		control(s.dial(), "Started", text("run"))
		s.endServer(method)
		s.drain(stream)
		s.ended()
		s.openWhenGone()
		s.note("sent", "", stream.SendMsg(text("x")))
		s.note("CloseSend", "", stream.CloseSend())
	}
}

func serverEndsAfterHalfClose(method string) func(*session) {
	return func(s *session) {
		stream := s.bidi("Watch")
		s.send(stream, "run")
		s.closeSend(stream)
		control(s.dial(), "HalfClosed", text("run"))
		s.endServer(method)
		s.drain(stream)
		s.ended()
		s.openWhenGone()
		s.note("sent", "", stream.SendMsg(text("x")))
		s.note("CloseSend again", "", stream.CloseSend())
	}
}

func clientClosesStream(s *session) {
	stream := s.bidi("Watch")
	s.send(stream, "run")
	other := s.dial()
	control(other, "Started", text("run"))
	s.client.Close()
	s.drain(stream)
	s.note("handler", control(other, "Noted", text("run")), nil)
	s.ended()
	s.openWhenGone()
	s.note("sent", "", stream.SendMsg(text("x")))
	s.note("CloseSend", "", stream.CloseSend())
}

// threeClients has each connection carry calls, and a stream beside them.
func threeClients(s *session) {
	clients := []*ttrpc.Client{s.client, s.dial(), s.dial()}
	calls := make([]string, len(clients))
	streams := make([]string, len(clients))
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Add(2)
		go func() {
			defer wg.Done()
			calls[i] = callMuch(c, 8, 50)
		}()
		go func() {
			defer wg.Done()
			streams[i] = relayMuch(c, fmt.Sprintf("client %d", i))
		}()
	}
	wg.Wait()
	for i := range clients {
		s.note(fmt.Sprintf("calls of client %d", i), calls[i], nil)
		s.note(fmt.Sprintf("stream of client %d", i), streams[i], nil)
	}
}

// relayMuch exchanges messages on a stream, and says what came back.
func relayMuch(c *ttrpc.Client, name string) string {
	stream, err := c.NewStream(context.Background(), &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, serviceName, "Relay", nil)
	if err != nil {
		return err.Error()
	}
	var back []string
	for i := range 100 {
		if err := stream.SendMsg(text("%s message %d", name, i)); err != nil {
			return err.Error()
		}
		messages, err := receive(stream, 1)
		if err != nil {
			return err.Error()
		}
		back = append(back, messages...)
	}
	if err := stream.CloseSend(); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s, then %v", summary(back), stream.RecvMsg(new(textValue)))
}
