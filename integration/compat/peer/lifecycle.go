// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/containerd/ttrpc"
)

// ended waits until the session's connection is gone, and notes what is left of it.
func (s *session) ended() {
	err := s.client.UserOnCloseWait(context.Background())
	s.note("UserOnCloseWait", "", err)
	s.still()
	_, err = s.client.NewStream(context.Background(), &ttrpc.StreamDesc{StreamingServer: true}, serviceName, "Count", nil)
	s.note("NewStream", "", err)
}

func shutdownInFlight(s *session) {
	wait := s.background(context.Background(), "call", "HoldPastServe", text("run"))
	other := s.dial()
	control(other, "Started", text("run"))
	call(context.Background(), other, "Shutdown", new(empty)) // may end before it answers
	wait()
	s.ended()
}

func serverCloses(s *session) {
	wait := s.background(context.Background(), "call", "Hold", text("run"))
	other := s.dial()
	control(other, "Started", text("run"))
	call(context.Background(), other, "Close", new(empty)) // may end before it answers
	wait()
	s.ended()
}

func serverClosesStream(s *session) {
	stream := s.bidi("Watch")
	s.send(stream, "run")
	other := s.dial()
	control(other, "Started", text("run"))
	call(context.Background(), other, "Close", new(empty)) // may end before it answers
	s.drain(stream)
	s.ended()
	s.note("sent", "", stream.SendMsg(text("x")))
	s.note("CloseSend", "", stream.CloseSend())
}

func clientCloses(s *session) {
	wait := s.background(context.Background(), "call", "HoldPastEnd", text("run"))
	other := s.dial()
	control(other, "Started", text("run"))
	s.note("Close", "", s.client.Close())
	wait()
	s.note("handler's context", control(other, "Noted", text("run")), nil)
	s.ended()
	s.note("Close again", "", s.client.Close())
	control(other, "Release", text("run"))
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
	s.note("sent", "", stream.SendMsg(text("x")))
	s.note("CloseSend", "", stream.CloseSend())
}
