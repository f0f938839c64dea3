// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package lines

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/watch"
)

// maxDescribed bounds the methods whose description is remembered: a peer may make up names.
const maxDescribed = 4096

// described are the descriptions of methods by their names; nil for those without one.
type described map[string]protoreflect.MethodDescriptor

// method returns the description of a method, or nil.
func (p *Printer) method(e watch.Event) protoreflect.MethodDescriptor {
	name := e.Call.FullMethod()
	if name == "" || p.Schema == nil {
		return nil
	}
	known, ok := p.described[name]
	if ok {
		return known
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	m, err := p.Schema.Method(ctx, name)
	if err != nil {
		m = nil
	}
	if p.described == nil || len(p.described) >= maxDescribed {
		p.described = make(described)
	}
	p.described[name] = m
	return m
}

// Found returns the descriptions that were used.
func (p *Printer) Found() (all []protoreflect.Descriptor) {
	for _, m := range p.described {
		if m != nil {
			all = append(all, m)
		}
	}
	return all
}

// format is how messages are written.
func (p *Printer) format() *message.Format {
	f := &message.Format{Compact: true}
	if p.Schema != nil {
		f.Types = p.Schema.Types()
	}
	return f
}

// decoded returns an event's message as JSON, or nil if it is not described or does not parse.
func (p *Printer) decoded(e watch.Event) json.RawMessage {
	m := p.method(e)
	if m == nil {
		return nil
	}
	kind := m.Input()
	if e.FromServer != e.Call.FromServer {
		kind = m.Output()
	}
	decoded := dynamicpb.NewMessage(kind)
	f := p.format()
	options := proto.UnmarshalOptions{Resolver: f.Types, AllowPartial: true}
	if options.Unmarshal(e.Payload, decoded) != nil {
		return nil
	}
	text, err := f.Marshal(decoded)
	if err != nil {
		return nil
	}
	return text
}

// message writes an event's message in one line, or nothing if there is none.
func (p *Printer) message(e watch.Event) string {
	switch {
	case !e.HasMessage:
		return ""
	case e.Cut():
		return p.paint(faint, fmt.Sprintf("(a message of %d bytes, which is too long to be kept)", e.Size))
	}
	text := string(p.decoded(e))
	if text == "" {
		text = tree(e.Payload)
	}
	return p.shorten(printable(text))
}

// shorten cuts a text to the limit, between characters.
func (p *Printer) shorten(text string) string {
	limit := p.Limit
	if limit <= 0 || len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit] + p.paint(faint, fmt.Sprintf(" … %d bytes more", len(text)-limit))
}

// tree writes the fields of a message by their numbers, in one line.
func tree(payload []byte) string {
	var parts []string
	for line := range strings.Lines(message.Tree(payload)) {
		if part := strings.TrimSpace(line); part != "" {
			parts = append(parts, part)
		}
	}
	return "{" + strings.Join(parts, " ") + "}"
}

// details writes those of a status.
func (p *Printer) details(st *spb.Status) string {
	all := p.detailsJSON(st)
	if len(all) == 0 {
		return ""
	}
	return " " + p.shorten(printable(string(bytes.Join(raw(all), []byte(" ")))))
}

func raw(all []json.RawMessage) (texts [][]byte) {
	for _, text := range all {
		texts = append(texts, text)
	}
	return texts
}

func (p *Printer) detailsJSON(st *spb.Status) (all []json.RawMessage) {
	for _, detail := range st.GetDetails() {
		text, err := p.format().Marshal(detail)
		if err != nil {
			text, _ = json.Marshal(map[string]any{"@type": detail.TypeUrl, "value": detail.Value})
		}
		all = append(all, text)
	}
	return all
}

// plain tells whether a character may go to a terminal: no controls, and none that turn the
// direction of text.
func plain(r rune) bool {
	return r != utf8.RuneError && !unicode.IsControl(r) && !unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// A record is a line of JSON.
type record struct {
	Conn     int                 `json:"conn,omitempty"`
	Trunk    uint32              `json:"trunk,omitempty"`
	At       time.Time           `json:"at"`
	Kind     string              `json:"kind"`
	From     string              `json:"from,omitempty"`
	ID       *uint32             `json:"id,omitempty"`
	Method   string              `json:"method,omitempty"`
	Stream   bool                `json:"stream,omitempty"`
	Timeout  float64             `json:"timeout_seconds,omitempty"`
	Metadata map[string][]string `json:"metadata,omitempty"`
	Message  json.RawMessage     `json:"message,omitempty"`
	Raw      []byte              `json:"raw,omitempty"`
	Size     *int                `json:"size,omitempty"`
	Files    int                 `json:"files,omitempty"`
	Status   *statusRecord       `json:"status,omitempty"`
	Took     *float64            `json:"took_seconds,omitempty"`
	Number   uint32              `json:"number,omitempty"`
	Text     string              `json:"text,omitempty"`
}

type statusRecord struct {
	Code    int32             `json:"code"`
	Name    string            `json:"name"`
	Message string            `json:"message,omitempty"`
	Details []json.RawMessage `json:"details,omitempty"`
}

func (p *Printer) write(r record) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		return err
	}
	_, err := p.Out.Write(b.Bytes())
	return err
}

func (p *Printer) eventJSON(conn int, e watch.Event) error {
	r := record{Conn: conn, Trunk: e.Trunk, At: e.At, Kind: e.Kind.String(), From: "client", Files: e.Files, Number: e.Number, Text: e.Text}
	if e.FromServer {
		r.From = "server"
	}
	if e.StreamID != 0 || e.Kind == watch.Finish {
		r.ID = &e.StreamID
	}
	if e.Call != nil {
		r.Method = e.Call.FullMethod()
	}
	if e.Kind == watch.Begin {
		r.Stream, r.Timeout = e.Call.Streams, e.Call.Timeout.Seconds()
	}
	if len(e.Metadata) > 0 {
		r.Metadata = make(map[string][]string)
		for _, kv := range e.Metadata {
			r.Metadata[kv.Key] = append(r.Metadata[kv.Key], kv.Value)
		}
	}
	if e.HasMessage {
		r.Size = &e.Size
		if r.Message = p.decoded(e); r.Message == nil {
			r.Raw = e.Payload
		}
	}
	if e.Kind == watch.Finish || e.Status != nil {
		r.Status = &statusRecord{e.Status.GetCode(), codes.Code(e.Status.GetCode()).String(), e.Status.GetMessage(), p.detailsJSON(e.Status)}
	}
	if (e.Kind == watch.Finish || e.Kind == watch.Lost) && took(e) != "" {
		seconds := e.At.Sub(e.Call.Begun).Seconds()
		r.Took = &seconds
	}
	return p.write(r)
}
