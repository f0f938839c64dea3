// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !released

package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"os"
	"sort"
	"time"

	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/conformance/service"
)

// serve gives each connection a server of its own, so that one may leave alone.
func serve(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go newServer().ServeConn(context.Background(), conn)
	}
}

func newServer() *ttrpc.Server {
	s, err := ttrpc.NewServer(ttrpc.WithServerExtensions(), ttrpc.WithServerLimits(ttrpc.Limits{Files: 300}))
	if err != nil {
		log.Fatal(err)
	}
	register(s, func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		s.Shutdown(ctx)
	})
	return s
}

func newClient(conn net.Conn, extended, serves bool) *ttrpc.Client {
	if !extended {
		return ttrpc.NewClient(conn)
	}
	opts := []ttrpc.ClientOpts{ttrpc.WithExtensions(), ttrpc.WithClientLimits(ttrpc.Limits{Files: 300})}
	if serves {
		s, err := ttrpc.NewServer()
		if err != nil {
			log.Fatal(err)
		}
		register(s, func() {})
		opts = append(opts, ttrpc.WithClientServices(s))
	}
	return ttrpc.NewClient(conn, opts...)
}

func shutdown(client *ttrpc.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client.Shutdown(ctx)
}

// codeOfEnd is the code of what has ended a handler's context.
func codeOfEnd(ctx context.Context) int32 {
	cause := context.Cause(ctx)
	if errors.Is(cause, context.DeadlineExceeded) {
		return 4
	}
	if s, ok := status.FromError(cause); ok {
		return int32(s.Code())
	}
	return 1
}

func setMetadata(ctx context.Context, ask *service.Request) {
	md := func(pairs []*service.Pair) ttrpc.MD {
		md := make(ttrpc.MD)
		for _, p := range pairs {
			md[p.Key] = append(md[p.Key], p.Value)
		}
		return md
	}
	if len(ask.Header) > 0 {
		ttrpc.SetHeader(ctx, md(ask.Header))
	}
	if len(ask.Trailer) > 0 {
		ttrpc.SetTrailer(ctx, md(ask.Trailer))
	}
	ask.Header, ask.Trailer = nil, nil // once
}

func callBack(ctx context.Context, ask *service.Request) (*service.Answer, error) {
	client, err := ttrpc.PeerClient(ctx)
	if err != nil {
		return nil, err
	}
	answer := new(service.Answer)
	return answer, client.Call(ctx, serviceName, "Unary", ask, answer)
}

func files(ctx context.Context, ask *service.Request) (*service.Answer, error) {
	calls, err := ttrpc.FilesFromContext(ctx)
	if err != nil {
		return nil, err
	}
	texts, err := readAll(calls.Claim())
	if err != nil {
		return nil, err
	}
	for range ask.Count {
		if err := attach(calls, ask.Text); err != nil {
			return nil, err
		}
	}
	return &service.Answer{Text: ask.Text, Files: texts}, nil
}

// attach sends a file from which a text is read.
func attach(calls *ttrpc.CallFiles, text string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	return calls.Attach(r)
}

func readAll(files []*os.File) ([]string, error) {
	var texts []string
	for _, f := range files {
		b, err := io.ReadAll(f)
		f.Close()
		if err != nil {
			return nil, err
		}
		texts = append(texts, string(b))
	}
	return texts, nil
}

// withExtras adds to a call what only the extended mode has. The function that it returns puts
// what has come into the result.
func withExtras(ctx context.Context, c *command) (context.Context, func(*result), error) {
	if !c.Extended {
		return ctx, func(*result) {}, nil
	}
	ctx, answer := ttrpc.WithResponseMetadata(ctx)
	ctx, calls := ttrpc.WithFiles(ctx)
	finish := func(r *result) {
		canceled, cancel := context.WithCancel(context.Background())
		cancel()
		header, _ := answer.Header(canceled)
		r.Header, r.Trailer = pairs(header), pairs(answer.Trailer())
		var err error
		if r.Files, err = readAll(calls.Claim()); err != nil {
			r.Error = err.Error()
		}
	}
	for _, text := range c.Files {
		if err := attach(calls, text); err != nil {
			return ctx, finish, err
		}
	}
	return ctx, finish, nil
}

func pairs(md ttrpc.MD) (out [][2]string) {
	for key, values := range md {
		for _, value := range values {
			out = append(out, [2]string{key, value})
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i][0] < out[j][0] })
	return out
}
