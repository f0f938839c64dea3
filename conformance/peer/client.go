// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/conformance/service"
)

// A command is a line that the runner writes; docs/conformance.md tells of it.
type command struct {
	ID       int         `json:"id"`
	Do       string      `json:"do"`
	Address  string      `json:"address"`
	Extended bool        `json:"extended"`
	Serves   bool        `json:"serves"`
	Method   string      `json:"method"`
	Messages []string    `json:"messages"`
	Metadata [][2]string `json:"metadata"`
	Timeout  int         `json:"timeout_ms"`
	KeepOpen bool        `json:"keep_open"`
	Files    []string    `json:"files"`
	Call     int         `json:"call"`
}

// A result is a line that the runner reads.
type result struct {
	ID       int         `json:"id"`
	Code     int         `json:"code"`
	Text     string      `json:"text,omitempty"`
	Details  []string    `json:"details,omitempty"`
	Messages []string    `json:"messages,omitempty"`
	Header   [][2]string `json:"header,omitempty"`
	Trailer  [][2]string `json:"trailer,omitempty"`
	Files    []string    `json:"files,omitempty"`
	Error    string      `json:"error,omitempty"`
}

// A tester carries out commands.
type tester struct {
	mu      sync.Mutex
	out     *json.Encoder
	clients map[string]*ttrpc.Client
	calls   map[int]context.CancelFunc
}

func runClient(r io.Reader, w io.Writer) {
	t := &tester{out: json.NewEncoder(w), clients: make(map[string]*ttrpc.Client), calls: make(map[int]context.CancelFunc)}
	s := bufio.NewScanner(r)
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		c := new(command)
		if err := json.Unmarshal(s.Bytes(), c); err != nil {
			t.reply(result{Error: err.Error()})
			continue
		}
		t.do(c)
	}
}

func (t *tester) reply(r result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out.Encode(r)
}

func (t *tester) do(c *command) {
	switch c.Do {
	case "call":
		client, err := t.client(c)
		if err != nil {
			t.reply(result{ID: c.ID, Code: -1, Text: err.Error()})
			return
		}
		ctx, cancel := context.WithCancel(context.Background())
		t.calls[c.ID] = cancel
		go func() {
			defer cancel()
			t.reply(call(ctx, client, c))
		}()
	case "cancel":
		t.calls[c.Call]()
		t.reply(result{ID: c.ID})
	case "close", "leave":
		client := t.clients[c.Address]
		delete(t.clients, c.Address)
		if client != nil && c.Do == "leave" {
			go shutdown(client)
		} else if client != nil {
			client.Close()
		}
		t.reply(result{ID: c.ID})
	default:
		t.reply(result{ID: c.ID, Error: fmt.Sprintf("%q is no command of this client", c.Do)})
	}
}

// client returns the client of an address, and connects before if there is none.
func (t *tester) client(c *command) (*ttrpc.Client, error) {
	if client := t.clients[c.Address]; client != nil {
		return client, nil
	}
	conn, err := dial(c.Address)
	if err != nil {
		return nil, err
	}
	client := newClient(conn, c.Extended, c.Serves)
	t.clients[c.Address] = client
	return client, nil
}

// call makes a call, and says what became of it.
func call(ctx context.Context, client *ttrpc.Client, c *command) (r result) {
	r.ID = c.ID
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(c.Timeout)*time.Millisecond)
		defer cancel()
	}
	md := make(ttrpc.MD)
	for _, pair := range c.Metadata {
		md[pair[0]] = append(md[pair[0]], pair[1])
	}
	if len(md) > 0 {
		ctx = ttrpc.WithMetadata(ctx, md)
	}
	ctx, finish, err := withExtras(ctx, c)
	if err == nil {
		err = exchange(ctx, client, c, &r)
	}
	finish(&r)
	if err == nil {
		return r
	}
	r.Code, r.Text = -1, err.Error()
	if s, ok := status.FromError(err); ok {
		r.Code, r.Text = int(s.Code()), s.Message()
		for _, d := range s.Proto().Details {
			b, err := proto.Marshal(d)
			if err != nil {
				r.Error = err.Error()
			}
			r.Details = append(r.Details, hex.EncodeToString(b))
		}
	}
	return r
}

// exchange sends the messages, and receives all that come.
func exchange(ctx context.Context, client *ttrpc.Client, c *command, r *result) error {
	asks, err := messages(c)
	if err != nil {
		return err
	}
	desc := &ttrpc.StreamDesc{
		StreamingClient: c.Method == "ClientStream" || c.Method == "Bidi",
		StreamingServer: c.Method == "ServerStream" || c.Method == "Bidi",
	}
	if !desc.StreamingClient && len(asks) != 1 {
		return errors.New("the method takes one message")
	}
	if !desc.StreamingClient && !desc.StreamingServer {
		answer := new(service.Answer)
		if err := client.Call(ctx, serviceName, c.Method, asks[0], answer); err != nil {
			return err
		}
		return r.add(answer)
	}
	var first any
	if !desc.StreamingClient {
		first = asks[0]
	}
	stream, err := client.NewStream(ctx, desc, serviceName, c.Method, first)
	if err != nil {
		return err
	}
	if desc.StreamingClient {
		for _, ask := range asks {
			if err := stream.SendMsg(ask); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
		}
		if !c.KeepOpen {
			if err := stream.CloseSend(); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
		}
	}
	for {
		answer := new(service.Answer)
		err := stream.RecvMsg(answer)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.add(answer); err != nil || !desc.StreamingServer {
			return err
		}
	}
}

// messages decodes what a command has to send.
func messages(c *command) (asks []proto.Message, err error) {
	for _, text := range c.Messages {
		b, err := hex.DecodeString(text)
		if err != nil {
			return nil, err
		}
		ask := proto.Message(new(service.Request))
		if c.Method == "Fail" {
			ask = new(service.Status)
		}
		if err := proto.Unmarshal(b, ask); err != nil {
			return nil, err
		}
		asks = append(asks, ask)
	}
	return asks, nil
}

func (r *result) add(m proto.Message) error {
	b, err := proto.Marshal(m)
	r.Messages = append(r.Messages, hex.EncodeToString(b))
	return err
}
