// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
	"google.golang.org/protobuf/proto"
)

// A plugin handles all events.
type plugin struct {
	stub       stub.Stub
	configured bool
	told       int      // how many containers it was told of
	got        []string // events
	removed    chan struct{}
	closed     chan struct{}
	failed     first
}

// Plugin runs a plugin at the runtime that listens on a socket, until that lets it
// go.
func Plugin(ctx context.Context, socket string) error {
	p := &plugin{removed: make(chan struct{}), closed: make(chan struct{}), failed: make(first, 1)}
	var err error
	p.stub, err = stub.New(p, stub.WithPluginName(pluginName), stub.WithPluginIdx(pluginIndex),
		stub.WithSocketPath(socket), stub.WithOnClose(func() { close(p.closed) }))
	if err != nil {
		return err
	}
	if err := p.stub.Start(ctx); err != nil {
		return fmt.Errorf("the plugin does not start: %w", err)
	}
	select {
	case <-p.removed:
	case <-ctx.Done():
		p.stub.Stop()
		return ctx.Err()
	case <-p.closed:
		return errors.Join(errors.New("the plugin lost its runtime"), p.failed.get())
	}
	if _, err := p.stub.UpdateContainers(nil); err != nil {
		return fmt.Errorf("asking to go: %w", err)
	}
	p.stub.Stop()
	p.stub.Wait()
	<-p.closed // twice would panic
	if !p.configured || p.told != containers {
		return fmt.Errorf("the plugin was configured: %v, and told of %d containers", p.configured, p.told)
	}
	return errors.Join(p.failed.get(), checkOrder(p.got))
}

// check notes an event and what is wrong with its pod and container.
func (p *plugin) check(event string, gotPod *api.PodSandbox, gotContainer, want *api.Container) error {
	p.got = append(p.got, event)
	var err error
	switch {
	case !proto.Equal(gotPod, pod(0)):
		err = fmt.Errorf("%s: the pod is %v", event, gotPod)
	case want != nil && !proto.Equal(gotContainer, want):
		err = fmt.Errorf("%s: the container is %v, want %v", event, gotContainer, want)
	}
	if err != nil {
		p.failed.set(err)
	}
	return err
}

// Configure is called first.
func (p *plugin) Configure(_ context.Context, config, runtime, version string) (api.EventMask, error) {
	p.configured = config == "" && runtime == runtimeName && version == runtimeVersion
	return 0, nil
}

// Synchronize is called once, however many messages it takes.
func (p *plugin) Synchronize(_ context.Context, gotPods []*api.PodSandbox, got []*api.Container) ([]*api.ContainerUpdate, error) {
	p.told += len(got)
	if len(gotPods) != pods || len(got) != containers {
		return nil, fmt.Errorf("the plugin is told of %d pods and %d containers", len(gotPods), len(got))
	}
	for i, c := range got {
		if !proto.Equal(c, container(i)) {
			return nil, fmt.Errorf("container %d is %v", i, c)
		}
	}
	return []*api.ContainerUpdate{update("container-1", 11)}, nil
}

// The events, as NRI's stub wants to have their handlers.

func (p *plugin) RunPodSandbox(_ context.Context, got *api.PodSandbox) error {
	return p.check("RunPodSandbox", got, nil, nil)
}

func (p *plugin) UpdatePodSandbox(_ context.Context, got *api.PodSandbox, overhead, r *api.LinuxResources) error {
	if !proto.Equal(overhead, resources(1)) || !proto.Equal(r, resources(2)) {
		p.failed.set(fmt.Errorf("UpdatePodSandbox: the resources are %v and %v", overhead, r))
	}
	return p.check("UpdatePodSandbox", got, nil, nil)
}

func (p *plugin) PostUpdatePodSandbox(_ context.Context, got *api.PodSandbox) error {
	return p.check("PostUpdatePodSandbox", got, nil, nil)
}

func (p *plugin) CreateContainer(_ context.Context, gotPod *api.PodSandbox, got *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	adjust := new(api.ContainerAdjustment)
	if got.Name == refused {
		return nil, nil, errRefused
	}
	if s := got.Annotations["large"]; s != "" {
		adjust.AddAnnotation("large again", s)
		return adjust, nil, nil
	}
	adjust.AddAnnotation("adjusted", got.Id)
	adjust.AddEnv("C", "D")
	adjust.AddMount(&api.Mount{Destination: "/c", Type: "bind", Source: "/d"})
	score := 77
	adjust.SetLinuxOomScoreAdj(&score)
	return adjust, []*api.ContainerUpdate{update("container-2", 22)}, p.check("CreateContainer", gotPod, nil, nil)
}

func (p *plugin) PostCreateContainer(_ context.Context, gotPod *api.PodSandbox, got *api.Container) error {
	return p.check("PostCreateContainer", gotPod, got, container(7))
}

// StartContainer asks for updates while the runtime waits for its answer.
func (p *plugin) StartContainer(_ context.Context, gotPod *api.PodSandbox, got *api.Container) error {
	failed, err := p.stub.UpdateContainers([]*api.ContainerUpdate{update("container-3", 33), update("container-4", 44)})
	if err == nil {
		err = checkUpdates("UpdateContainers", failed, map[string]uint64{"container-3": 33})
	}
	if err != nil {
		p.failed.set(fmt.Errorf("UpdateContainers: %w", err))
	}
	_, err = p.stub.UpdateContainers([]*api.ContainerUpdate{update("container-5", 55)})
	if want := "rpc error: code = Unknown desc = " + errRefused.Error(); err == nil || err.Error() != want {
		p.failed.set(fmt.Errorf("UpdateContainers: the error is %v, want %s", err, want))
	}
	return p.check("StartContainer", gotPod, got, container(7))
}

func (p *plugin) PostStartContainer(_ context.Context, gotPod *api.PodSandbox, got *api.Container) error {
	return p.check("PostStartContainer", gotPod, got, container(7))
}

func (p *plugin) UpdateContainer(_ context.Context, gotPod *api.PodSandbox, got *api.Container, r *api.LinuxResources) ([]*api.ContainerUpdate, error) {
	if !proto.Equal(r, resources(66)) {
		p.failed.set(fmt.Errorf("UpdateContainer: the resources are %v", r))
	}
	return []*api.ContainerUpdate{update("container-7", 67)}, p.check("UpdateContainer", gotPod, got, container(7))
}

func (p *plugin) PostUpdateContainer(_ context.Context, gotPod *api.PodSandbox, got *api.Container) error {
	return p.check("PostUpdateContainer", gotPod, got, container(7))
}

func (p *plugin) StopContainer(_ context.Context, gotPod *api.PodSandbox, got *api.Container) ([]*api.ContainerUpdate, error) {
	return []*api.ContainerUpdate{update("container-6", 88)}, p.check("StopContainer", gotPod, got, container(7))
}

func (p *plugin) RemoveContainer(_ context.Context, gotPod *api.PodSandbox, got *api.Container) error {
	return p.check("RemoveContainer", gotPod, got, container(7))
}

func (p *plugin) StopPodSandbox(_ context.Context, got *api.PodSandbox) error {
	return p.check("StopPodSandbox", got, nil, nil)
}

func (p *plugin) RemovePodSandbox(_ context.Context, got *api.PodSandbox) error {
	defer close(p.removed)
	return p.check("RemovePodSandbox", got, nil, nil)
}
