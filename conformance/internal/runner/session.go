// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package runner plays cases with peers under test.
package runner

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/ttrpc/conformance/internal/subject"
	"github.com/containerd/ttrpc/conformance/internal/vector"
	"github.com/containerd/ttrpc/internal/wire"
)

// Skip is why a case was not played.
type Skip struct{ Why string }

// Error implements error.
func (s Skip) Error() string { return s.Why }

// A session plays one case once.
type session struct {
	c       *vector.Case
	server  *subject.Server // or
	client  *subject.Client
	timeout time.Duration
	cut     int // where the first send is cut, or -1

	link     *link
	listener net.Listener
	dir      string
	base     int // ids of commands are above this
	wrap     func(net.Conn) net.Conn
	last     func() error // what else is done in the end, if anything
	first    int          // how long the first send is, once it is known
}

func (s *session) rawCalls() bool { return s.server != nil }

// isAnswer tells whether what travels on a stream is from its callee.
func (s *session) isAnswer(stream uint32, fromPeer bool) bool {
	fromOpener := (stream%2 == 1) == (s.rawCalls() != fromPeer)
	return !fromOpener
}

// play plays the case.
func (s *session) play() error {
	defer s.close()
	if err := s.steps(s.c.Steps); err != nil {
		return err
	}
	if s.last != nil {
		return s.last()
	}
	if s.link != nil {
		if err := s.link.quiet(); err != nil {
			return fmt.Errorf("at the end: %w", err)
		}
	}
	if s.server != nil {
		return s.server.Check()
	}
	return s.client.Check()
}

func (s *session) steps(steps []vector.Step) error {
	for i := range steps {
		if err := s.step(&steps[i]); err != nil {
			if skip := (Skip{}); errors.As(err, &skip) {
				return skip
			}
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return nil
}

func (s *session) repeat(r *vector.Repeat) error {
	for i := range r.Times {
		if err := s.steps(vector.Moved(r.Steps, i*r.Streams, i*r.Calls)); err != nil {
			return fmt.Errorf("time %d: %w", i+1, err)
		}
	}
	return nil
}

func (s *session) close() {
	if s.link != nil {
		s.link.close()
	}
	if s.listener != nil {
		s.listener.Close()
		if s.link != nil || s.base > 0 {
			// The client may have ended its connection already, and has not been asked to.
			if s.client.Tell(subject.Command{ID: s.client.NextID(), Do: "close", Address: s.address()}) == nil {
				s.client.Await(s.client.NextID()-1, s.timeout)
			}
		}
	}
	os.RemoveAll(s.dir)
}

func (s *session) step(step *vector.Step) error {
	if step.Repeat != nil {
		return s.repeat(step.Repeat)
	}
	if step.Connect && s.link != nil {
		s.link.close()
		s.link = nil
	}
	if s.link == nil && step.Call == nil {
		if err := s.connect(); err != nil {
			return err
		}
	}
	switch {
	case step.Send != nil:
		return s.send(step.Send)
	case step.Expect != nil:
		return s.expect(step.Expect)
	case step.Credit != nil:
		return s.awaitCredit(step.Credit)
	case step.Ask != nil:
		return s.ask(step.Ask)
	case step.Alive == "same":
		return s.aliveSame()
	case step.Alive == "new":
		return s.aliveNew()
	case step.Connect:
		return nil
	case step.Closed:
		return s.closed()
	case step.Close == "both":
		return s.link.conn.Close()
	case step.Close == "write":
		if half, ok := s.link.conn.(interface{ CloseWrite() error }); ok {
			return half.CloseWrite()
		}
		return Skip{"this transport cannot close one direction"}
	case step.Call != nil:
		return s.call(step.Call)
	case step.Cancel != 0:
		return s.client.Tell(subject.Command{ID: s.client.NextID(), Do: "cancel", Address: s.address(), Call: s.base + step.Cancel})
	case step.End != "":
		return s.client.Tell(subject.Command{ID: s.client.NextID(), Do: step.End, Address: s.address()})
	case step.Result != nil:
		return s.result(step.Result)
	}
	return errors.New("the case has a step that says nothing")
}

// connect connects with the peer, and says Hello if the case has one.
func (s *session) connect() error {
	if s.rawCalls() {
		conn, err := s.server.Dial(s.timeout)
		if err != nil {
			return err
		}
		s.link = newLink(s.wrapped(conn))
		return s.sayHello()
	}
	if s.listener == nil {
		return errors.New("the case waits for a client that nothing has told to connect")
	}
	if err := s.listener.(*net.UnixListener).SetDeadline(time.Now().Add(s.timeout)); err != nil {
		return err
	}
	conn, err := s.listener.Accept()
	if err != nil {
		return errors.Join(errors.New("the client has not connected in time"), s.client.Check())
	}
	s.link = newLink(s.wrapped(conn))
	return s.hearHello()
}

func (s *session) wrapped(conn net.Conn) net.Conn {
	if s.wrap == nil {
		return conn
	}
	return s.wrap(conn)
}

func (s *session) sayHello() error {
	if s.c.Hello == nil {
		return nil
	}
	hello := wire.HelloRequest(s.c.Hello.Wire())
	if _, err := s.link.conn.Write(wire.AppendFrame(nil, 1, wire.TypeRequest, 0, hello)); err != nil {
		return err
	}
	s.link.highest = 1
	answer, err := s.link.next(1, s.timeout)
	if err != nil {
		return fmt.Errorf("waiting for the answer to Hello: %w", err)
	}
	response, err := wire.ParseResponse(answer.data)
	if err != nil {
		return err
	}
	if code := wire.ResponseCode(answer.data); code != 0 {
		return Skip{"the peer does not know the extended mode"}
	}
	return s.agree(response.Payload)
}

func (s *session) hearHello() error {
	if s.c.Hello == nil {
		return nil
	}
	asked, err := s.link.next(1, s.timeout)
	if err != nil {
		return fmt.Errorf("waiting for Hello: %w", err)
	}
	request, err := wire.ParseRequest(asked.data, func(_, _ []byte) {})
	if err != nil || !wire.IsHello(asked.data) {
		return Skip{"the client does not ask for the extended mode"}
	}
	data := wire.Response{Payload: s.c.Hello.Wire()}.Append(nil)
	if _, err := s.link.conn.Write(wire.AppendFrame(nil, 1, wire.TypeResponse, 0, data)); err != nil {
		return err
	}
	return s.agree(request.Payload)
}

// agree takes the peer's Hello.
func (s *session) agree(payload []byte) error {
	hello, err := wire.ParseHello(payload)
	if err != nil {
		return fmt.Errorf("the peer's Hello: %w", err)
	}
	s.link.hello, s.link.extended = hello, true
	has := map[string]bool{"files": hello.Files, "metadata": hello.Metadata, "serves": hello.Serves}
	for _, need := range s.c.Needs {
		if !has[need] {
			return Skip{"the peer's Hello does not have " + need}
		}
	}
	return nil
}

func (s *session) address() string { return "unix:" + filepath.Join(s.dir, "s") }

// listen waits for the client under test.
func (s *session) listen() error {
	dir, err := os.MkdirTemp("", "conf")
	if err != nil {
		return err
	}
	s.dir = dir
	s.listener, err = net.Listen("unix", filepath.Join(dir, "s"))
	return err
}

// call has the client make a call.
func (s *session) call(c *vector.Call) error {
	if s.listener == nil {
		if err := s.listen(); err != nil {
			return err
		}
		s.base = s.client.NextID()
		for range 100 { // ids of the case's own
			s.client.NextID()
		}
	}
	command := subject.Command{
		ID: s.base + c.ID, Do: "call", Address: s.address(), Method: c.Method,
		Metadata: c.Metadata, Timeout: c.Timeout, KeepOpen: c.KeepOpen, Files: c.Files,
		Extended: s.extends(), Serves: s.extends(),
	}
	for _, raw := range c.Messages {
		b, err := vector.Message(raw, false, c.Method)
		if err != nil {
			return err
		}
		command.Messages = append(command.Messages, fmt.Sprintf("%x", b))
	}
	return s.client.Tell(command)
}

// extends tells whether the client shall ask for the extended mode.
func (s *session) extends() bool {
	return s.c.Hello != nil || s.c.Level == "agreement"
}

// result compares what became of a call.
func (s *session) result(want *vector.Result) error {
	got, err := s.client.Await(s.base+want.Of, s.timeout)
	if err != nil {
		return err
	}
	return matchResult(want, got)
}

// closed wants the peer to close the connection. It may say goodbye before.
func (s *session) closed() error {
	err := s.link.until(s.timeout, func() bool { return false })
	if errors.Is(err, errLate) {
		return fmt.Errorf("the peer has not closed the connection within %v", s.timeout)
	}
	if wrong := (violation{}); errors.As(err, &wrong) {
		return err
	}
	queue := s.link.queues[0]
	for len(queue) > 0 && queue[0].Type == wire.TypeGoodbye {
		queue = queue[1:]
	}
	s.link.queues[0] = queue
	return s.link.quiet()
}
