// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"log"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/libchan"
)

// A worker does jobs.
type worker struct {
	name string
	log  *log.Logger
}

// work registers with the pool, and with whatever takes its place, until ctx ends.
func work(ctx context.Context, address string, w *worker) error {
	client, err := ttrpc.Dial("unix:"+address, libchan.WithSessions(),
		ttrpc.WithDialer(ttrpc.Dialer{Backoff: ttrpc.Backoff{Max: time.Second}}))
	if err != nil {
		return err
	}
	defer client.Close()
	for ctx.Err() == nil {
		session, err := libchan.Over(client)
		if err != nil {
			w.log.Printf("no pool: %v", err)
			continue
		}
		w.log.Print("connected")
		if err := w.serve(ctx, session); err != nil {
			return err
		}
		w.log.Printf("disconnected: %v", session.Cause())
	}
	w.log.Print("leaves")
	return nil
}

// serve offers itself again and again, until ctx or the session ends, or that drains.
func (w *worker) serve(ctx context.Context, session *libchan.Session) error {
	idle, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		<-session.Draining()
		stop()
	}()
	if s, err := session.OpenChannel(idle, offersChannel); err == nil {
		offers := libchan.Of[Offer](s)
		for idle.Err() == nil && w.offer(idle, offers) == nil {
		}
		offers.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	return session.Shutdown(ctx)
}

// offer makes one offer, and does the job that comes of it.
func (w *worker) offer(ctx context.Context, offers libchan.SendChan[Offer]) error {
	jobs, give := libchan.Make[Job](0)
	if err := offers.Send(ctx, Offer{w.name, give}); err != nil {
		return err
	}
	job, err := jobs.Receive(ctx)
	jobs.Cancel(errors.New(w.name + " takes no more"))
	if err != nil {
		return err
	}
	w.do(job)
	return nil
}

// do does a job to its end, unless nobody wants its results any more.
func (w *worker) do(job Job) {
	w.log.Printf("begins %s", job.Name)
	gone := job.Results.Sender().Done()
	for i := range job.Steps {
		select {
		case <-time.After(job.Step): // hard work
		case <-gone:
		}
		if err := job.Results.Send(context.Background(), Result{w.name, i + 1}); err != nil {
			w.log.Printf("gives up %s: %v", job.Name, err)
			return
		}
	}
	job.Results.Close()
	w.log.Printf("has done %s", job.Name)
}

// receive calls f for each result of a job, up to the end.
func receive(ctx context.Context, results libchan.RecvChan[Result], f func(Result)) error {
	for {
		result, err := results.Receive(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		f(result)
	}
}
