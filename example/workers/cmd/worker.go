// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/workers"
)

// A worker does jobs. It implements the generated workers.WorkerService.
type worker struct {
	name string
	log  *log.Logger
}

func (w *worker) Introduce(context.Context, *emptypb.Empty) (*workers.Introduction, error) {
	return &workers.Introduction{Name: w.name}, nil
}

// Run's context ends when the dispatcher gives the job up or is lost.
func (w *worker) Run(ctx context.Context, job *workers.Job, stream workers.Worker_RunServer) error {
	w.log.Printf("begins %s", job.Name)
	for done := range job.Steps {
		if err := w.step(ctx, job, done+1, stream); err != nil {
			w.log.Printf("gives up %s: %v", job.Name, context.Cause(ctx))
			return err
		}
	}
	w.log.Printf("has done %s", job.Name)
	return nil
}

func (w *worker) step(ctx context.Context, job *workers.Job, n uint32, stream workers.Worker_RunServer) error {
	select {
	case <-time.After(job.Step.AsDuration()): // hard work
		return stream.Send(&workers.Progress{Worker: w.name, Steps: n})
	case <-ctx.Done():
		return ctx.Err()
	}
}

// work dials the dispatcher, and whoever takes its place, until ctx ends. All the rest
// comes from there.
func work(ctx context.Context, address string, w *worker) error {
	services, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	workers.RegisterWorkerService(services, w)
	client, err := ttrpc.Dial("unix:"+address,
		ttrpc.WithClientServices(services),
		ttrpc.WithDialer(ttrpc.Dialer{Events: w.event, Backoff: ttrpc.Backoff{Max: time.Second}}),
		ttrpc.WithKeepalive(ttrpc.Keepalive{Interval: 10 * time.Second, Timeout: 5 * time.Second}))
	if err != nil {
		return err
	}
	defer client.Close()
	<-ctx.Done()

	// The dispatcher is told to give it no more jobs.
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	if err := client.Shutdown(ctx); err != nil {
		return fmt.Errorf("a job was given up: %w", err)
	}
	w.log.Print("leaves")
	return nil
}

// event is told what becomes of the connection.
func (w *worker) event(e ttrpc.ConnectionEvent) {
	switch {
	case e.Kind == ttrpc.EventConnected:
		w.log.Print("connected")
	case e.Kind == ttrpc.EventDisconnected && e.Err == nil:
		w.log.Print("the dispatcher said goodbye")
	case e.Kind == ttrpc.EventDisconnected:
		w.log.Printf("disconnected: %v", e.Err)
	}
}
