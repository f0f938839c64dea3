// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/libchan"
)

// A pool brings offers and jobs together.
type pool struct {
	log  *log.Logger
	jobs chan Job // taken by whoever has an offer
}

// session serves one worker, or one that has jobs.
func (p *pool) session(s *libchan.Session) {
	ctx, cancel := context.WithCancel(context.Background())
	context.AfterFunc(ctx, func() { s.Close() })
	defer cancel()
	for {
		name, r, err := s.Accept(ctx)
		if err != nil {
			return // the session has ended
		}
		switch name {
		case offersChannel:
			go p.takeOffers(ctx, libchan.From[Offer](r))
		case jobsChannel:
			go p.takeJobs(ctx, libchan.From[Job](r))
		}
	}
}

// checkName refuses channels that the pool has no use for.
func checkName(name string) error {
	if name != offersChannel && name != jobsChannel {
		return status.Errorf(codes.NotFound, "the pool has no channel called %q", name)
	}
	return nil
}

func (p *pool) takeOffers(ctx context.Context, offers libchan.RecvChan[Offer]) {
	for offer, err := range offers.All(ctx) {
		if err != nil {
			return
		}
		go p.match(ctx, offer)
	}
}

// takeJobs takes no more jobs than there are offers. The others wait where they come from.
func (p *pool) takeJobs(ctx context.Context, jobs libchan.RecvChan[Job]) {
	for job, err := range jobs.All(ctx) {
		if err != nil {
			return
		}
		p.log.Printf("%s is submitted", job.Name)
		p.give(ctx, job)
	}
}

func (p *pool) give(ctx context.Context, job Job) {
	select {
	case p.jobs <- job:
	case <-ctx.Done():
	}
}

// match finds a job for an offer.
func (p *pool) match(ctx context.Context, offer Offer) {
	select {
	case job := <-p.jobs:
		err := offer.Job.Send(ctx, job)
		switch {
		case err == nil:
			offer.Job.Close()
			p.log.Printf("%s has %s", offer.Worker, job.Name)
		case errors.Is(err, libchan.ErrUnconfirmed):
			p.log.Printf("%s may have %s: %v", offer.Worker, job.Name, err) // its submitter learns more
		default: // certainly not sent, so the job's channel is still good
			p.give(context.Background(), job)
		}
	case <-offer.Job.Sender().Done(): // the worker has gone, or takes no more
	case <-ctx.Done():
	}
}

// serve runs a pool until ctx ends, and then until the jobs that have begun are done.
func serve(ctx context.Context, address string, log *log.Logger) error {
	p := &pool{log: log, jobs: make(chan Job)}
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		return err
	}
	if err := libchan.Register(server, libchan.WithHandler(p.session), libchan.WithNames(checkName)); err != nil {
		return err
	}
	os.Remove(address) // a pool that was killed leaves its socket behind
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
	log.Print("stopping")
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		server.Close()
		return fmt.Errorf("jobs were given up: %w", err)
	}
	log.Print("stopped")
	return nil
}
