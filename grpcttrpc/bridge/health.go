// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// HealthService is the name under which a [ToTTRPC] tells its own health: that it serves, and
// once it drains that it does not. All other names are passed on to the health service of the
// ttrpc side, if the bridge knows its methods and it is there. If not, the empty name asks
// whether there is a connection to the ttrpc side, and no other name is known. A bridge that drains is not serving
// under the empty name either, whatever is behind it.
const HealthService = "ttrpc.bridge"

const (
	healthName  = "grpc.health.v1.Health"
	healthEvery = time.Second // how often who watches is told of the ttrpc side, if that does not tell
)

// health is the health service of a bridge.
type health struct {
	healthpb.UnimplementedHealthServer
	bridge   *ToTTRPC
	draining chan struct{}
	once     sync.Once
}

func newHealth(b *ToTTRPC) *health { return &health{bridge: b, draining: make(chan struct{})} }

func (h *health) register(server *grpc.Server) { healthpb.RegisterHealthServer(server, h) }

func (h *health) drain() { h.once.Do(func() { close(h.draining) }) }

// knows tells whether the ttrpc side has a method of the health service.
func (h *health) knows(ctx context.Context, method string, want Kind) bool {
	kind, _ := kindOf(ctx, h.bridge.methods, healthName, method)
	return kind == want
}

// own returns the bridge's own state, if that is what name asks for.
func (h *health) own(name string) (*healthpb.HealthCheckResponse, bool) {
	select {
	case <-h.draining:
		if name == HealthService || name == "" {
			return answerHealth(false), true
		}
	default:
		if name == HealthService {
			return answerHealth(true), true
		}
	}
	return nil, false
}

func answerHealth(serving bool) *healthpb.HealthCheckResponse {
	if serving {
		return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}
	}
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_NOT_SERVING}
}

// Check implements [healthpb.HealthServer].
func (h *health) Check(ctx context.Context, request *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	if own, ok := h.own(request.Service); ok {
		return own, nil
	}
	if h.knows(ctx, "Check", Unary) {
		answer := new(healthpb.HealthCheckResponse)
		err := asStatus(h.bridge.client.Call(ctx, healthName, "Check", request, answer))
		if status.Code(err) != codes.Unimplemented { // else it is described, and not served
			return answer, err
		}
	}
	if request.Service != "" {
		return nil, status.Errorf(codes.NotFound, "unknown service %q: the ttrpc side has no health service that the bridge knows", request.Service)
	}
	return answerHealth(h.reachable()), nil
}

// reachable tells whether there is a connection to the ttrpc side.
func (h *health) reachable() bool { return h.bridge.client.Snapshot().State != "closed" }

// List implements [healthpb.HealthServer]. It tells of what the ttrpc side lists, if the bridge
// knows that method, and of what the bridge itself knows.
func (h *health) List(ctx context.Context, request *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error) {
	all := new(healthpb.HealthListResponse)
	if h.knows(ctx, "List", Unary) {
		err := asStatus(h.bridge.client.Call(ctx, healthName, "List", request, all))
		if err != nil && status.Code(err) != codes.Unimplemented { // else it is described, and not served
			return nil, err
		}
	}
	if all.Statuses == nil {
		all.Statuses = map[string]*healthpb.HealthCheckResponse{}
	}
	for _, name := range []string{"", HealthService} {
		answer, err := h.Check(ctx, &healthpb.HealthCheckRequest{Service: name})
		if err != nil {
			return nil, err
		}
		all.Statuses[name] = answer
	}
	return all, nil
}

// Watch implements [healthpb.HealthServer].
func (h *health) Watch(request *healthpb.HealthCheckRequest, down healthpb.Health_WatchServer) error {
	ctx := down.Context()
	states := make(chan *healthpb.HealthCheckResponse)
	failed := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { failed <- h.watch(ctx, request, states) }()
	var told healthpb.HealthCheckResponse_ServingStatus = -1
	draining := h.draining
	for {
		var state *healthpb.HealthCheckResponse
		select {
		case state = <-states:
		case <-draining:
			draining = nil
		case err := <-failed:
			return err
		}
		if own, ok := h.own(request.Service); ok {
			state = own
		}
		if state == nil || state.Status == told {
			continue
		}
		told = state.Status
		if err := down.Send(state); err != nil {
			return err
		}
	}
}

// watch sends the states of a service until ctx ends or the ttrpc side ends it.
func (h *health) watch(ctx context.Context, request *healthpb.HealthCheckRequest, states chan<- *healthpb.HealthCheckResponse) error {
	next := h.look(ctx, request.Service)
	if request.Service != HealthService && h.knows(ctx, "Watch", ServerStream) {
		up, err := h.bridge.client.NewStream(ctx, &ttrpc.StreamDesc{StreamingServer: true}, healthName, "Watch", request)
		if err != nil {
			return asStatus(err)
		}
		next = func() (*healthpb.HealthCheckResponse, error) {
			state := new(healthpb.HealthCheckResponse)
			return state, up.RecvMsg(state)
		}
	}
	for {
		state, err := next()
		if err = asStatus(err); status.Code(err) == codes.Unimplemented { // it is described, and not served
			next = h.look(ctx, request.Service)
			continue
		} else if err != nil {
			return err
		}
		select {
		case states <- state:
		case <-ctx.Done():
			return asStatus(ctx.Err())
		}
	}
}

// look returns what tells the state that the bridge sees: now, and again after a while.
func (h *health) look(ctx context.Context, name string) func() (*healthpb.HealthCheckResponse, error) {
	wait := time.Duration(0)
	return func() (*healthpb.HealthCheckResponse, error) {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		wait = healthEvery
		switch own, ok := h.own(name); {
		case ok:
			return own, nil
		case name == "":
			return answerHealth(h.reachable()), nil
		}
		return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVICE_UNKNOWN}, nil
	}
}
