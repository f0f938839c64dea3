// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/nri/pkg/adaptation"
	"github.com/containerd/nri/pkg/api"
)

// A Runtime is a container runtime as NRI sees one.
type Runtime struct {
	nri      *adaptation.Adaptation
	begun    bool                        // owned by who calls synchronize
	counts   chan int                    // of plugins, whenever that may have changed
	updates  chan []*api.ContainerUpdate // that the plugin asked for
	complete chan struct{}               // closed when the plugin may go
	failed   first
}

// counter is told how many plugins there are.
type counter struct{ counts chan<- int }

func (counter) RecordPluginInvocation(string, string, error)      {}
func (counter) RecordPluginLatency(string, string, time.Duration) {}
func (c counter) UpdatePluginCount(n int)                         { c.counts <- n }
func (counter) RecordPluginAdjustments(string, string, *api.ContainerAdjustment, int, int) {
}

// NewRuntime starts a runtime that listens on a socket, beside which there is
// nothing.
func NewRuntime(socket string) (*Runtime, error) {
	adaptation.SetPluginRegistrationTimeout(patience)
	adaptation.SetPluginRequestTimeout(patience)
	r := &Runtime{
		counts:   make(chan int, 100),
		updates:  make(chan []*api.ContainerUpdate, 10),
		complete: make(chan struct{}),
		failed:   make(first, 1),
	}
	none := filepath.Join(filepath.Dir(socket), "none")
	nri, err := adaptation.New(runtimeName, runtimeVersion, r.synchronize, r.update,
		adaptation.WithSocketPath(socket), adaptation.WithPluginPath(none),
		adaptation.WithPluginConfigPath(none), adaptation.WithMetrics(counter{r.counts}))
	if err != nil {
		return nil, err
	}
	if err := nri.Start(); err != nil {
		return nil, err
	}
	r.nri = nri
	return r, nil
}

// Stop ends the runtime.
func (r *Runtime) Stop() { r.nri.Stop() }

// synchronize tells a plugin that comes what there is.
func (r *Runtime) synchronize(ctx context.Context, tell adaptation.SyncCB) error {
	if !r.begun {
		r.begun = true // and there is no plugin yet
		return nil
	}
	var p []*api.PodSandbox
	for i := range pods {
		p = append(p, pod(i))
	}
	var c []*api.Container
	for i := range containers {
		c = append(c, container(i))
	}
	got, err := tell(ctx, p, c)
	if err == nil {
		err = checkUpdates("Synchronize", got, map[string]uint64{"container-1": 11})
	}
	if err != nil {
		r.failed.set(fmt.Errorf("Synchronize: %w", err))
	}
	return err
}

// update does what a plugin asks for unasked: it answers with the first as failed.
// The request that asks for nothing ends when all is done.
func (r *Runtime) update(_ context.Context, u []*api.ContainerUpdate) ([]*api.ContainerUpdate, error) {
	if len(u) == 0 {
		<-r.complete
		return nil, nil
	}
	r.updates <- u
	if len(u) == 1 {
		return nil, errRefused
	}
	return u[:1], nil
}

// Run waits for a plugin, has it go through all events, and lets it go. gone is
// closed when the plugin has ended.
func (r *Runtime) Run(ctx context.Context, gone <-chan struct{}) error {
	for n := 0; n != 1; {
		select {
		case n = <-r.counts:
		case err := <-r.failed:
			return fmt.Errorf("no plugin has come: %w", err)
		}
	}
	for _, step := range []func(context.Context) error{
		r.startPod, r.createContainer, r.createLarge, r.refuse, r.startContainer, r.endContainer, r.endPod,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	close(r.complete)
	<-gone
	for len(r.counts) > 0 {
		<-r.counts
	}
	// The next request goes to nobody, and does not fail for that.
	if err := r.nri.RunPodSandbox(ctx, &api.RunPodSandboxRequest{Pod: pod(0)}); err != nil {
		return fmt.Errorf("a request without plugins: %w", err)
	}
	if n := <-r.counts; n != 0 {
		return fmt.Errorf("there are %d plugins after the only one has gone", n)
	}
	return nil
}

func (r *Runtime) startPod(ctx context.Context) error {
	err := r.nri.RunPodSandbox(ctx, &api.RunPodSandboxRequest{Pod: pod(0)})
	if err != nil {
		return fmt.Errorf("RunPodSandbox: %w", err)
	}
	if _, err := r.nri.UpdatePodSandbox(ctx, &api.UpdatePodSandboxRequest{
		Pod: pod(0), OverheadLinuxResources: resources(1), LinuxResources: resources(2),
	}); err != nil {
		return fmt.Errorf("UpdatePodSandbox: %w", err)
	}
	if err := r.nri.PostUpdatePodSandbox(ctx, &api.PostUpdatePodSandboxRequest{Pod: pod(0)}); err != nil {
		return fmt.Errorf("PostUpdatePodSandbox: %w", err)
	}
	return nil
}

func (r *Runtime) createContainer(ctx context.Context) error {
	answer, err := r.nri.CreateContainer(ctx, &api.CreateContainerRequest{Pod: pod(0), Container: container(7)})
	if err != nil {
		return fmt.Errorf("CreateContainer: %w", err)
	}
	a := answer.Adjust
	if a.Annotations["adjusted"] != "container-7" || len(a.Env) != 1 || a.Env[0].Key != "C" || a.Env[0].Value != "D" ||
		len(a.Mounts) != 1 || a.Mounts[0].Source != "/d" || a.Linux.GetOomScoreAdj().GetValue() != 77 {
		return fmt.Errorf("CreateContainer: the adjustment is %v", a)
	}
	return checkUpdates("CreateContainer", answer.Update, map[string]uint64{"container-2": 22})
}

// createLarge creates a container with so much in it that the messages are large in
// both directions.
func (r *Runtime) createLarge(ctx context.Context) error {
	c := container(8)
	c.Annotations["large"] = strings.Repeat("0123456789abcdef", large/16)
	answer, err := r.nri.CreateContainer(ctx, &api.CreateContainerRequest{Pod: pod(0), Container: c})
	if err != nil {
		return fmt.Errorf("CreateContainer: %w", err)
	}
	if got := answer.Adjust.Annotations["large again"]; got != c.Annotations["large"] {
		return fmt.Errorf("CreateContainer: an annotation of %d bytes came back with %d", large, len(got))
	}
	return nil
}

// refuse has the plugin fail a request, which does not make it one that is dropped.
func (r *Runtime) refuse(ctx context.Context) error {
	c := container(9)
	c.Name = refused
	_, err := r.nri.CreateContainer(ctx, &api.CreateContainerRequest{Pod: pod(0), Container: c})
	if want := "rpc error: code = Unknown desc = " + errRefused.Error(); err == nil || err.Error() != want {
		return fmt.Errorf("CreateContainer: the error is %v, want %s", err, want)
	}
	return nil
}

// startContainer has the plugin call back while it is called.
func (r *Runtime) startContainer(ctx context.Context) error {
	return errors.Join(
		r.nri.PostCreateContainer(ctx, &api.PostCreateContainerRequest{Pod: pod(0), Container: container(7)}),
		r.nri.StartContainer(ctx, &api.StartContainerRequest{Pod: pod(0), Container: container(7)}),
		checkUpdates("UpdateContainers", <-r.updates, map[string]uint64{"container-3": 33, "container-4": 44}),
		checkUpdates("UpdateContainers", <-r.updates, map[string]uint64{"container-5": 55}),
		r.nri.PostStartContainer(ctx, &api.PostStartContainerRequest{Pod: pod(0), Container: container(7)}),
	)
}

func (r *Runtime) endContainer(ctx context.Context) error {
	updated, err := r.nri.UpdateContainer(ctx, &api.UpdateContainerRequest{Pod: pod(0), Container: container(7), LinuxResources: resources(66)})
	if err != nil {
		return fmt.Errorf("UpdateContainer: %w", err)
	}
	if err := r.nri.PostUpdateContainer(ctx, &api.PostUpdateContainerRequest{Pod: pod(0), Container: container(7)}); err != nil {
		return fmt.Errorf("PostUpdateContainer: %w", err)
	}
	stopped, err := r.nri.StopContainer(ctx, &api.StopContainerRequest{Pod: pod(0), Container: container(7)})
	if err != nil {
		return fmt.Errorf("StopContainer: %w", err)
	}
	return errors.Join(
		checkUpdates("UpdateContainer", updated.Update, map[string]uint64{"container-7": 67}),
		checkUpdates("StopContainer", stopped.Update, map[string]uint64{"container-6": 88}),
		r.nri.RemoveContainer(ctx, &api.RemoveContainerRequest{Pod: pod(0), Container: container(7)}),
	)
}

func (r *Runtime) endPod(ctx context.Context) error {
	return errors.Join(
		r.nri.StopPodSandbox(ctx, &api.StopPodSandboxRequest{Pod: pod(0)}),
		r.nri.RemovePodSandbox(ctx, &api.RemovePodSandboxRequest{Pod: pod(0)}),
	)
}

// Serve is Run for a process of its own: it says that it listens, and takes the end
// of its standard input for that of the plugin.
func Serve(ctx context.Context, socket string) error {
	r, err := NewRuntime(socket)
	if err != nil {
		return err
	}
	defer r.Stop()
	fmt.Println("listening")
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		os.Stdin.Read(make([]byte, 1))
	}()
	return r.Run(ctx, gone)
}
