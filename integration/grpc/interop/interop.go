// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package interop runs gRPC's and grpchan's own cases over any connection that stubs take.
package interop

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/fullstorydev/grpchan/grpchantesting"
	"google.golang.org/grpc"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

// limit is how long a case may take, which only what hangs does.
const limit = time.Minute

// A Case is one of gRPC's interoperability cases, by the name that its description has.
type Case struct {
	Name string

	// Extended tells that it wants what classic ttrpc has not: headers and trailers.
	Extended bool

	run func(ctx context.Context, cc grpc.ClientConnInterface)
}

// Cases are gRPC's cases that take a stub. Those that it has beside them are about its
// credentials, its compression and its load balancing.
var Cases = []Case{
	{"empty_unary", false, withStub(interop.DoEmptyUnaryCall)},
	{"large_unary", false, withStub(interop.DoLargeUnaryCall)},
	{"client_streaming", false, withStub(interop.DoClientStreaming)},
	{"server_streaming", false, withStub(interop.DoServerStreaming)},
	{"ping_pong", false, withStub(interop.DoPingPong)},
	{"empty_stream", false, withStub(interop.DoEmptyStream)},
	{"timeout_on_sleeping_server", false, withStub(interop.DoTimeoutOnSleepingServer)},
	{"cancel_after_begin", false, withStub(interop.DoCancelAfterBegin)},
	{"cancel_after_first_response", false, withStub(interop.DoCancelAfterFirstResponse)},
	{"custom_metadata", true, withStub(interop.DoCustomMetadata)},
	{"status_code_and_message", false, withStub(interop.DoStatusCodeAndMessage)},
	{"special_status_message", false, withStub(interop.DoSpecialStatusMessage)},
	{"unimplemented_service", false, unimplementedService},
	{"unimplemented_method", false, unimplementedMethod},
	{"half_duplex", false, halfDuplex},
}

// Register registers what Run and RunChannel call.
func Register(registrar grpc.ServiceRegistrar) {
	testgrpc.RegisterTestServiceServer(registrar, interop.NewTestServer())
	grpchantesting.RegisterTestServiceServer(registrar, &grpchantesting.TestServer{})
}

// Run runs gRPC's cases, without those that classic ttrpc cannot do if it is told so, and
// returns how many have passed.
func Run(t *testing.T, cc grpc.ClientConnInterface, classic bool) (passed int) {
	for _, c := range Cases {
		if classic && c.Extended {
			continue
		}
		if t.Run(c.Name, func(t *testing.T) {
			if err := c.Try(cc); err != nil {
				t.Error(err)
			}
		}) {
			passed++
		}
	}
	return passed
}

// GrpchanCases is how many cases RunChannel runs.
const GrpchanCases = 20

// RunChannel runs grpchan's cases, and returns how many have passed: all or, as they are not
// told apart, none.
func RunChannel(t *testing.T, cc grpc.ClientConnInterface) (passed int) {
	if t.Run("grpchan", func(t *testing.T) { grpchantesting.RunChannelTestCases(t, cc, true) }) {
		return GrpchanCases
	}
	return 0
}

// Try runs the case, and returns what it finds wrong.
func (c Case) Try(cc grpc.ClientConnInterface) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	defer func() {
		if failed := recover(); failed != nil {
			err = fmt.Errorf("%s: %v", c.Name, failed)
		}
	}()
	c.run(ctx, cc)
	return nil
}

// SetUp has what gRPC's cases report as fatal fail a case and not end the program. It is for
// the beginning of TestMain, as gRPC wants its logger to be set before anything else.
func SetUp() {
	grpclog.SetLoggerV2(logger{grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard)})
}

// A logger panics where others end the program, and drops the rest.
type logger struct{ grpclog.LoggerV2 }

func (logger) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (logger) Fatalln(args ...any)               { panic(fmt.Sprintln(args...)) }
func (logger) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (logger) FatalDepth(_ int, args ...any)     { panic(strings.TrimSpace(fmt.Sprintln(args...))) }
func (logger) InfoDepth(int, ...any)             {}
func (logger) WarningDepth(int, ...any)          {}
func (logger) ErrorDepth(int, ...any)            {}
