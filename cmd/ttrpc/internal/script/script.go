// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package script answers calls as a script in JSON says, for tests of clients.
package script

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
)

// A Script has rules for methods. Its methods may be called concurrently.
type Script struct {
	format  *message.Format
	methods map[string]map[string]*method // by service and method
}

// A method is one that has rules.
type method struct {
	desc  protoreflect.MethodDescriptor
	mu    sync.Mutex
	rules []*rule
}

// A rule says what to do at an event of a call.
type rule struct {
	at      event
	when    *want // or nil
	left    int   // how often it is used; negative is without end; guarded by the method's mu
	wait    time.Duration
	answers []proto.Message
	err     *spb.Status
	end     bool
}

// An event is what a rule is about.
type event string

const (
	atStart   event = "start"   // the call has come
	atMessage event = "message" // a message has come
	atEnd     event = "end"     // the client sends no more
)

// usual returns the event that rules are about which do not say it.
func usual(desc protoreflect.MethodDescriptor) event {
	if desc.IsStreamingClient() && !desc.IsStreamingServer() {
		return atEnd
	}
	return atMessage
}

// written is a rule as it is written.
type written struct {
	At      event             `json:"at"`
	When    json.RawMessage   `json:"when"`
	Times   *int              `json:"times"`
	Wait    string            `json:"wait"`
	Answer  json.RawMessage   `json:"answer"`
	Answers []json.RawMessage `json:"answers"`
	Error   *writtenError     `json:"error"`
	End     bool              `json:"end"`
}

type writtenError struct {
	Code    json.RawMessage   `json:"code"`
	Message string            `json:"message"`
	Details []json.RawMessage `json:"details"`
}

// Parse understands a script, whose methods a schema has to describe. Errors say where the
// script is wrong; those of the schema are wrapped.
func Parse(ctx context.Context, data []byte, described *schema.Schema, format *message.Format) (*Script, error) {
	entries, err := split(data)
	if err != nil {
		return nil, err
	}
	s := &Script{format: format, methods: map[string]map[string]*method{}}
	for _, e := range entries {
		if err := s.add(ctx, e, described); err != nil {
			return nil, fmt.Errorf("line %d, method %s: %w", e.line, e.name, err)
		}
	}
	return s, nil
}

// add adds a method with its rules.
func (s *Script) add(ctx context.Context, e entry, described *schema.Schema) error {
	desc, err := described.Method(ctx, e.name)
	if err != nil {
		return err
	}
	service := string(desc.Parent().FullName())
	if s.methods[service] == nil {
		s.methods[service] = map[string]*method{}
	}
	if s.methods[service][string(desc.Name())] != nil {
		return errors.New("it stands there twice")
	}
	m, err := s.parseMethod(desc, e.rules)
	s.methods[service][string(desc.Name())] = m
	return err
}

func (s *Script) parseMethod(desc protoreflect.MethodDescriptor, data json.RawMessage) (*method, error) {
	if data = bytes.TrimSpace(data); len(data) > 0 && data[0] != '[' {
		data = slices.Concat([]byte("["), data, []byte("]"))
	}
	var rules []json.RawMessage
	if err := json.Unmarshal(data, &rules); err != nil {
		return nil, errors.New("its rules: " + plain(err))
	}
	m := &method{desc: desc}
	for i, data := range rules {
		r, err := s.parseRule(desc, data)
		if err != nil {
			return nil, fmt.Errorf("rule %d: %w", i+1, err)
		}
		m.rules = append(m.rules, r)
	}
	if len(rules) == 0 {
		return nil, errors.New("it has no rules")
	}
	return m, nil
}

func (s *Script) parseRule(desc protoreflect.MethodDescriptor, data json.RawMessage) (*rule, error) {
	var w written
	if err := strict(data, &w); err != nil {
		return nil, errors.New(plain(err))
	}
	r := &rule{at: w.At, left: -1, end: w.End}
	if r.at == "" {
		r.at = usual(desc)
	}
	if w.Answer != nil {
		w.Answers = append([]json.RawMessage{w.Answer}, w.Answers...)
	}
	if err := w.check(r.at, desc); err != nil {
		return nil, err
	}
	if w.Times != nil {
		r.left = *w.Times
	}
	var err error
	if w.Wait != "" {
		if r.wait, err = time.ParseDuration(w.Wait); err != nil || r.wait < 0 {
			return nil, fmt.Errorf(`wait: %q is no duration such as "10ms" or "2s"`, w.Wait)
		}
	}
	if w.When != nil {
		if r.when, err = s.parseWant(desc.Input(), w.When); err != nil {
			return nil, fmt.Errorf("when: %w", err)
		}
	}
	for i, answer := range w.Answers {
		m := dynamicpb.NewMessage(desc.Output())
		if err := s.read(answer, m); err != nil {
			return nil, fmt.Errorf("answer %d: %w", i+1, err)
		}
		r.answers = append(r.answers, m)
	}
	if w.Error != nil {
		if r.err, err = s.parseError(w.Error); err != nil {
			return nil, fmt.Errorf("error: %w", err)
		}
	}
	return r, nil
}

// check holds that a rule has only what applies to its method.
func (w *written) check(e event, desc protoreflect.MethodDescriptor) error {
	client, server := desc.IsStreamingClient(), desc.IsStreamingServer()
	switch {
	case e != atStart && e != atMessage && e != atEnd:
		return fmt.Errorf("at: it is %q, and may be start, message or end", e)
	case e == atEnd && !client:
		return errors.New("at: the client sends one message, so its end is no event of its own")
	case e == atStart && !client:
		return errors.New("at: the call comes with its message, so its start is no event of its own")
	case e == atStart && w.When != nil:
		return errors.New("when: at the start no message has come that could be compared")
	case w.Times != nil && *w.Times < 1:
		return fmt.Errorf("times: it is %d, and must be 1 or more", *w.Times)
	case w.End && w.Error != nil:
		return errors.New("end: it ends with success, and error with a status: only one can be")
	case !server && w.End:
		return errors.New("end: the method does not stream, so its answer ends it")
	case !server && len(w.Answers) > 1:
		return fmt.Errorf("answers: there are %d, and the method has one", len(w.Answers))
	case !server && len(w.Answers) > 0 && w.Error != nil:
		return errors.New("error: the method does not stream, so it has an answer or an error")
	case !server && len(w.Answers) == 0 && w.Error == nil:
		return errors.New("it has neither an answer nor an error")
	case w.Answers == nil && w.Error == nil && !w.End && w.Wait == "":
		return errors.New("it says nothing to do: give answer, answers, error, end or wait")
	}
	return nil
}

func (s *Script) parseError(w *writtenError) (*spb.Status, error) {
	st := &spb.Status{Message: w.Message}
	var name string
	if json.Unmarshal(w.Code, &name) == nil {
		number, ok := code.Code_value[name]
		if !ok {
			return nil, fmt.Errorf("code: there is no %q, only %s", name, strings.Join(codeNames(), ", "))
		}
		st.Code = number
	} else if err := json.Unmarshal(w.Code, &st.Code); err != nil {
		return nil, fmt.Errorf(`code: it is neither a name such as "NOT_FOUND" nor a number: %s`, w.Code)
	}
	if codes.Code(st.Code) == codes.OK {
		return nil, errors.New("code: OK is no error")
	}
	for i, detail := range w.Details {
		m := new(anypb.Any)
		if err := s.read(detail, m); err != nil {
			return nil, fmt.Errorf("detail %d: %w", i+1, err)
		}
		st.Details = append(st.Details, m)
	}
	return st, nil
}

// codeNames returns the names of codes but OK, by their numbers.
func codeNames() (names []string) {
	for number := range int32(len(code.Code_name)) {
		if number > 0 {
			names = append(names, code.Code_name[number])
		}
	}
	return names
}

// Services returns the names of the services that the script has methods of, sorted.
func (s *Script) Services() []string { return slices.Sorted(maps.Keys(s.methods)) }

// Described returns the descriptions of the services that the script has methods of.
func (s *Script) Described() (all []protoreflect.Descriptor) {
	for _, name := range s.Services() {
		for _, m := range s.methods[name] {
			all = append(all, m.desc.Parent())
			break
		}
	}
	return all
}
