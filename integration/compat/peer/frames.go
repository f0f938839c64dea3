// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log"
	"net"
	"strings"
)

// requestsCut ends the bytes of a client within its second request, after an answer.
func requestsCut(s *session) {
	request := requestFrame(3, "Text", text("x"))
	for _, n := range []int{0, 1, 9, 10, 11, len(request) - 1} {
		r := s.raw()
		r.send(requestFrame(1, "Text", text("x")))
		if _, _, err := r.receive(); err != nil {
			log.Fatal(err)
		}
		r.send(request[:n])
		r.CloseWrite()
		s.note(fmt.Sprintf("after %d bytes", n), strings.Join(r.until(0), "; "), nil)
		r.Close()
	}
	s.still()
}

// An exchange is what a server gets, and what it answers before the next call.
type exchange struct {
	name    string
	answers int // how many frames
	bytes   []byte
}

// exchange makes each on a connection of its own. Answers that are due are awaited
// before the next call, for the order of calls is luck.
func (s *session) exchange(exchanges ...exchange) {
	for _, e := range exchanges {
		r := s.raw()
		r.send(e.bytes)
		var words []string
		for range e.answers {
			words = append(words, r.next())
		}
		const barrier = 1001
		r.send(requestFrame(barrier, "Text", text("x")))
		words = append(words, r.until(barrier)...)
		s.note(e.name, strings.Join(words, "; "), nil)
		r.Close()
	}
	s.still()
}

// oddFrames are such as no client should send.
func oddFrames(s *session) {
	s.exchange(
		exchange{"request on id 0", 1, requestFrame(0, "Text", text("x"))},
		exchange{"request on an even id", 1, requestFrame(2, "Text", text("x"))},
		exchange{"response", 0, responseFrame(1, text("x"))},
		exchange{"unknown type", 0, frame(1, 9, 0, []byte("data"))},
		exchange{"unknown flags", 1, frame(1, typeRequest, 0xf8, request("Text", text("x")))},
		exchange{"request that does not parse", 1, frame(1, typeRequest, 0, []byte{0xff})},
		exchange{"request without anything", 1, frame(1, typeRequest, 0, nil)},
	)
}

// otherOnEven are no requests; they are answered all the same. Ten zero bytes are
// what health probes send.
func otherOnEven(s *session) {
	s.exchange(
		exchange{"ten zero bytes", 1, make([]byte, 10)},
		exchange{"unknown type", 1, frame(4, 9, 0, []byte("data"))},
		exchange{"response", 1, responseFrame(2, text("x"))},
		exchange{"data", 1, frame(2, typeData, 0, nil)},
	)
}

// idsDoNotRise, and no two calls are active at once.
func idsDoNotRise(s *session) {
	r := s.raw()
	for i, id := range []uint32{5, 3, 7, 5} {
		r.send(requestFrame(id, "Text", text("x")))
		s.note(fmt.Sprintf("call %d", i), r.next(), nil)
	}
	r.Close()
	s.still()
}

// idActive uses the id of a call again, and for data.
func idActive(s *session) {
	r := s.raw()
	r.send(requestFrame(1, "Hold", text("run")))
	control(s.client, "Started", text("run"))
	r.send(requestFrame(1, "Text", text("x")))
	s.note("request", r.next(), nil)
	control(s.client, "Release", text("run"))
	s.note("call", r.next(), nil)
	r.Close()
	s.still()
}

func dataOnCall(s *session) {
	r := s.raw()
	r.send(requestFrame(1, "Hold", text("run")))
	control(s.client, "Started", text("run"))
	r.send(frame(1, typeData, 0, []byte("data")))
	s.note("data", r.next(), nil)
	control(s.client, "Release", text("run"))
	s.note("call", r.next(), nil)
	r.Close()
	s.still()
}

func dataOnIdle(s *session) {
	s.exchange(
		exchange{"data", 1, frame(1, typeData, 0, []byte("data"))},
		exchange{"end of data", 1, frame(1, typeData, flagRemoteClosed|flagNoData, nil)},
	)
}

func requestFrameOver(s *session) {
	s.exchange(exchange{"request", 1, frame(1, typeRequest, 0, make([]byte, messageLimit+1))})
}

func dataFrameOver(s *session) {
	s.exchange(exchange{"data", 1, frame(1, typeData, 0, make([]byte, messageLimit+1))})
}

// noFrame begins as no frame can.
func noFrame(s *session) {
	r := s.raw()
	r.send([]byte("GET / HTTP/1.1\r\n\r\n"))
	s.note("HTTP", strings.Join(r.until(0), "; "), nil)
	r.Close()
	s.still()
}

// fake is a server that reads a request of a client that it agrees with on nothing,
// answers so, and closes. The session's
// client is its.
func (s *session) fake(answer []byte) (stop func()) {
	listener, err := net.Listen("unix", s.addr+".fake")
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		defer conn.Close()
		r := raw{conn.(*net.UnixConn)}
		r.refuseHello()
		if _, _, err := r.receive(); err != nil {
			log.Fatal(err)
		}
		r.send(answer)
	}()
	conn, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	s.client = s.use(conn)
	return func() {
		<-done
		listener.Close()
	}
}

// answersCut has a server end within its answer.
func answersCut(s *session) {
	answer := responseFrame(firstID, text("x"))
	for _, n := range []int{0, 1, 9, 10, 11, len(answer) - 1} {
		stop := s.fake(answer[:n])
		s.call(fmt.Sprintf("after %d bytes", n), "Text", text("x"))
		s.awaitEnd(s.client)
		s.call(fmt.Sprintf("after %d bytes, again", n), "Text", text("x"))
		stop()
	}
}

func answerThenEnd(s *session) {
	stop := s.fake(responseFrame(firstID, text("x")))
	s.call("call", "Text", text("x"))
	stop()
	s.ended()
}
