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
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// callWithFiles has one pipe come with the request and one with the answer.
func callWithFiles(a *attempt) (string, error) {
	o := a.order()
	o.Size = uint32(a.rng.IntN(pipeSize))
	return a.judge(o, passFiles(context.Background(), a.client, serviceName, o), answered)
}

func (s *service) file(ctx context.Context, o *order) (*wrapperspb.BytesValue, error) {
	files, err := ttrpc.FilesFromContext(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkFiles(files.Claim(), o.sent(0)); err != nil {
		return nil, lostOr("the file", err)
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
func checkFiles(claimed []*os.File, want content) error {
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

// canceledFiles is given up while files are under way, one each way. Whatever becomes of
// it, none may stay open.
func canceledFiles(a *attempt) (string, error) {
	o := a.order()
	o.Must = false
	o.Size = uint32(a.rng.IntN(pipeSize))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	timer := time.AfterFunc(time.Duration(a.rng.IntN(1000))*time.Microsecond, cancel)
	defer timer.Stop()
	return a.judge(o, passFiles(ctx, a.client, serviceName, o), canceled, answered)
}

// passFiles calls the method File, with a pipe each way.
func passFiles(ctx context.Context, client *ttrpc.Client, service string, o *order) error {
	file, err := pipeOf(o.sent(0))
	if err != nil {
		return err
	}
	defer file.Close()
	ctx, files := ttrpc.WithFiles(ctx)
	if err := files.Attach(file); err != nil {
		return err
	}
	if err := client.Call(ctx, service, "File", o.message(0), new(wrapperspb.BytesValue)); err != nil {
		for _, file := range files.Claim() {
			file.Close()
		}
		return err
	}
	return checkFiles(files.Claim(), o.answer())
}

// streamWithFiles has a pipe come with each message, in both directions.
func streamWithFiles(a *attempt) (string, error) {
	o := a.order()
	o.Count, o.Size = uint32(a.rng.IntN(6)), pipeSize
	t, err := a.open(context.Background(), "Files", chats, o)
	for i := 0; err == nil && i < int(o.Count); i++ {
		if err = t.because(sendWithFile(t, o.sent(i))); err == nil {
			err = receiveWithFile(t, o.received(i))
		}
	}
	if err == nil {
		err = t.because(t.CloseSend())
	}
	if err == nil {
		err = t.end(io.EOF)
	}
	return a.judge(o, err, answered)
}

// files answers each message, and the file with it, with one.
func (s *service) files(_ context.Context, o *order, stream ttrpc.StreamServer) (any, error) {
	for i := range int(o.Count) {
		if err := receiveWithFile(stream, o.sent(i)); err != nil {
			return nil, lostOr(fmt.Sprintf("message %d or its file", i), err)
		}
		if err := sendWithFile(stream, o.received(i)); err != nil {
			return nil, err
		}
	}
	if err := stream.RecvMsg(new(wrapperspb.BytesValue)); !errors.Is(err, io.EOF) {
		return nil, status.Errorf(codes.DataLoss, "the end of the client's messages is %v", err)
	}
	return nil, nil
}

// sendWithFile sends a message, and a pipe with the same content.
func sendWithFile(stream interface{ SendMsg(any) error }, c content) error {
	file, err := pipeOf(c)
	if err != nil {
		return err
	}
	defer file.Close()
	return stream.SendMsg(&ttrpc.FileMessage{Message: c.message(), Files: []*os.File{file}})
}

// receiveWithFile receives a message, and a pipe with the same content.
func receiveWithFile(stream interface{ RecvMsg(any) error }, want content) error {
	m := new(wrapperspb.BytesValue)
	fm := &ttrpc.FileMessage{Message: m}
	if err := stream.RecvMsg(fm); err != nil {
		return err
	}
	return errors.Join(checkFiles(fm.Files, want), want.check(m.Value))
}

// lostOr is data loss if the error is a mismatch.
func lostOr(what string, err error) error {
	var wrong *mismatch
	if errors.As(err, &wrong) {
		return dataLoss(what, err)
	}
	return err
}
