// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package stubs

import (
	"context"
	"io"
	"reflect"
	"testing"

	"github.com/containerd/ttrpc"
)

// modeKey is the metadata that tells a handler what to do.
const modeKey = "mode"

// The modes: messages with all fields set, with none, and failing.
var modes = []string{"full", "empty", "fail"}

// streamed is how many messages a stream has.
const streamed = 3

// A method is one of a service, as reflection sees it in the server's interface.
type method struct {
	Messages
	name    string
	seed    int
	in, out reflect.Type // pointers to messages
	streams bool         // the server does
}

// methodsOf leaves out those whose client streams: they have no request.
func methodsOf(s Service, m Messages) []method {
	var all []method
	for i := range s.methods.NumMethod() {
		f := s.methods.Method(i)
		next := method{Messages: m, name: f.Name, seed: 100 * i}
		switch {
		case f.Type.NumOut() == 2:
			next.in, next.out = f.Type.In(1), f.Type.Out(0)
		case f.Type.NumIn() == 3:
			send, _ := f.Type.In(2).MethodByName("Send")
			next.in, next.out, next.streams = f.Type.In(1), send.Type.In(0), true
		default:
			continue
		}
		all = append(all, next)
	}
	return all
}

// CallAll calls every method in every mode. Each call takes two hops, so that the
// stubs of both sides are used: the generated server, which the test calls by the
// generated client, has as its implementation the generated client of a server that
// checks what comes.
func (s Service) CallAll(t *testing.T, m Messages) {
	desc := &ttrpc.ServiceDesc{Methods: make(map[string]ttrpc.Method), Streams: make(map[string]ttrpc.Stream)}
	methods := methodsOf(s, m)
	for _, f := range methods {
		if f.streams {
			desc.Streams[f.name] = ttrpc.Stream{Handler: f.handleStream(t), StreamingServer: true}
		} else {
			desc.Methods[f.name] = f.handle(t)
		}
	}
	back := Serve(t, func(server *ttrpc.Server) { server.RegisterService(s.Name, desc) })
	front := Serve(t, func(server *ttrpc.Server) { s.register(server, back) })
	client := reflect.ValueOf(s.client(front))
	for _, f := range methods {
		for _, mode := range modes {
			t.Run(f.name+"/"+mode, func(t *testing.T) {
				ctx := ttrpc.WithMetadata(t.Context(), ttrpc.MD{modeKey: {mode}})
				f.call(t, ctx, client.MethodByName(f.name), mode)
			})
		}
	}
}

// message returns a message for a mode.
func (f method) message(pointer reflect.Type, mode string, seed int) any {
	message := reflect.New(pointer.Elem()).Interface()
	if mode == "full" {
		f.Fill(message, f.seed+seed)
	}
	return message
}

// call makes a call. What comes back is one message, or those of a stream.
func (f method) call(t *testing.T, ctx context.Context, client reflect.Value, mode string) {
	t.Helper()
	in := f.message(f.in, mode, 0)
	next, count := client, 1
	args := []reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(in)}
	if f.streams {
		results := client.Call(args)
		if err := asError(results[1]); err != nil {
			t.Fatal(err)
		}
		next, count, args = results[0].MethodByName("Recv"), streamed, nil
	}
	for i := range count {
		results := next.Call(args)
		err := asError(results[1])
		if mode == "fail" && i == count-1 {
			if !f.IsFailure(err) {
				t.Errorf("B9: the error is %v, want %v", err, f.Failure)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, want := results[0].Interface(), f.message(f.out, mode, i+1); !f.Equal(got, want) {
			t.Errorf("B44: message %d of the answer is\n%v, want\n%v", i, got, want)
		}
	}
	if f.streams {
		if err := asError(next.Call(nil)[1]); err != io.EOF {
			t.Errorf("B21: the end of the stream is %v", err)
		}
	}
}

func asError(v reflect.Value) error {
	err, _ := v.Interface().(error)
	return err
}

// receive takes the request and returns the mode.
func (f method) receive(t *testing.T, ctx context.Context, unmarshal func(any) error) (mode string, err error) {
	md, _ := ttrpc.GetMetadata(ctx)
	values, _ := md.Get(modeKey)
	if len(values) != 1 {
		t.Errorf("%s: the metadata is %v", f.name, md)
		return "", f.Failure
	}
	in := f.message(f.in, "empty", 0)
	if err := unmarshal(in); err != nil {
		return "", err
	}
	if want := f.message(f.in, values[0], 0); !f.Equal(in, want) {
		t.Errorf("B44: the request of %s is\n%v, want\n%v", f.name, in, want)
	}
	return values[0], nil
}

func (f method) handle(t *testing.T) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(any) error) (any, error) {
		mode, err := f.receive(t, ctx, unmarshal)
		if err != nil {
			return nil, err
		}
		if mode == "fail" {
			return nil, f.Failure
		}
		return f.message(f.out, mode, 1), nil
	}
}

func (f method) handleStream(t *testing.T) ttrpc.StreamHandler {
	return func(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
		mode, err := f.receive(t, ctx, stream.RecvMsg)
		if err != nil {
			return nil, err
		}
		for i := range streamed {
			if mode == "fail" && i == streamed-1 {
				return nil, f.Failure
			}
			if err := stream.SendMsg(f.message(f.out, mode, i+1)); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
}
