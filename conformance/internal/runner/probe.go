// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/containerd/ttrpc/conformance/internal/subject"
	"github.com/containerd/ttrpc/conformance/internal/vector"
	"github.com/containerd/ttrpc/internal/wire"
)

// What a peer may lack, so that cases that need it are skipped. It is found out by one call
// each, before the first such case.
const (
	streams  = "streams"
	extended = "the extended mode"
)

// needs says what a case needs.
func needs(c *vector.Case) []string {
	var all []string
	if usesStreams(c.Level, c.Steps) {
		all = append(all, streams)
	}
	if slices.Index(vector.Levels, c.Level) >= slices.Index(vector.Levels, "agreement") {
		all = append(all, extended)
	}
	return all
}

// usesStreams tells whether a case calls methods that stream.
func usesStreams(level string, steps []vector.Step) bool {
	streaming := func(method string) bool {
		return slices.Contains([]string{"ClientStream", "ServerStream", "Bidi"}, method)
	}
	for _, step := range steps {
		for _, f := range step.Send {
			if f.Request != nil && streaming(f.Request.Method) {
				return true
			}
		}
		if step.Call != nil && streaming(step.Call.Method) || step.Repeat != nil && usesStreams(level, step.Repeat.Steps) {
			return true
		}
	}
	return level == "classic-streams"
}

// lacking returns a Skip if the peer lacks what a case needs. What was found out stands in known.
func (r *Runner) lacking(c *vector.Case, server *subject.Server, client *subject.Client, known map[string]error) error {
	for _, need := range needs(c) {
		if _, ok := known[need]; !ok {
			known[need] = r.probe(need, c.Peer, server, client)
		}
		if known[need] != nil {
			return known[need]
		}
	}
	return nil
}

// probe returns a Skip if the peer lacks something. Whatever else goes wrong is for the cases to
// find.
func (r *Runner) probe(need, peer string, server *subject.Server, client *subject.Client) error {
	c := &vector.Case{Level: "classic-unary", Peer: peer}
	method := "ServerStream"
	if need == extended {
		c.Level, c.Hello, method = "agreement", &vector.Hello{Serves: true}, "Unary"
	}
	if peer == vector.Client {
		call := &vector.Call{ID: 1, Method: method, Messages: []json.RawMessage{json.RawMessage(echo)}}
		c.Steps = []vector.Step{{Call: call}}
	}
	c.Steps = append(c.Steps, vector.Step{Connect: true})
	s := &session{c: c, server: server, client: client, timeout: r.Timeout, cut: -1} // not wrapped
	if need == streams {
		s.last = s.lacksStreams
	}
	err := s.play()
	if skip := (Skip{}); errors.As(err, &skip) {
		return skip
	}
	return nil
}

// lacksStreams returns a Skip if the peer calls a stream as if it were none, or knows no method
// that streams.
func (s *session) lacksStreams() error {
	if !s.rawCalls() {
		asked, err := s.link.next(1, s.timeout)
		if err == nil && asked.Flags == 0 {
			return Skip{"the client has no streams"}
		}
		return err
	}
	request := vector.Frame{Stream: 1, Type: vector.Type(wire.TypeRequest), Flags: vector.Flags{int(wire.FlagRemoteClosed)},
		Request: &vector.Request{Method: "ServerStream"}}
	if err := s.send([]vector.Frame{request}); err != nil {
		return err
	}
	answer, err := s.link.next(1, s.timeout)
	if err == nil && answer.Type == wire.TypeResponse && wire.ResponseCode(answer.data) != 0 {
		return Skip{"the server has no method that streams" + s.told(answer)}
	}
	return err
}
