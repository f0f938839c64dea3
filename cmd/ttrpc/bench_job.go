// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync/atomic"
	texttemplate "text/template"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/load"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
)

// A template makes the messages of calls.
type template struct {
	bench *bench
	text  *texttemplate.Template // nil if they are the same for all calls
	plain string
	once  [][]byte // what plain is, encoded
}

// newTemplate reads -d.
func (b *bench) newTemplate() (*template, error) {
	t := &template{bench: b, plain: b.data}
	if name, isFile := strings.CutPrefix(b.data, "@"); isFile {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, cli.Input("", "-d: %w", err)
		}
		t.plain = string(data)
	}
	if !strings.Contains(t.plain, "{{") {
		var err error
		t.once, err = t.encode(t.plain)
		return t, err
	}
	parsed, err := texttemplate.New("-d").Option("missingkey=error").Parse(t.plain)
	if err != nil {
		return nil, cli.Input("{{.N}} is the number of the call, {{.M}} that of the message in a stream.", "-d: %w", err)
	}
	t.text = parsed
	return t, nil
}

// call returns the messages of call number n, encoded: one, or those that are sent on a stream.
func (t *template) call(n int64) ([][]byte, error) {
	count := max(t.bench.messages, 1)
	if t.text == nil {
		if t.bench.messages == 0 {
			return t.once, nil
		}
		all := make([][]byte, count)
		for m := range all {
			all[m] = t.once[m%len(t.once)]
		}
		return all, nil
	}
	var all [][]byte
	for m := 0; len(all) < count; m++ {
		var b bytes.Buffer
		if err := t.text.Execute(&b, struct{ N, M int64 }{n, int64(m)}); err != nil {
			return nil, cli.Input("{{.N}} is the number of the call, {{.M}} that of the message in a stream.", "-d: %w", err)
		}
		some, err := t.encode(b.String())
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
		if t.bench.messages == 0 {
			return all, nil
		}
	}
	return all[:count], nil
}

// encode reads messages, of which there is one at least: an empty one if the text has none.
func (t *template) encode(text string) (all [][]byte, err error) {
	b := t.bench
	if b.raw {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			payload, err := message.Parse(line)
			if err != nil {
				return nil, cli.Input("", "-d: %w", err)
			}
			all = append(all, payload)
		}
	} else {
		for r := b.format.NewReader(strings.NewReader(text)); ; {
			m := dynamicpb.NewMessage(b.described.Input())
			if err := r.Next(m); err == io.EOF {
				break
			} else if err != nil {
				return nil, cli.Input(`"ttrpc describe --template" shows how the message looks.`, "-d: %w", err)
			}
			payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
			if err != nil {
				return nil, cli.Input("", "-d: %w", err)
			}
			all = append(all, payload)
		}
	}
	if len(all) > 1 && !b.clientStreams {
		return nil, cli.Input("", "-d: %s/%s takes one message, and there are %d", b.service, b.method, len(all))
	}
	if len(all) == 0 {
		all = [][]byte{nil}
	}
	return all, nil
}

// counts are of messages, by all callers.
type counts struct {
	sent, received atomic.Int64
	trips          *load.Times // of --pairs; nil while warming up
}

// A benchJob makes calls for one caller.
type benchJob struct {
	*bench
	client   *ttrpc.Client
	messages [][]byte // of the next call
}

func (b *bench) newJob(caller int) load.Job {
	return &benchJob{bench: b, client: b.clients[caller%len(b.clients)]}
}

// Prepare implements [load.Job].
func (j *benchJob) Prepare(n int64) (err error) {
	j.messages, err = j.template.call(n)
	return err
}

// Call implements [load.Job]. When a connection is lost that is the end.
func (j *benchJob) Call(ctx context.Context) (err error, fatal bool) {
	cancel := func() {}
	if j.timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, j.timeout)
	}
	defer cancel()
	if j.clientStreams || j.serverStreams {
		err = j.stream(ctx)
	} else {
		err = j.client.Call(ctx, j.service, j.method, &ttrpc.RawMessage{Payload: j.messages[0]}, new(ttrpc.RawMessage))
		j.counts.sent.Add(1)
		if err == nil {
			j.counts.received.Add(1)
		}
	}
	return err, errors.Is(err, ttrpc.ErrClosed) || err == error(errNoPair)
}

// stream opens a stream, sends all messages, and receives until the end.
func (j *benchJob) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // what still sends
	desc := &ttrpc.StreamDesc{StreamingClient: j.clientStreams, StreamingServer: j.serverStreams}
	if !j.clientStreams {
		s, err := j.client.NewStream(ctx, desc, j.service, j.method, &ttrpc.RawMessage{Payload: j.messages[0]})
		if err != nil {
			return err
		}
		j.counts.sent.Add(1)
		return j.receive(s)
	}
	s, err := j.client.NewStream(ctx, desc, j.service, j.method, nil)
	if err != nil {
		return err
	}
	if j.pairs {
		return j.sendPairs(s)
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for _, m := range j.messages {
			if s.SendMsg(&ttrpc.RawMessage{Payload: m}) != nil {
				return // RecvMsg tells why
			}
			j.counts.sent.Add(1)
		}
		s.CloseSend()
	}()
	err = j.receive(s)
	cancel()
	<-sent
	return err
}

// receive receives until the stream ends.
func (j *benchJob) receive(s ttrpc.ClientStream) error {
	for {
		m := new(ttrpc.RawMessage)
		switch err := s.RecvMsg(m); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		j.counts.received.Add(1)
		if !j.serverStreams {
			return nil
		}
	}
}

// errNoPair is the error of a stream whose server has ended it before it has answered all.
var errNoPair = cli.Usage("Leave --pairs out: the method does not answer message by message.",
	"the server has ended the stream before it has answered each message")

// sendPairs waits for an answer to each message.
func (j *benchJob) sendPairs(s ttrpc.ClientStream) error {
	for _, m := range j.messages {
		began := time.Now()
		if err := s.SendMsg(&ttrpc.RawMessage{Payload: m}); err != nil && err != io.EOF {
			return err
		}
		j.counts.sent.Add(1)
		if err := s.RecvMsg(new(ttrpc.RawMessage)); err == io.EOF {
			return errNoPair
		} else if err != nil {
			return err
		}
		j.counts.received.Add(1)
		if j.counts.trips != nil {
			j.counts.trips.Add(time.Since(began))
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	return j.receive(s)
}
