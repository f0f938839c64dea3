// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/target"
	"github.com/containerd/ttrpc/libchan"
)

// A watchedSession is what the flags of ttrpc channels say, and what it prints.
type watchedSession struct {
	env     *cli.Env
	target  target.Flags
	list    bool
	json    bool
	count   int
	quiet   time.Duration
	session *libchan.Session

	mu       sync.Mutex // guards what follows, and standard output
	channels int
	unnamed  int
	messages int
	enough   func()      // ends the command
	idle     *time.Timer // calls it, or nil
}

func newChannelsCommand(e *cli.Env) *cobra.Command {
	w := &watchedSession{env: e}
	cmd := &cobra.Command{
		Use:   "channels [flags] ADDRESS",
		Short: "List the channels that a server of libchan opens, and print their messages",
		Long: `List the channels that a server of libchan opens, and print their messages as JSON.

It begins a session, as any client of libchan, and takes the channels that the server opens to it.
That is all that a session tells: which names a server would take from a client it does not say. A
channel that came in a message is shown there, and nothing is received from it. It ends with the
session, with -c or --quiet, or with ^C.`,
		Example: `  ttrpc channels unix:/run/events.sock
  ttrpc channels unix:/run/events.sock --list --quiet 1s`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeAddress,
		RunE:              func(cmd *cobra.Command, args []string) error { return w.run(cmd.Context(), args[0]) },
	}
	w.target.RegisterConnect(cmd)
	cmd.Flags().BoolVarP(&w.list, "list", "l", false, "list channels only, and take no messages")
	cmd.Flags().IntVarP(&w.count, "count", "c", 0, "end after so many messages, or with --list channels; 0 is never")
	cli.Duration(cmd.Flags(), &w.quiet, "quiet", "q", 0, "end when nothing has come for so long; 0 is never")
	cmd.Flags().BoolVar(&w.json, "json", false, "print a line of JSON for all that happens")
	return cmd
}

func (w *watchedSession) run(ctx context.Context, text string) error {
	a, err := target.Parse(text)
	if err != nil {
		return err
	}
	conn, err := w.target.Dialer(a)(ctx)
	if err != nil {
		return target.ConnectExit(a, err)
	}
	if w.session, err = w.begin(ctx, conn); err != nil {
		conn.Close()
		return err
	}
	ctx, w.enough = context.WithCancel(ctx)
	defer w.enough()
	if w.quiet > 0 {
		w.idle = time.AfterFunc(w.quiet, w.enough)
		defer w.idle.Stop()
	}
	return w.watch(ctx)
}

// begin begins the session, in the time that there is for the connection.
func (w *watchedSession) begin(ctx context.Context, conn net.Conn) (*libchan.Session, error) {
	limited, cancel := ctx, context.CancelFunc(func() {})
	if w.target.ConnectTimeout > 0 {
		limited, cancel = context.WithTimeout(ctx, w.target.ConnectTimeout)
	}
	defer cancel()
	stop := context.AfterFunc(limited, func() { conn.Close() })
	session, err := libchan.NewClient(conn)
	switch {
	case stop() && err != nil:
		return nil, sessionExit(err)
	case ctx.Err() != nil:
		return nil, cli.CallExit(ctx.Err())
	case limited.Err() != nil:
		return nil, &cli.Exit{Code: cli.CodeDeadline, Err: errors.New("the server takes connections, and does not answer the question for a session"),
			Hint: `"ttrpc ping ADDRESS" tells whether it answers at all. --connect-timeout sets how long to try.`}
	}
	return session, nil
}

// sessionExit is the error of a session that has not begun.
func sessionExit(err error) error {
	exit := new(cli.Exit)
	if errors.As(cli.CallExit(err), &exit) {
		exit.Hint = "The server has no sessions of libchan, or does not know the extended mode."
	}
	return exit
}

// watch takes channels until the session or ctx ends.
func (w *watchedSession) watch(ctx context.Context) error {
	var all sync.WaitGroup
	for {
		name, r, err := w.session.Accept(ctx)
		if err != nil {
			if ctx.Err() != nil {
				w.session.Close() // which ends what receives
			}
			all.Wait()
			return w.ended(ctx)
		}
		label := w.opened(name)
		if w.list {
			defer r.Cancel(errors.New("it is only listed"))
			continue
		}
		all.Go(func() { w.receive(ctx, label, r) })
	}
}

// ended tells why the session has ended. That this side has had enough is no error.
func (w *watchedSession) ended(ctx context.Context) error {
	cause := w.session.Cause()
	w.session.Close()
	if ctx.Err() != nil || cause == nil || errors.Is(cause, io.EOF) {
		return nil
	}
	return &cli.Exit{Code: cli.ExitLost, Err: cause}
}

// opened counts and shows a channel, and returns what it is called: by its name, or by its number
// among those without one.
func (w *watchedSession) opened(name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.channels++
	label := name
	if name == "" {
		w.unnamed++
		label = "#" + strconv.Itoa(w.unnamed)
	}
	w.show(label, sessionEvent{Event: "open"}, "is open")
	if w.list {
		w.happenedLocked(w.channels)
	}
	return label
}

// happenedLocked takes note that something has come, so often by now.
func (w *watchedSession) happenedLocked(count int) {
	if w.idle != nil {
		w.idle.Reset(w.quiet)
	}
	if count == w.count {
		w.enough()
	}
}

// receive prints what comes on a channel until it ends.
func (w *watchedSession) receive(ctx context.Context, label string, r libchan.ContextReceiver) {
	for {
		raw := new(libchan.Raw)
		err := r.ReceiveContext(ctx, raw)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.closed(label, err)
			return
		}
		event, text := decode(raw)
		w.mu.Lock()
		w.show(label, event, text)
		w.messages++
		w.happenedLocked(w.messages)
		enough := w.messages == w.count
		w.mu.Unlock()
		if enough {
			return
		}
	}
}

// closed shows that a channel has ended.
func (w *watchedSession) closed(label string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(err, io.EOF) {
		w.show(label, sessionEvent{Event: "end"}, "has ended")
		return
	}
	w.show(label, sessionEvent{Event: "end", Error: err.Error()}, "has ended: "+err.Error())
}

// A sessionEvent is a line of --json.
type sessionEvent struct {
	Channel string `json:"channel"`
	Event   string `json:"event"` // open, message or end
	Message any    `json:"message,omitempty"`
	Codec   string `json:"codec,omitempty"` // of a message that cannot be decoded here
	Raw     []byte `json:"raw,omitempty"`   // its encoding
	Error   string `json:"error,omitempty"` // with which the channel has ended
}

// show prints a line. mu must be held.
func (w *watchedSession) show(label string, e sessionEvent, text string) {
	if w.json {
		e.Channel = label
		json.NewEncoder(w.env.Stdout).Encode(e)
		return
	}
	fmt.Fprintf(w.env.Stdout, "%s: %s\n", w.env.Paint(cli.Cyan, label), text)
}

// decode makes a message readable, whatever its codec.
func decode(raw *libchan.Raw) (sessionEvent, string) {
	codec, body := raw.Codec, raw.Body
	var value any
	r, s := libchan.BufferedPipe(1)
	if err := s.Send(raw); err == nil {
		if err = r.Receive(&value); err == nil {
			value = printable(value)
			if text, err := json.Marshal(value); err == nil {
				return sessionEvent{Event: "message", Message: value}, string(text)
			}
		}
	}
	event := sessionEvent{Event: "message", Codec: codec, Raw: body}
	if codec == libchan.Protobuf.Name() {
		return event, "a message of protobuf\n" + message.Tree(body)
	}
	return event, fmt.Sprintf("a message of the codec %s: %x", codec, body)
}

// printable replaces what JSON cannot have: keys that are no strings, and ends of channels and the
// like, which it drops.
func printable(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = printable(v[key])
		}
	case map[any]any:
		named := make(map[string]any, len(v))
		for key, x := range v {
			named[fmt.Sprint(key)] = printable(x)
		}
		return named
	case []any:
		for i := range v {
			v[i] = printable(v[i])
		}
	case libchan.ContextSender:
		v.CloseWithError(libchan.ErrDropped)
		return "(a channel to send on)"
	case libchan.ContextReceiver:
		v.Cancel(libchan.ErrDropped)
		return "(a channel to receive from)"
	case net.Listener:
		v.Close()
		return "(a listener)"
	case io.Closer:
		v.Close()
		return "(a byte stream or file)"
	}
	return value
}
