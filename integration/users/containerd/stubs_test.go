// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package containerd tests the generated services of containerd's API.
package containerd

import (
	"os"
	"testing"

	sandboxruntime "github.com/containerd/containerd/api/runtime/sandbox/v1"
	taskv2 "github.com/containerd/containerd/api/runtime/task/v2"
	taskv3 "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/services/containers/v1"
	"github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/containerd/api/services/diff/v1"
	"github.com/containerd/containerd/api/services/events/v1"
	"github.com/containerd/containerd/api/services/images/v1"
	"github.com/containerd/containerd/api/services/introspection/v1"
	"github.com/containerd/containerd/api/services/leases/v1"
	"github.com/containerd/containerd/api/services/mounts/v1"
	"github.com/containerd/containerd/api/services/namespaces/v1"
	"github.com/containerd/containerd/api/services/sandbox/v1"
	"github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/services/transfer/v1"
	forward "github.com/containerd/containerd/api/services/ttrpc/events/v1"
	"github.com/containerd/containerd/api/services/version/v1"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc/integration/users/stubs"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

// services are all that have ttrpc stubs, except for the one that only streams.
var services = []stubs.Service{
	stubs.Of("containerd.task.v2.Task", taskv2.RegisterTTRPCTaskService, taskv2.NewTTRPCTaskClient),
	stubs.Of("containerd.task.v3.Task", taskv3.RegisterTTRPCTaskService, taskv3.NewTTRPCTaskClient),
	stubs.Of("containerd.runtime.sandbox.v1.Sandbox", sandboxruntime.RegisterTTRPCSandboxService, sandboxruntime.NewTTRPCSandboxClient),
	stubs.Of("containerd.services.events.ttrpc.v1.Events", forward.RegisterTTRPCEventsService, forward.NewTTRPCEventsClient),
	stubs.Of("containerd.services.diff.v1.Diff", diff.RegisterTTRPCDiffService, diff.NewTTRPCDiffClient),
	stubs.Of("containerd.services.images.v1.Images", images.RegisterTTRPCImagesService, images.NewTTRPCImagesClient),
	stubs.Of("containerd.services.introspection.v1.Introspection", introspection.RegisterTTRPCIntrospectionService, introspection.NewTTRPCIntrospectionClient),
	stubs.Of("containerd.services.leases.v1.Leases", leases.RegisterTTRPCLeasesService, leases.NewTTRPCLeasesClient),
	stubs.Streaming("containerd.services.mounts.v1.Mounts", mounts.RegisterTTRPCMountsService, mounts.NewTTRPCMountsClient,
		func(c mounts.TTRPCMountsClient) mounts.TTRPCMountsService { return mountsProxy{c} }),
	stubs.Of("containerd.services.namespaces.v1.Namespaces", namespaces.RegisterTTRPCNamespacesService, namespaces.NewTTRPCNamespacesClient),
	stubs.Of("containerd.services.sandbox.v1.Store", sandbox.RegisterTTRPCStoreService, sandbox.NewTTRPCStoreClient),
	stubs.Of("containerd.services.sandbox.v1.Controller", sandbox.RegisterTTRPCControllerService, sandbox.NewTTRPCControllerClient),
	stubs.Streaming("containerd.services.snapshots.v1.Snapshots", snapshots.RegisterTTRPCSnapshotsService, snapshots.NewTTRPCSnapshotsClient,
		func(c snapshots.TTRPCSnapshotsClient) snapshots.TTRPCSnapshotsService { return snapshotsProxy{c} }),
	stubs.Of("containerd.services.tasks.v1.Tasks", tasks.RegisterTTRPCTasksService, tasks.NewTTRPCTasksClient),
	stubs.Of("containerd.services.transfer.v1.Transfer", transfer.RegisterTTRPCTransferService, transfer.NewTTRPCTransferClient),
	stubs.Of("containerd.services.version.v1.Version", version.RegisterTTRPCVersionService, version.NewTTRPCVersionClient),
	stubs.Streaming("containerd.services.containers.v1.Containers", containers.RegisterTTRPCContainersService, containers.NewTTRPCContainersClient,
		func(c containers.TTRPCContainersClient) containers.TTRPCContainersService { return containersProxy{c} }),
	stubs.Streaming("containerd.services.content.v1.Content", content.RegisterTTRPCContentService, content.NewTTRPCContentClient,
		func(c content.TTRPCContentClient) content.TTRPCContentService { return contentProxy{c} }),
	stubs.Streaming("containerd.services.events.v1.Events", events.RegisterTTRPCEventsService, events.NewTTRPCEventsClient,
		func(c events.TTRPCEventsClient) events.TTRPCEventsService { return eventsProxy{c} }),
}

// messages are those of google.golang.org/protobuf. The failure is one of
// containerd's.
var messages = stubs.Messages{
	Fill:      func(m any, seed int) { fill(m.(proto.Message).ProtoReflect(), seed, depth) },
	Equal:     func(a, b any) bool { return proto.Equal(a.(proto.Message), b.(proto.Message)) },
	Failure:   errgrpc.ToGRPCf(errdefs.ErrNotFound, "no such thing"),
	IsFailure: func(err error) bool { return errdefs.IsNotFound(errgrpc.ToNative(err)) },
}

func TestStubs(t *testing.T) {
	for _, s := range services {
		t.Run(s.Name, func(t *testing.T) { s.CallAll(t, messages) })
	}
}
