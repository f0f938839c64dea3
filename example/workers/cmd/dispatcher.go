// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/workers"
)

// A dispatcher gives jobs to workers. It implements the generated
// workers.DispatcherService.
type dispatcher struct {
	log      *log.Logger
	idle     chan *member  // where workers that have nothing to do offer themselves
	stopping chan struct{} // closed when the dispatcher is to end
}

// A member of the pool is a worker that has dialled in.
type member struct {
	workers.WorkerClient
	name     string
	finished chan struct{} // the job that it was taken for has ended
}

// connected is called, on a goroutine of its own, for everybody who dials in. A worker
// it offers to those who have jobs for as long as the connection lasts.
func (d *dispatcher) connected(ctx context.Context) {
	client, err := ttrpc.ClientFromContext(ctx, workers.NewWorkerClient)
	if err != nil {
		return
	}
	introduction, err := client.Introduce(ctx, &emptypb.Empty{})
	if err != nil {
		return // no worker, but somebody who has jobs
	}
	m := &member{client, introduction.Name, make(chan struct{})}
	d.log.Printf("%s has come", m.name)
	for {
		select {
		case d.idle <- m:
			<-m.finished
		case <-ctx.Done():
			d.log.Printf("%s has gone: %v", m.name, context.Cause(ctx))
			return
		}
	}
}

// Submit runs on the connection of who has the job. Its context ends with that, or when
// the caller gives up, and the call that it makes to a worker ends with the context.
func (d *dispatcher) Submit(ctx context.Context, job *workers.Job, stream workers.Dispatcher_SubmitServer) error {
	d.log.Printf("%s is submitted", job.Name)
	for {
		var m *member
		select {
		case m = <-d.idle:
		case <-d.stopping:
			return status.Error(codes.Unavailable, "the dispatcher is stopping, and the job was not begun")
		case <-ctx.Done():
			return ctx.Err()
		}
		err := m.run(ctx, job, stream.Send)
		m.finished <- struct{}{}
		switch {
		case errors.Is(err, ttrpc.ErrNotExecuted):
			continue // it is leaving: the next one
		case errors.Is(err, ttrpc.ErrClosed):
			return status.Errorf(codes.Aborted, "%s was lost while it worked on %s", m.name, job.Name)
		}
		return err
	}
}

// run has the worker do a job, and reports its progress.
func (m *member) run(ctx context.Context, job *workers.Job, report func(*workers.Progress) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // who stops receiving before the end gives the call up
	stream, err := m.Run(ctx, job)
	if errors.Is(err, ttrpc.ErrClosed) {
		return fmt.Errorf("%w: %w", ttrpc.ErrNotExecuted, err) // the connection has ended before
	}
	if err != nil {
		return err
	}
	for {
		progress, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := report(progress); err != nil {
			return err
		}
	}
}

// dispatch serves until ctx ends, and then until the jobs that have begun are done.
func dispatch(ctx context.Context, address string, log *log.Logger) error {
	d := &dispatcher{log, make(chan *member), make(chan struct{})}
	server, err := ttrpc.NewServer(
		ttrpc.WithConnectionHook(d.connected),
		ttrpc.WithServerKeepalive(ttrpc.Keepalive{Interval: 10 * time.Second, Timeout: 5 * time.Second})) // notices workers that are stopped
	if err != nil {
		return err
	}
	workers.RegisterDispatcherService(server, d)
	os.Remove(address) // a dispatcher that was killed leaves its socket behind
	l, err := net.Listen("unix", address)
	if err != nil {
		return err
	}
	log.Printf("listening on %s", address)
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}

	log.Print("stopping, jobs that have begun are done to their end")
	close(d.stopping)
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		server.Close()
		return fmt.Errorf("jobs were given up: %w", err)
	}
	log.Print("stopped")
	return nil
}
