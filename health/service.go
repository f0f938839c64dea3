// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	pb "github.com/containerd/ttrpc/internal/healthpb"
)

const serviceName = "grpc.health.v1.Health"

// A Status tells whether a service serves.
type Status int32

// What a service may be. The numbers are those of the wire.
const (
	Unknown        Status = 0 // the service itself does not know
	Serving        Status = 1
	NotServing     Status = 2
	ServiceUnknown Status = 3 // the server does not know the service
)

// String returns gRPC's name of the status, as "NOT_SERVING".
func (s Status) String() string {
	if name, ok := pb.HealthCheckResponse_ServingStatus_name[int32(s)]; ok {
		return name
	}
	return fmt.Sprintf("Status(%d)", int32(s))
}

// A Service knows the states of services and tells who asks. Its methods may be called
// concurrently. It may be registered with several servers.
type Service struct {
	mu      sync.Mutex
	states  map[string]Status
	stopped bool
	changed chan struct{} // closed, and replaced, when anything above changes
}

// New returns a Service for which the server as a whole, whose name is "", is Serving, and
// which knows no other.
func New() *Service {
	return &Service{states: map[string]Status{"": Serving}, changed: make(chan struct{})}
}

// Register has a server serve the health service. It panics if the server has one already.
//
// From when [ttrpc.Server.Shutdown] begins, clients of that server are told that nothing is
// serving: who watches gets that as the last state, and then Unavailable. Clients that
// ask later get Unavailable, as to any call.
func (s *Service) Register(server *ttrpc.Server) {
	server.RegisterService(serviceName, &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{"Check": s.check, "List": s.list},
		Streams: map[string]ttrpc.Stream{"Watch": {Handler: s.watch, StreamingServer: true}},
	})
}

// Set sets the state of a service ("package.Service"), or of the server as a whole (""), and
// tells who watches it. ServiceUnknown forgets the service. It panics if the state is none of
// the four.
func (s *Service) Set(service string, state Status) {
	if _, ok := pb.HealthCheckResponse_ServingStatus_name[int32(state)]; !ok {
		panic(fmt.Sprintf("health: %v of service %q is not a state", state, service))
	}
	s.change(func() {
		if s.states[service] = state; state == ServiceUnknown {
			delete(s.states, service)
		}
	})
}

// Shutdown has all services be NotServing until Resume, whatever Set sets meanwhile. Call it
// some time before that of the server, so that clients go elsewhere before they have to.
func (s *Service) Shutdown() { s.change(func() { s.stopped = true }) }

// Resume has all services be again what Set has set.
func (s *Service) Resume() { s.change(func() { s.stopped = false }) }

func (s *Service) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// state returns the state of a service as a client on a connection that leaves, or not, is to see
// it, and a channel that is closed when that may have changed.
func (s *Service) state(service string, leaving bool) (Status, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state, known := s.states[service]
	switch {
	case !known:
		state = ServiceUnknown
	case s.stopped || leaving:
		state = NotServing
	}
	return state, s.changed
}

func (s *Service) check(ctx context.Context, unmarshal func(any) error) (any, error) {
	request := new(pb.HealthCheckRequest)
	if err := unmarshal(request); err != nil {
		return nil, err
	}
	state, _ := s.state(request.Service, isClosed(ttrpc.DrainingFromContext(ctx)))
	if state == ServiceUnknown {
		return nil, status.Errorf(codes.NotFound, "unknown service %q", request.Service)
	}
	return response(state), nil
}

func response(state Status) *pb.HealthCheckResponse {
	return &pb.HealthCheckResponse{Status: pb.HealthCheckResponse_ServingStatus(state)}
}

func (s *Service) list(ctx context.Context, unmarshal func(any) error) (any, error) {
	if err := unmarshal(new(pb.HealthListRequest)); err != nil {
		return nil, err
	}
	leaving := isClosed(ttrpc.DrainingFromContext(ctx))
	all := &pb.HealthListResponse{Statuses: map[string]*pb.HealthCheckResponse{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	for service, state := range s.states {
		if s.stopped || leaving {
			state = NotServing
		}
		all.Statuses[service] = response(state)
	}
	return all, nil
}

// watch sends the state of a service whenever it has changed. Who reads slowly is not sent what
// is over already.
func (s *Service) watch(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
	request := new(pb.HealthCheckRequest)
	if err := stream.RecvMsg(request); err != nil {
		return nil, err
	}
	leaving := ttrpc.DrainingFromContext(ctx)
	told := Status(-1)
	for {
		left := isClosed(leaving)
		if err := ctx.Err(); err != nil { // the client has gone
			return nil, err
		}
		state, changed := s.state(request.Service, left)
		if state != told {
			if err := stream.SendMsg(response(state)); err != nil {
				return nil, err
			}
			told = state
		}
		if left {
			return nil, status.Error(codes.Unavailable, "the server is shutting down")
		}
		select {
		case <-changed:
		case <-leaving:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
