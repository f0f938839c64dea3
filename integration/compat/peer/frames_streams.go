// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !v1.0 && !v1.1

package main

import (
	"context"
	"fmt"
	"slices"
)

var streamStages = []stage{
	{"mid-stream", midStream, true},
	{"after half-close", afterHalfClose, true},
}

func midStream(s *session, run string) {
	stream := s.bidi("Watch")
	s.send(stream, run, "another")
	control(s.client, "Started", text("%s", run))
}

func afterHalfClose(s *session, run string) {
	stream := s.bidi("Watch")
	s.send(stream, run)
	s.closeSend(stream)
	control(s.client, "HalfClosed", text("%s", run))
}

// streamFrames are such as the server of a stream may get.
func streamFrames(s *session) {
	open, end := openFrame("Sum"), endFrame()
	one := encode(text("one"))
	s.exchange(
		exchange{"messages", 1, slices.Concat(open, frame(1, typeData, 0, one), frame(1, typeData, 0, nil), end)},
		exchange{"unknown flags", 1, slices.Concat(open, frame(1, typeData, 0xf8, one), end)},
		exchange{"first message in the request", 1, slices.Concat(frame(1, typeRequest, flagRemoteOpen, request("Sum", text("one"))), end)},
		// No end follows: whether it comes before the stream has failed would be luck.
		exchange{"message that does not parse", 1, slices.Concat(open, frame(1, typeData, 0, []byte{0xff}))},
	)
}

// closedByRequest has no data follow the request, though the method takes some.
func closedByRequest(s *session) {
	s.exchange(exchange{"request", 1, frame(1, typeRequest, flagRemoteClosed, request("Sum", text("one")))})
}

func messageThatCloses(s *session) {
	s.exchange(exchange{"message", 1, slices.Concat(openFrame("Sum"), frame(1, typeData, flagRemoteClosed, encode(text("one"))))})
}

func idOfStream(s *session) {
	s.exchange(exchange{"request", 2, slices.Concat(openFrame("Sum"), openFrame("Sum"), endFrame())})
}

func dataAfterClose(s *session) {
	s.exchange(exchange{"data", 1, slices.Concat(openFrame("Watch"), messageFrame("run"), endFrame(), messageFrame("late"))})
}

// dataAfterCloseHandled is the same; the handler's context should end with the stream.
func dataAfterCloseHandled(s *session) {
	r := s.watched()
	r.send(endFrame())
	control(s.client, "HalfClosed", text("run"))
	s.breakStream(r, messageFrame("late"))
}

func streamFrameOver(s *session) {
	s.breakStream(s.watched(), frame(1, typeData, 0, make([]byte, messageLimit+1)))
}

// watched returns a connection with a stream.
func (s *session) watched() raw {
	r := s.raw()
	r.send(slices.Concat(openFrame("Watch"), messageFrame("run")))
	control(s.client, "Started", text("run"))
	return r
}

// breakStream sends a frame that ends the stream, and notes what the client and the
// handler see of it.
func (s *session) breakStream(r raw, bad []byte) {
	r.send(bad)
	s.note("client", r.next(), nil)
	s.note("handler", control(s.client, "Noted", text("run")), nil)
	r.Close()
	s.still()
}

func messageFrame(m string) []byte { return frame(1, typeData, 0, encode(text("%s", m))) }

func openFrame(method string) []byte {
	return frame(1, typeRequest, flagRemoteOpen|flagNoData, request(method, new(empty)))
}

func endFrame() []byte { return frame(1, typeData, flagRemoteClosed|flagNoData, nil) }

// streamAnswersCut has a server end within a stream's messages.
func streamAnswersCut(s *session) {
	one := frame(firstID, typeData, 0, encode(text("one")))
	for _, n := range []int{0, 1, 9, 10, 11, len(one) - 1, len(one)} {
		stop := s.fake(slices.Concat(one, one[:n]))
		stream := s.stream(context.Background(), "Count", false, true, new(intValue))
		messages, err := receive(stream, 1)
		s.note(fmt.Sprintf("%d bytes, first", n), summary(messages), err)
		_, err = receive(stream, -1)
		s.note(fmt.Sprintf("%d bytes, then", n), "", err)
		stop()
	}
}
