// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/libchan"
)

// submit has a job done, and calls progress for each result. It submits the job again for as
// long as it is certain that no worker has begun it.
func submit(ctx context.Context, jobs libchan.SendChan[Job], job Job, progress func()) (by string, err error) {
	for {
		var results libchan.RecvChan[Result]
		results, job.Results = libchan.Make[Result](1)
		if err := jobs.Send(ctx, job); err != nil {
			return "", err
		}
		err := receive(ctx, results, func(r Result) {
			by = r.Worker
			progress()
		})
		if by != "" || !errors.Is(err, libchan.ErrDropped) {
			results.Cancel(err) // else the worker would go on
			return by, err
		}
	}
}

// submitAll has jobs done, all at once, and returns when they are. It calls progress after
// each step.
func submitAll(ctx context.Context, address string, names []string, log *log.Logger, progress func()) error {
	client, err := ttrpc.Dial("unix:"+address, libchan.WithSessions())
	if err != nil {
		return err
	}
	defer client.Close()
	session, err := libchan.Over(client)
	if err != nil {
		return err
	}
	defer session.Close()
	s, err := session.OpenChannel(ctx, jobsChannel)
	if err != nil {
		return err
	}
	jobs := libchan.Of[Job](s)
	results := make(chan error, len(names))
	for _, name := range names {
		go func() {
			by, err := submit(ctx, jobs, Job{Name: name, Steps: 5, Step: 50 * time.Millisecond}, progress)
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
