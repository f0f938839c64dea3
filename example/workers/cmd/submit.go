// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/workers"
)

// submit has a job done, and calls progress after each step. It submits the job again for
// as long as it is certain that nobody has begun it.
func submit(ctx context.Context, dispatcher workers.DispatcherClient, job *workers.Job, progress func()) (by string, err error) {
	for {
		stream, err := dispatcher.Submit(ctx, job)
		for err == nil {
			var p *workers.Progress
			if p, err = stream.Recv(); err == nil {
				by = p.Worker
				progress()
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return by, nil
		case status.Code(err) != codes.Unavailable || errors.Is(err, ttrpc.ErrClosed):
			return by, err // it may have been begun
		}
	}
}

// submitAll has jobs done, all at once, and returns when they are. It calls progress after
// each step.
func submitAll(ctx context.Context, address string, names []string, log *log.Logger, progress func()) error {
	client, err := ttrpc.Dial("unix:"+address, ttrpc.WithExtensions())
	if err != nil {
		return err
	}
	defer client.Close()
	dispatcher := workers.NewDispatcherClient(client)
	results := make(chan error, len(names))
	for _, name := range names {
		go func() {
			by, err := submit(ctx, dispatcher, newJob(name), progress)
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			} else {
				log.Printf("%s was done by %s", name, by)
			}
			results <- err
		}()
	}
	var errs error
	for range names {
		errs = errors.Join(errs, <-results)
	}
	return errs
}

func newJob(name string) *workers.Job {
	return &workers.Job{Name: name, Steps: 5, Step: durationpb.New(50 * time.Millisecond)}
}
