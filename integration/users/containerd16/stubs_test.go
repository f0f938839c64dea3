// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package containerd16

import (
	"os"
	"reflect"
	"testing"

	events "github.com/containerd/containerd/api/services/ttrpc/events/v1"
	shim "github.com/containerd/containerd/runtime/v1/shim/v1"
	"github.com/containerd/containerd/runtime/v2/task"
	"github.com/containerd/ttrpc/integration/users/stubs"
	"github.com/containerd/ttrpc/internal/leak"
	"github.com/gogo/protobuf/proto"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

var services = []stubs.Service{
	stubs.Of("containerd.runtime.linux.shim.v1.Shim", shim.RegisterShimService, shim.NewShimClient),
	stubs.Of("containerd.task.v2.Task", task.RegisterTaskService, task.NewTaskClient),
	stubs.Of("containerd.services.events.ttrpc.v1.Events", events.RegisterEventsService, events.NewEventsClient),
}

// messages are those of gogo/protobuf.
var messages = stubs.Messages{
	Fill:      func(m any, seed int) { fill(reflect.ValueOf(m).Elem(), seed) },
	Equal:     func(a, b any) bool { return proto.Equal(a.(proto.Message), b.(proto.Message)) },
	Failure:   status.Error(codes.NotFound, "no such task"),
	IsFailure: func(err error) bool { return status.Code(err) == codes.NotFound },
}

func TestStubs(t *testing.T) {
	for _, s := range services {
		t.Run(s.Name, func(t *testing.T) { s.CallAll(t, messages) })
	}
}
