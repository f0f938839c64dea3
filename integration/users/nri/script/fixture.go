// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package script is what a runtime and a plugin do with each other by NRI's own
// packages. Each side checks what it gets of the other. It is built against this
// library and against releases, and therefore uses nothing that those lack.
package script

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/log"
)

const (
	runtimeName, runtimeVersion = "users", "1.2.3"
	pluginName, pluginIndex     = "script", "10"

	// A plugin is told of these when it comes. Together they are too much for
	// one message, which NRI notices by the error that ttrpc returns.
	pods, containers = 3, 6000

	// refused is the name of a container that the plugin wants none of.
	refused = "refused"

	// large is the length of the annotation that a container is created with.
	large = 1 << 20

	// patience is what NRI's timeouts are set to: longer than anything takes.
	patience = time.Minute
)

// errRefused is the plugin's.
var errRefused = errors.New("the plugin refuses this container")

// events are those that a plugin gets, in their order.
var events = []string{
	"RunPodSandbox", "UpdatePodSandbox", "PostUpdatePodSandbox",
	"CreateContainer", "PostCreateContainer", "StartContainer", "PostStartContainer",
	"UpdateContainer", "PostUpdateContainer", "StopContainer", "RemoveContainer",
	"StopPodSandbox", "RemovePodSandbox",
}

func pod(i int) *api.PodSandbox {
	return &api.PodSandbox{
		Id: fmt.Sprintf("pod-%d", i), Name: "pod", Uid: fmt.Sprint(i), Namespace: "default",
		Labels:      map[string]string{"number": fmt.Sprint(i)},
		Annotations: map[string]string{"empty": ""},
		Linux:       &api.LinuxPodSandbox{CgroupParent: "/pods", CgroupsPath: fmt.Sprintf("/pods/%d", i)},
		Ips:         []string{"192.0.2.1", "2001:db8::1"},
	}
}

func container(i int) *api.Container {
	return &api.Container{
		Id: fmt.Sprintf("container-%d", i), PodSandboxId: "pod-0", Name: "container",
		State: api.ContainerState_CONTAINER_RUNNING,
		Args:  []string{"sleep", "inf"}, Env: []string{"A=B"},
		Mounts:      []*api.Mount{{Destination: "/a", Type: "bind", Source: "/b", Options: []string{"rw"}}},
		Annotations: map[string]string{"number": fmt.Sprint(i), "long": strings.Repeat("x", 1000)},
		Linux:       &api.LinuxContainer{OomScoreAdj: api.Int(i), Resources: resources(uint64(i))},
	}
}

func resources(shares uint64) *api.LinuxResources {
	return &api.LinuxResources{
		Cpu:     &api.LinuxCPU{Shares: api.UInt64(shares), Cpus: "0-3"},
		Memory:  &api.LinuxMemory{Limit: api.Int64(int64(shares) << 20)},
		Unified: map[string]string{"memory.high": fmt.Sprint(shares)},
	}
}

// update is an update of a container that differs from others by its shares.
func update(id string, shares uint64) *api.ContainerUpdate {
	return &api.ContainerUpdate{ContainerId: id, Linux: &api.LinuxContainerUpdate{Resources: resources(shares)}}
}

// checkUpdates compares updates with those that have certain ids and shares, in any
// order.
func checkUpdates(what string, got []*api.ContainerUpdate, want map[string]uint64) error {
	if len(got) != len(want) {
		return fmt.Errorf("%s: %d updates, want %d", what, len(got), len(want))
	}
	for _, u := range got {
		shares, ok := want[u.ContainerId]
		if r := u.Linux.GetResources(); !ok || r.GetCpu().GetShares().GetValue() != shares || r.GetMemory().GetLimit().GetValue() != int64(shares)<<20 {
			return fmt.Errorf("%s: the update is %v", what, u)
		}
	}
	return nil
}

// Quiet lets NRI log errors only, to a function.
func Quiet(logf func(format string, args ...any)) { log.Set(quiet{logf}) }

type quiet struct{ logf func(string, ...any) }

func (quiet) Debugf(context.Context, string, ...any) {}
func (quiet) Infof(context.Context, string, ...any)  {}
func (quiet) Warnf(context.Context, string, ...any)  {}

func (q quiet) Errorf(_ context.Context, format string, args ...any) { q.logf(format, args...) }

// A first keeps the first error that it is given.
type first chan error

func (f first) set(err error) {
	select {
	case f <- err:
	default:
	}
}

// get returns the error, or nil.
func (f first) get() error {
	select {
	case err := <-f:
		return err
	default:
		return nil
	}
}

func checkOrder(got []string) error {
	if !slices.Equal(got, events) {
		return fmt.Errorf("the events were %q, want %q", got, events)
	}
	return nil
}
