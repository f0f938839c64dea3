// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
)

// ended waits until the session's connection is gone, and notes what is left of it.
func (s *session) ended() {
	s.awaitEnd(s.client)
	s.note("UserOnCloseWait", "", onCloseWait(s.client))
	s.still()
}

// endServer has the server end, by the method Close or Kill, and waits until it is gone.
func (s *session) endServer(method string) {
	other := s.dial()
	s.report.Killed = method == "Kill"
	call(context.Background(), other, method, new(empty)) // may end before it answers
	s.awaitEnd(other)
}

func serverEndsIdle(method string) func(*session) {
	return func(s *session) {
		s.endServer(method)
		s.ended()
	}
}

func serverEndsMidRequest(method string) func(*session) {
	return func(s *session) {
		conn := &slowWriter{UnixConn: s.connect(), pause: newPause()}
		s.client = s.use(conn)
		wait := s.background(context.Background(), "call", "Text", text("x"))
		<-conn.reached
		s.endServer(method)
		awaitHangup(conn.UnixConn)
		close(conn.resume)
		wait()
		s.ended()
	}
}

func serverEndsMidCall(method string) func(*session) {
	return func(s *session) {
		wait := s.background(context.Background(), "call", "Hold", text("run"))
		control(s.dial(), "Started", text("run"))
		s.endServer(method)
		wait()
		s.ended()
	}
}

// serverEndsMidResponse has it end while it writes what the client does not read.
func serverEndsMidResponse(method string) func(*session) {
	return func(s *session) {
		conn := &slowReader{UnixConn: s.connect(), pause: newPause()}
		s.client = s.use(conn)
		wait := s.background(context.Background(), "call", "Bytes", &intValue{Value: messageLimit / 2})
		<-conn.reached
		s.endServer(method)
		awaitHangup(conn.UnixConn)
		close(conn.resume)
		wait()
		s.ended()
	}
}

func shutdownInFlight(s *session) {
	wait := s.background(context.Background(), "call", "HoldPastServe", text("run"))
	other := s.dial()
	control(other, "Started", text("run"))
	call(context.Background(), other, "Shutdown", new(empty)) // may end before it answers
	wait()
	s.ended()
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
