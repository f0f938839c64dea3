// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpc_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/integration/grpc/interop"
	"github.com/containerd/ttrpc/integration/grpc/ways"
	"github.com/containerd/ttrpc/internal/leak"
)

func TestMain(m *testing.M) {
	interop.SetUp()
	os.Exit(leak.Check(m))
}

// TestInterop runs gRPC's cases and grpchan's over all ways, and prints how many have passed.
func TestInterop(t *testing.T) {
	all := append(ways.All(), ways.BRPCElsewhere...)
	rows := make([]string, len(all))
	t.Run("ways", func(t *testing.T) {
		for i, way := range all {
			t.Run(way.Name, func(t *testing.T) {
				t.Parallel()
				rows[i] = runInterop(t, way)
			})
		}
	})
	t.Logf("interop matrix\n| way | gRPC's cases | grpchan's cases | left out |\n|---|---|---|---|\n%s", strings.Join(rows, "\n"))
}

// runInterop runs all cases over one way and returns its row.
func runInterop(t *testing.T, way ways.Way) (row string) {
	path := way.Open(t, ways.Setup{Register: interop.Register})
	passed := interop.Run(t, path.CC, way.Classic)
	if way.Classic {
		return fmt.Sprintf("| %s | %d of %d | – | those that want headers and trailers: custom_metadata, and all of grpchan's |",
			way.Name, passed, len(interop.Cases))
	}
	channel := interop.RunChannel(t, path.CC)
	return fmt.Sprintf("| %s | %d of %d | %d of %d | |", way.Name, passed, len(interop.Cases), channel, interop.GrpchanCases)
}

// TestCasesNotice requires that the cases fail where nothing is right: with SetUp, they report
// that and do not end the program.
func TestCasesNotice(t *testing.T) {
	for _, c := range interop.Cases {
		if err := c.Try(deaf{}); err == nil {
			t.Errorf("%s passes over a connection that answers nothing", c.Name)
		}
	}
}

// A deaf connection has all calls fail, with a code that no case wants.
type deaf struct{}

func (deaf) Invoke(context.Context, string, any, any, ...grpc.CallOption) error {
	return status.Error(codes.DataLoss, "deaf")
}

func (deaf) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.DataLoss, "deaf")
}
