// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"io"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
)

// Register has a server answer as the script says, and tells log of all that comes and goes.
// Methods of the script's services that have no rules are answered with Unimplemented. It
// returns the descriptions of the services, for reflection.
func (s *Script) Register(server *ttrpc.Server, log *Log) *protoregistry.Files {
	files := new(protoregistry.Files)
	for _, described := range s.Described() {
		desc := described.(protoreflect.ServiceDescriptor)
		addFile(files, desc.ParentFile())
		server.RegisterService(string(desc.FullName()), s.service(desc, log))
	}
	return files
}

// addFile adds a file and all that it imports.
func addFile(files *protoregistry.Files, file protoreflect.FileDescriptor) {
	if _, err := files.FindFileByPath(file.Path()); err == nil || file.IsPlaceholder() {
		return
	}
	for i := range file.Imports().Len() {
		addFile(files, file.Imports().Get(i).FileDescriptor)
	}
	_ = files.RegisterFile(file) // an error is of two files with one name: the first counts
}

func (s *Script) service(desc protoreflect.ServiceDescriptor, log *Log) *ttrpc.ServiceDesc {
	all := &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{}, Streams: map[string]ttrpc.Stream{}}
	for i := range desc.Methods().Len() {
		described := desc.Methods().Get(i)
		name := string(described.Name())
		m := s.methods[string(desc.FullName())][name]
		if m == nil {
			m = &method{desc: described}
		}
		if described.IsStreamingClient() || described.IsStreamingServer() {
			all.Streams[name] = ttrpc.Stream{StreamingClient: described.IsStreamingClient(), StreamingServer: described.IsStreamingServer(),
				Handler: func(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
					c := m.begin(ctx, log, stream)
					return c.end(c.serve())
				}}
			continue
		}
		all.Methods[name] = func(ctx context.Context, unmarshal func(any) error) (any, error) {
			c := m.begin(ctx, log, &request{unmarshal: unmarshal})
			return c.end(c.serve())
		}
	}
	return all
}

// A request is a unary call as a stream.
type request struct {
	ttrpc.StreamServer
	unmarshal func(any) error
}

// RecvMsg implements [ttrpc.StreamServer]. It is called once, as any rule ends the call.
func (r *request) RecvMsg(m any) error { return r.unmarshal(m) }

// A call is one that is answered.
type call struct {
	*method
	ctx    context.Context
	stream ttrpc.StreamServer
	log    *callLog
}

func (m *method) begin(ctx context.Context, log *Log, stream ttrpc.StreamServer) *call {
	return &call{m, ctx, stream, log.begin(ctx, string(m.desc.Parent().FullName())+"/"+string(m.desc.Name()))}
}

// end logs how the call ends.
func (c *call) end(result any, err error) (any, error) {
	c.log.ended(result, err)
	return result, err
}

// serve answers a call to its end.
func (c *call) serve() (any, error) {
	if len(c.rules) == 0 {
		return nil, status.Errorf(codes.Unimplemented, "the script has no rules for %s", c.log.method)
	}
	if c.desc.IsStreamingClient() {
		if result, done, err := c.on(atStart, nil); done {
			return result, err
		}
	}
	var last protoreflect.Message // or nil
	for {
		m := dynamicpb.NewMessage(c.desc.Input())
		err := c.stream.RecvMsg(m)
		if err == io.EOF {
			result, _, err := c.on(atEnd, last)
			return result, err
		} else if err != nil {
			return nil, err
		}
		c.log.received(m)
		last = m
		if result, done, err := c.on(atMessage, m); done {
			return result, err
		}
	}
}

// on does what the first rule that matches says. done tells whether the call ends with that.
func (c *call) on(e event, m protoreflect.Message) (result any, done bool, err error) {
	switch r := c.next(e, m); {
	case r != nil:
		return c.do(r)
	case c.hasTo(e):
		return nil, true, status.Errorf(codes.FailedPrecondition, "no rule of the script matches: %s, at its %s", c.log.method, e)
	}
	return nil, false, nil
}

// next returns the first rule for an event that matches a message, or nil.
func (m *method) next(e event, msg protoreflect.Message) *rule {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rules {
		if r.at != e {
			continue
		}
		if r.left == 0 || r.when != nil && (msg == nil || !r.when.matches(msg)) {
			continue
		}
		if r.left > 0 {
			r.left--
		}
		return r
	}
	return nil
}

// hasTo tells whether a rule has to match at an event: at what is answered if no rule says at
// which, unless all rules are about other events.
func (m *method) hasTo(e event) bool {
	return e == usual(m.desc) && (e == atEnd || slices.ContainsFunc(m.rules, func(r *rule) bool { return r.at == e }))
}

// do does what a rule says.
func (c *call) do(r *rule) (result any, done bool, err error) {
	if len(r.answers) == 0 {
		if err := c.wait(r.wait); err != nil {
			return nil, true, err
		}
	}
	for _, answer := range r.answers {
		if err := c.wait(r.wait); err != nil {
			return nil, true, err
		}
		if !c.desc.IsStreamingServer() {
			return answer, true, nil
		}
		if err := c.stream.SendMsg(answer); err != nil {
			return nil, true, err
		}
		c.log.sent(answer)
	}
	if r.err != nil {
		return nil, true, status.FromProto(proto.CloneOf(r.err)).Err()
	}
	return nil, r.end, nil
}

// wait waits, or until the call ends.
func (c *call) wait(d time.Duration) error {
	if d == 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

// Echo returns what sends back each message as it is. A method that a schema describes as one with
// one answer to many messages is answered with the last.
func Echo(described *schema.Schema, log *Log) ttrpc.UnknownServiceHandler {
	return func(ctx context.Context, call *ttrpc.UnknownCall, stream ttrpc.StreamServer) (any, error) {
		l := log.begin(ctx, call.Service+"/"+call.Method)
		desc, err := described.Method(ctx, call.Service+"/"+call.Method)
		one := call.Unary || err == nil && !desc.IsStreamingServer()
		result, err := echo(stream, one, l)
		l.ended(nil, err)
		return result, err
	}
}

func echo(stream ttrpc.StreamServer, one bool, log *callLog) (any, error) {
	last := new(ttrpc.RawMessage)
	for {
		m := new(ttrpc.RawMessage)
		err := stream.RecvMsg(m)
		switch {
		case err == io.EOF && one:
			return last, nil
		case err == io.EOF:
			return nil, nil
		case err != nil:
			return nil, err
		}
		log.bytes(len(m.Payload))
		if last = m; one {
			continue
		}
		if err := stream.SendMsg(m); err != nil {
			return nil, err
		}
	}
}
