// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example"
)

// greenhouse implements the generated example.GreenhouseService. Its methods
// run concurrently, one goroutine a call, so they change nothing.
type greenhouse struct {
	degrees map[string]float64 // by bed
}

// Measure is unary: what it returns is the answer.
func (g *greenhouse) Measure(ctx context.Context, req *example.MeasureRequest) (*example.Reading, error) {
	degrees, err := g.thermometer(req.Bed)
	if err != nil {
		return nil, err
	}
	// The context ends when the caller's deadline passes or the caller goes.
	settled := time.NewTimer(req.Settle.AsDuration())
	defer settled.Stop()
	select {
	case <-settled.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if unit, _ := ttrpc.GetMetadataValue(ctx, "unit"); unit == "fahrenheit" {
		degrees = degrees*9/5 + 32
	}
	return &example.Reading{Bed: req.Bed, Degrees: degrees}, nil
}

// Watch sends any number of messages; returning ends the stream.
func (g *greenhouse) Watch(_ context.Context, req *example.WatchRequest, stream example.Greenhouse_WatchServer) error {
	degrees, err := g.thermometer(req.Bed)
	if err != nil {
		return err
	}
	for range req.Changes {
		degrees += 0.5 // the sun is rising
		if err := stream.Send(&example.Reading{Bed: req.Bed, Degrees: degrees}); err != nil {
			return err
		}
	}
	return nil
}

// Record receives until the client has sent its last message.
func (g *greenhouse) Record(_ context.Context, stream example.Greenhouse_RecordServer) (*example.Summary, error) {
	var readings uint32
	var sum float64
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return &example.Summary{Readings: readings, Average: sum / float64(max(readings, 1))}, nil
		}
		if err != nil {
			return nil, err
		}
		readings++
		sum += r.Degrees
	}
}

// Regulate receives and sends; it could do so on two goroutines as well.
func (g *greenhouse) Regulate(_ context.Context, stream example.Greenhouse_RegulateServer) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		action := example.Command_NOTHING
		switch {
		case r.Degrees < 20:
			action = example.Command_HEAT
		case r.Degrees > 26:
			action = example.Command_AIR
		}
		if err := stream.Send(&example.Command{Bed: r.Bed, Action: action}); err != nil {
			return err
		}
	}
}

// thermometer reads a bed's temperature. Its error is a status with a detail,
// both of which the caller gets.
func (g *greenhouse) thermometer(bed string) (float64, error) {
	degrees, ok := g.degrees[bed]
	if ok {
		return degrees, nil
	}
	st, err := status.Newf(codes.NotFound, "there is no bed of %s", bed).
		WithDetails(&example.UnknownBed{Beds: slices.Sorted(maps.Keys(g.degrees))})
	if err != nil {
		return 0, err
	}
	return 0, st.Err()
}
