// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example"
)

// A step shows one thing.
type step struct {
	name, about string
	take        func(context.Context, *gardener) error
}

var steps = []step{
	{"measure", "a unary call: one message each way", measure},
	{"metadata", "the same with metadata, which asks for another unit", withMetadata},
	{"watch", "a stream from the server", watch},
	{"record", "a stream to the server", record},
	{"regulate", "a stream both ways", regulate},
	{"deadline", "a call that takes longer than the caller waits", withDeadline},
	{"error", "a call that fails, and says why in a message", withError},
	{"bench", "the time that a call takes", bench},
}

func findSteps(names []string) ([]step, error) {
	if len(names) == 0 {
		return steps, nil
	}
	var found []step
	for _, name := range names {
		i := slices.IndexFunc(steps, func(s step) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("%w: there is no step %q", errUsage, name)
		}
		found = append(found, steps[i])
	}
	return found, nil
}

// A gardener is somebody who calls the greenhouse.
type gardener struct {
	greenhouse example.GreenhouseClient
	address    string
	out        io.Writer
}

// takeSteps connects to the server and takes the steps until one fails.
func takeSteps(address string, chosen []step, out io.Writer, signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cancelOn(signals, ctx, cancel)

	// One connection carries any number of calls at once.
	conn, err := net.Dial("unix", address)
	if err != nil {
		return err
	}
	sign := signature{out}
	client := ttrpc.NewClient(conn,
		ttrpc.WithUnaryClientInterceptor(sign.unary),
		ttrpc.WithChainStreamClientInterceptor(sign.stream))
	defer client.Close()

	g := &gardener{example.NewGreenhouseClient(client), address, out}
	for _, s := range chosen {
		fmt.Fprintf(out, "\n%s: %s\n", s.name, s.about)
		if err := s.take(ctx, g); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	fmt.Fprintln(out)
	return nil
}

// result prints what came of a call.
func (g *gardener) result(format string, args ...any) {
	fmt.Fprintf(g.out, "  "+format+"\n", args...)
}

func measure(ctx context.Context, g *gardener) error {
	r, err := g.greenhouse.Measure(ctx, &example.MeasureRequest{Bed: "tomatoes"})
	if err != nil {
		return err
	}
	g.result("%s: %.1f °C", r.Bed, r.Degrees)
	return nil
}

func withMetadata(ctx context.Context, g *gardener) error {
	ctx = ttrpc.WithMetadata(ctx, ttrpc.MD{"unit": {"fahrenheit"}})
	r, err := g.greenhouse.Measure(ctx, &example.MeasureRequest{Bed: "tomatoes"})
	if err != nil {
		return err
	}
	g.result("%s: %.1f °F", r.Bed, r.Degrees)
	return nil
}

func watch(ctx context.Context, g *gardener) error {
	stream, err := g.greenhouse.Watch(ctx, &example.WatchRequest{Bed: "orchids", Changes: 3})
	if err != nil {
		return err
	}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			g.result("the server ended the stream")
			return nil
		}
		if err != nil {
			return err
		}
		g.result("%s: %.1f °C", r.Bed, r.Degrees)
	}
}

func record(ctx context.Context, g *gardener) error {
	stream, err := g.greenhouse.Record(ctx)
	if err != nil {
		return err
	}
	for _, degrees := range []float64{20, 21, 25} {
		if err := stream.Send(&example.Reading{Bed: "tomatoes", Degrees: degrees}); err != nil {
			return err
		}
	}
	summary, err := stream.CloseAndRecv()
	if err != nil {
		return err
	}
	g.result("%d readings, %.1f °C on average", summary.Readings, summary.Average)
	return nil
}

func regulate(ctx context.Context, g *gardener) error {
	stream, err := g.greenhouse.Regulate(ctx)
	if err != nil {
		return err
	}
	for _, degrees := range []float64{15, 22, 30} {
		if err := stream.Send(&example.Reading{Bed: "tomatoes", Degrees: degrees}); err != nil {
			return err
		}
		command, err := stream.Recv()
		if err != nil {
			return err
		}
		g.result("%s at %.1f °C: %s", command.Bed, degrees, command.Action)
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("the stream did not end, but: %v", err)
	}
	g.result("both sides ended the stream")
	return nil
}

func withDeadline(ctx context.Context, g *gardener) error {
	// The deadline goes along: the handler's context ends when ours does. If
	// we notice first, the error is the context's, else the server's.
	const patience = 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := g.greenhouse.Measure(ctx, &example.MeasureRequest{Bed: "tomatoes", Settle: durationpb.New(time.Hour)})
	if !errors.Is(err, context.DeadlineExceeded) && status.Code(err) != codes.DeadlineExceeded {
		return fmt.Errorf("the call did not end at its deadline, but: %v", err)
	}
	g.result("the deadline passed after %v", patience)
	return nil
}

func withError(ctx context.Context, g *gardener) error {
	_, err := g.greenhouse.Measure(ctx, &example.MeasureRequest{Bed: "roses"})
	st, ok := status.FromError(err)
	if err == nil || !ok {
		return fmt.Errorf("the call did not end with a status, but: %v", err)
	}
	g.result("%s: %s", st.Code(), st.Message())
	for _, detail := range st.Details() {
		if unknown, ok := detail.(*example.UnknownBed); ok {
			g.result("there are beds of %s", strings.Join(unknown.Beds, " and "))
		}
	}
	return nil
}

// bench connects anew: interceptors take time and print.
func bench(ctx context.Context, g *gardener) error {
	conn, err := net.Dial("unix", g.address)
	if err != nil {
		return err
	}
	client := ttrpc.NewClient(conn)
	defer client.Close()
	greenhouse := example.NewGreenhouseClient(client)
	took := make([]time.Duration, 10_000)
	for i := range took {
		start := time.Now()
		if _, err := greenhouse.Measure(ctx, &example.MeasureRequest{Bed: "tomatoes"}); err != nil {
			return err
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	g.result("%d calls, one after another: median round trip %v", len(took), took[len(took)/2])
	return nil
}

// A signature tells the server who is calling, and prints each call before it
// is made. It is the client's interceptor: it can see and change what is sent
// and what comes back.
type signature struct{ out io.Writer }

const caller = "the gardener"

func (s signature) unary(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, info *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
	fmt.Fprintf(s.out, "  client: calling %s\n", info.FullMethod)
	req.Metadata = append(req.Metadata, &ttrpc.KeyValue{Key: "caller", Value: caller})
	return invoke(ctx, req, resp)
}

func (s signature) stream(ctx context.Context, desc *ttrpc.StreamDesc, fullMethod string, open ttrpc.Streamer) (ttrpc.ClientStream, error) {
	fmt.Fprintf(s.out, "  client: calling %s\n", fullMethod)
	md, _ := ttrpc.GetMetadata(ctx)
	if md = md.Clone(); md == nil {
		md = ttrpc.MD{}
	}
	md.Set("caller", caller)
	return open(ttrpc.WithMetadata(ctx, md), desc, fullMethod)
}
