// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
)

// goodbye is how long the end of the connection is waited for in extended mode.
const goodbye = time.Second

// An exchange is one call that is under way.
type exchange struct {
	*caller
	begin time.Time
	files *ttrpc.CallFiles // nil if none can come or go
	saved *savedFiles      // nil without --save-files

	received  int
	undecoded error // the first answer that could not be printed
	unknown   bool  // an answer has had fields that nothing describes

	mu   sync.Mutex // for what a goroutine of its own sends
	sent int
}

// call makes the call, and tells how it has ended.
func (c *caller) call(ctx context.Context, client *ttrpc.Client, in *input) error {
	ctx, cancel, err := c.target.Context(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	x := &exchange{caller: c, begin: time.Now()}
	if c.saveFiles != "" {
		if x.saved, err = newSavedFiles(c.saveFiles, c.env.Stderr); err != nil {
			return err
		}
	}
	if len(c.files) > 0 || c.saveFiles != "" {
		ctx, x.files = ttrpc.WithFiles(ctx)
	}
	if c.clientStreams || c.serverStreams {
		err = x.stream(ctx, client, in)
	} else {
		err = x.unary(ctx, client, in)
	}
	x.tell()
	err = c.exit(err)
	c.known.Close()
	if c.target.Extended { // so that what is on its way leaves, the end of a cancelled call for example
		ctx, cancel := context.WithTimeout(context.Background(), goodbye)
		defer cancel()
		_ = client.Shutdown(ctx)
	}
	if x.saved != nil {
		err = errors.Join(err, x.saved.wait(ctx))
	}
	if err == nil {
		err = x.undecoded
	}
	return err
}

func (x *exchange) unary(ctx context.Context, client *ttrpc.Client, in *input) error {
	payload, err := in.single()
	if err != nil {
		return err
	}
	if err := x.attachToRequest(); err != nil {
		return err
	}
	x.tellSent(payload)
	answer := new(ttrpc.RawMessage)
	if err := client.Call(ctx, x.service, x.method, &ttrpc.RawMessage{Payload: payload}, answer); err != nil {
		return err
	}
	if err := x.print(answer.Payload); err != nil {
		return err
	}
	x.saveAnswersFiles()
	return nil
}

// attachToRequest attaches the files of message 1, if that is the request.
func (x *exchange) attachToRequest() error {
	if x.files == nil {
		return nil
	}
	if err := x.attached.most(1); err != nil {
		return err
	}
	if err := x.files.Attach(x.attached[1]...); err != nil {
		return cli.Input("", "--file: %w", err)
	}
	return nil
}

func (x *exchange) stream(ctx context.Context, client *ttrpc.Client, in *input) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var request any
	if !x.clientStreams {
		payload, err := in.single()
		if err != nil {
			return err
		}
		if err := x.attachToRequest(); err != nil {
			return err
		}
		x.tellSent(payload)
		request = &ttrpc.RawMessage{Payload: payload}
	}
	desc := &ttrpc.StreamDesc{StreamingClient: x.clientStreams, StreamingServer: x.serverStreams}
	s, err := client.NewStream(ctx, desc, x.service, x.method, request)
	if err != nil {
		return err
	}
	if x.clientStreams {
		go x.send(s, in, cancel)
	}
	err = x.receive(s)
	if input := new(cli.Exit); errors.As(context.Cause(ctx), &input) {
		return input // why send has given up
	}
	return err
}

// send sends all messages. What is wrong with one cancels the stream.
func (x *exchange) send(s ttrpc.ClientStream, in *input, cancel context.CancelCauseFunc) {
	for n := 1; ; n++ {
		payload, err := in.next()
		if errors.Is(err, io.EOF) {
			if err := x.attached.most(n - 1); err != nil {
				cancel(err)
				return
			}
			_ = s.CloseSend() // how the stream has ended RecvMsg tells
			return
		}
		if err != nil {
			cancel(err)
			return
		}
		var m any = &ttrpc.RawMessage{Payload: payload}
		if files := x.attached[n]; len(files) > 0 {
			m = &ttrpc.FileMessage{Message: m, Files: files}
		}
		x.tellSent(payload)
		if err := s.SendMsg(m); err != nil {
			if !errors.Is(err, io.EOF) {
				cancel(cli.CallExit(err))
			}
			return
		}
	}
}

// receive prints what comes, up to the end.
func (x *exchange) receive(s ttrpc.ClientStream) error {
	for {
		answer := new(ttrpc.RawMessage)
		withFiles := &ttrpc.FileMessage{Message: answer}
		var m any = answer
		if x.saved != nil {
			m = withFiles
		}
		err := s.RecvMsg(m)
		if errors.Is(err, io.EOF) {
			x.saveAnswersFiles()
			return nil
		}
		if err != nil {
			return err
		}
		if answer.EndsStream && x.serverStreams && len(answer.Payload) == 0 {
			continue // it is no message of the method's
		}
		if err := x.print(answer.Payload); err != nil {
			return err
		}
		if x.saved != nil {
			x.saved.save(x.received, withFiles.Files)
		}
	}
}

// saveAnswersFiles saves those that have come with the end of the call.
func (x *exchange) saveAnswersFiles() {
	if x.saved != nil {
		x.saved.save(x.received, x.files.Claim())
	}
}

// print prints an answer. One that cannot be printed as it should be goes to standard error,
// and ends nothing. The error is that of standard output.
func (x *exchange) print(payload []byte) error {
	x.received++
	x.verbose("message %d received: %d bytes after %v", x.received, len(payload), time.Since(x.begin).Round(time.Microsecond))
	out, err := x.render(payload)
	if err != nil {
		err = cli.Input("", "answer %d cannot be shown: %w", x.received, err)
		fmt.Fprintf(x.env.Stderr, "* %v; its fields are\n%s", err, message.Tree(payload))
		if x.undecoded == nil {
			x.undecoded = err
		}
		return nil
	}
	if x.received > 1 && !x.format.Compact && (x.raw || x.format.Text) {
		out = message.Separator + "\n" + out
	}
	if _, err := io.WriteString(x.env.Stdout, out+"\n"); err != nil {
		return cli.Input("", "standard output: %w", err)
	}
	return nil
}

func (x *exchange) render(payload []byte) (string, error) {
	switch {
	case !x.raw:
	case len(payload) == 0 && x.format.Compact: // as an empty line is none
		return "base64:", nil
	case len(payload) == 0:
		return "(no fields)", nil
	case !x.format.Compact:
		return strings.TrimSuffix(message.Tree(payload), "\n"), nil
	default:
		return hex.EncodeToString(payload), nil
	}
	m := dynamicpb.NewMessage(x.described.Output())
	if err := (proto.UnmarshalOptions{AllowPartial: true, Resolver: x.format.Types}).Unmarshal(payload, m); err != nil {
		return "", fmt.Errorf("it is no %s: %w", m.Descriptor().FullName(), err)
	}
	x.unknown = x.unknown || message.HasUnknown(m)
	out, err := x.format.Marshal(m)
	return string(out), err
}

func (x *exchange) tellSent(payload []byte) {
	x.mu.Lock()
	x.sent++
	n := x.sent
	x.mu.Unlock()
	x.verbose("message %d sent: %d bytes", n, len(payload))
}

func (c *caller) verbose(format string, args ...any) {
	if c.target.Verbose > 0 {
		fmt.Fprintf(c.env.Stderr, "* "+format+"\n", args...)
	}
}

// tell tells what is known at the end.
func (x *exchange) tell() {
	if x.unknown {
		fmt.Fprintln(x.env.Stderr, "* Some answers have fields that their description lacks, and that are not shown. --raw shows them.")
	}
	if x.line != nil {
		fmt.Fprintln(x.env.Stderr, x.line)
	}
}

// exit is the error that ends the command, with a status's details in full.
func (c *caller) exit(err error) error {
	err = detailed(cli.CallExit(err), &c.format)
	if exit := new(cli.Exit); c.raw && c.kind == "" && errors.As(err, &exit) && exit.Code == cli.ExitStatus+int(codes.Internal) {
		exit.Hint = "This was called as a method that takes one message and answers with one. If it streams, --stream says who does."
	}
	return err
}

// detailed adds a status's details to an error that is an [*cli.Exit].
func detailed(err error, format *message.Format) error {
	var exit *cli.Exit
	if !errors.As(err, &exit) || exit.Code < cli.ExitStatus || exit.Details != nil {
		return err
	}
	st, _ := status.FromError(exit.Err)
	for _, detail := range st.Proto().GetDetails() {
		text, err := (&message.Format{Types: format.Types, Compact: true}).Marshal(detail)
		if err != nil {
			text, _ = json.Marshal(map[string]any{"@type": detail.TypeUrl, "value": detail.Value})
		}
		exit.Details = append(exit.Details, text)
	}
	return err
}
