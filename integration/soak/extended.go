// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !released

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	released     = false
	defaultModes = "both"
)

// extendedKinds are those that only the extended mode has.
var extendedKinds = []kind{
	{"call that calls back", 40, leavesNothing, callThatCallsBack},
	{"call with a file each way", 20, leavesNothing, callWithFiles},
	{"cancel that the handler is told of", 20, leavesNothing, toldCancel},
}

func (m mode) clientOptions() []ttrpc.ClientOpts {
	if m == classic {
		return nil
	}
	return []ttrpc.ClientOpts{ttrpc.WithExtensions(), ttrpc.WithClientServices(ours().server)}
}

func (m modes) serverOptions() []ttrpc.ServerOpt {
	if !slices.Contains(m, extended) {
		return nil
	}
	return []ttrpc.ServerOpt{ttrpc.WithServerExtensions()}
}

// agreed returns an error if the client's connection is not in the mode.
func (m mode) agreed(c *ttrpc.Client) error {
	is, err := c.Extended(context.Background())
	if err == nil && is != (m == extended) {
		err = &mismatch{fmt.Sprintf("B46: the connection's mode is not %s", m)}
	}
	return err
}

func isNotExecuted(err error) bool { return errors.Is(err, ttrpc.ErrNotExecuted) }

// extend adds the methods that calls of the extendedKinds have.
func (s *service) extend(desc *ttrpc.ServiceDesc) {
	desc.Methods["Back"] = s.method(s.back)
	desc.Methods["File"] = s.method(s.file)
	desc.Streams["Await"] = ttrpc.Stream{Handler: s.stream(s.await), StreamingClient: true, StreamingServer: true}
}

// callThatCallsBack has the handler make a call itself, to this side.
func callThatCallsBack(a *attempt) (string, error) {
	o := a.order()
	o.Size = uint32(randomSize(a.rng, largest))
	return a.judge(o, a.callMethod(context.Background(), "Back", o, randomSize(a.rng, 1024)), answered)
}

func (s *service) back(ctx context.Context, o *order) (*wrapperspb.BytesValue, error) {
	client, err := ttrpc.PeerClient(ctx)
	if err != nil {
		return nil, err
	}
	c, resp := o.sent(0), new(wrapperspb.BytesValue)
	if err := client.Call(ctx, clientServiceName, "Echo", c.message(), resp); err != nil {
		return nil, err
	}
	if err := c.check(invert(resp.Value)); err != nil {
		return nil, dataLoss("the answer to a call back", err)
	}
	return s.corrupt(o, o.answer().message()), nil
}

// callWithFiles has one pipe come with the request and one with the answer.
func callWithFiles(a *attempt) (string, error) {
	o := a.order()
	o.Size = uint32(a.rng.IntN(pipeSize))
	file, err := pipeOf(o.sent(0))
	if err != nil {
		return "", err
	}
	ctx, files := ttrpc.WithFiles(context.Background())
	err = files.Attach(file)
	file.Close()
	if err == nil {
		err = a.client.Call(ctx, serviceName, "File", o.message(0), new(wrapperspb.BytesValue))
	}
	if err == nil {
		err = checkFiles(files, o.answer())
	}
	return a.judge(o, err, answered)
}

func (s *service) file(ctx context.Context, o *order) (*wrapperspb.BytesValue, error) {
	files, err := ttrpc.FilesFromContext(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkFiles(files, o.sent(0)); err != nil {
		return nil, dataLoss("the file", err)
	}
	file, err := pipeOf(o.answer())
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return wrapperspb.Bytes(nil), files.Attach(file)
}

// pipeSize is what any pipe takes at once.
const pipeSize = 4096

// pipeOf returns a pipe from which the content can be read.
func pipeOf(c content) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if _, err := w.Write(c.message().Value); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// checkFiles reads the one file that has come.
func checkFiles(files *ttrpc.CallFiles, want content) error {
	claimed := files.Claim()
	for _, file := range claimed {
		defer file.Close()
	}
	if len(claimed) != 1 {
		return &mismatch{fmt.Sprintf("%d files have come, want 1", len(claimed))}
	}
	b, err := io.ReadAll(claimed[0])
	if err != nil {
		return err
	}
	return want.check(b)
}

// toldCancel gives a stream up whose handler waits for that, and has it say by a call to
// this side what it was told.
func toldCancel(a *attempt) (string, error) {
	o := a.order()
	o.Must, o.Count, o.Size = false, 1, 512
	told := ours().expect(o.Call)
	defer ours().forget(o.Call)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	t, err := a.open(ctx, "Await", chats, o)
	if err == nil {
		err = t.receive(0, 1)
	}
	if err != nil {
		return a.judge(o, err)
	}
	cancel()
	if err = t.end(io.EOF); err == context.Canceled {
		select {
		case code := <-told:
			if code != codes.Canceled {
				err = &mismatch{fmt.Sprintf("B47: the handler's context has ended with a cause of code %v", code)}
			}
		case <-a.client.Done():
			err = ttrpc.ErrClosed
		}
	}
	return a.judge(o, err, canceled)
}

// await sends a message and waits for its context to end.
func (s *service) await(ctx context.Context, o *order, stream ttrpc.StreamServer) (any, error) {
	client, err := ttrpc.PeerClient(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.send(o, 0, stream); err != nil {
		return nil, err
	}
	<-ctx.Done()
	told := &order{Call: o.Call, Failure: uint8(status.Code(context.Cause(ctx)))}
	// Nobody waits for what becomes of this but who made the call.
	_ = client.Call(context.WithoutCancel(ctx), clientServiceName, "Told", told.message(0), new(wrapperspb.BytesValue))
	return nil, ctx.Err()
}
