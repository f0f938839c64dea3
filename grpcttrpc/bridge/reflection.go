// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/reflection"
)

const (
	reflectionAge     = time.Minute     // how long what a server has told is believed
	reflectionPause   = time.Second     // how long it is not asked again for what it has not
	reflectionTimeout = 5 * time.Second // how long an answer may take
	reflectionMost    = 256             // how many questions may wait for answers
)

// A Reflection knows the kinds of methods by asking a server that serves gRPC's reflection,
// when they are first called. It believes an answer for a minute, or until Forget; that a
// server does not know a service, for a second. A [ToTTRPC] that has one serves reflection, too.
type Reflection struct {
	open func(context.Context) *reflection.Client

	mu       sync.Mutex
	known    *Descriptors // what the server has told
	services map[string]*lookup
	until    time.Time // what is known is forgotten then
	asking   int       // questions that wait for answers
}

// A lookup is what became of asking for a symbol.
type lookup struct {
	done  chan struct{} // closed when it is over
	err   error
	until time.Time // when to ask again
}

// ReflectGRPC returns a Reflection that asks a server by gRPC. Behind a name with several
// servers any of these is asked.
func ReflectGRPC(conn grpc.ClientConnInterface) *Reflection {
	desc := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	open := func(ctx context.Context, service, method string, first any) (reflection.Stream, error) {
		stream, err := conn.NewStream(ctx, desc, "/"+service+"/"+method)
		if err == nil {
			_ = stream.SendMsg(first) // how it fails RecvMsg tells
		}
		return stream, err
	}
	return newReflection(func(ctx context.Context) *reflection.Client { return reflection.NewClientFunc(ctx, open) })
}

// ReflectTTRPC returns a Reflection that asks a server by ttrpc. One that does not serve
// reflection, of whatever release, gets one request that it refuses, and no message on a
// stream.
func ReflectTTRPC(client *ttrpc.Client) *Reflection {
	return newReflection(func(ctx context.Context) *reflection.Client { return reflection.NewClient(ctx, client) })
}

func newReflection(open func(context.Context) *reflection.Client) *Reflection {
	r := &Reflection{open: open}
	r.Forget()
	return r
}

// Forget has the server asked again. It is for when there may be another server, or another
// version of it: when a connection was made.
func (r *Reflection) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known, r.services, r.until = newDescriptors(), map[string]*lookup{}, time.Now().Add(reflectionAge)
}

// Kind implements [Methods]. The error is Unavailable if the server cannot be asked,
// ResourceExhausted while it has 256 questions that it has not answered, and that of ctx if that ends
// first.
func (r *Reflection) Kind(ctx context.Context, service, method string) (Kind, error) {
	known, err := r.symbol(ctx, service)
	if err != nil {
		return Unknown, err
	}
	return known.Kind(ctx, service, method)
}

// symbol sees to it that a symbol is known, if the server knows it, and returns all that
// is known.
func (r *Reflection) symbol(ctx context.Context, name string) (*Descriptors, error) {
	r.mu.Lock()
	if now := time.Now(); now.After(r.until) {
		r.known, r.services, r.until = newDescriptors(), map[string]*lookup{}, now.Add(reflectionAge)
	}
	known, l := r.known, r.services[name]
	if l == nil || isClosed(l.done) && !l.until.IsZero() && time.Now().After(l.until) {
		if r.asking == reflectionMost {
			r.mu.Unlock()
			return known, errManyQuestions
		}
		if len(r.services) >= 10_000 { // whoever asks for names that nobody has
			clear(r.services)
		}
		r.asking++
		l = &lookup{done: make(chan struct{})}
		r.services[name] = l
		go r.ask(known, l, name)
	}
	r.mu.Unlock()
	select {
	case <-l.done:
		return known, l.err
	case <-ctx.Done():
		return known, ctx.Err()
	}
}

var errManyQuestions = status.Errorf(codes.ResourceExhausted, "%d questions wait for the server's answers already", reflectionMost)

func isClosed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// ask asks the server for the file with a symbol.
func (r *Reflection) ask(known *Descriptors, l *lookup, name string) {
	defer close(l.done)
	ctx, cancel := context.WithTimeout(context.Background(), reflectionTimeout)
	defer cancel()
	err := r.fetch(ctx, known, func(c *reflection.Client) ([]*descriptorpb.FileDescriptorProto, error) { return c.Symbol(name) })
	switch status.Code(err) {
	case codes.OK:
	case codes.NotFound, codes.Unimplemented, codes.InvalidArgument: // it is not known
		l.until = time.Now().Add(reflectionPause)
	default:
		l.err, l.until = err, time.Now() // the next call asks again
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asking--
}

// fetch adds what f gets from the server.
func (r *Reflection) fetch(ctx context.Context, known *Descriptors, f func(*reflection.Client) ([]*descriptorpb.FileDescriptorProto, error)) error {
	client := r.open(ctx)
	defer client.Close()
	files, err := f(client)
	if err != nil {
		return asStatus(err)
	}
	return known.add(files)
}

// ServiceNames returns the names of the services that the server lists, sorted, or nil if it
// cannot be asked.
func (r *Reflection) ServiceNames() []string {
	ctx, cancel := context.WithTimeout(context.Background(), reflectionTimeout)
	defer cancel()
	client := r.open(ctx)
	defer client.Close()
	names, _ := client.Services()
	return names
}

func (r *Reflection) current() *Descriptors {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known
}

// FindFileByPath returns a file that the server has.
func (r *Reflection) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	known := r.current()
	if file, err := known.FindFileByPath(path); err == nil {
		return file, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), reflectionTimeout)
	defer cancel()
	err := r.fetch(ctx, known, func(c *reflection.Client) ([]*descriptorpb.FileDescriptorProto, error) { return c.File(path) })
	if err != nil {
		return nil, protoregistry.NotFound
	}
	return known.FindFileByPath(path)
}

// FindDescriptorByName returns what the server has of that name.
func (r *Reflection) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	ctx, cancel := context.WithTimeout(context.Background(), reflectionTimeout)
	defer cancel()
	known, err := r.symbol(ctx, string(name))
	if err != nil {
		return nil, protoregistry.NotFound
	}
	return known.FindDescriptorByName(name)
}

func (r *Reflection) extension(find func(*protoregistry.Types) (protoreflect.ExtensionType, error)) (protoreflect.ExtensionType, error) {
	return r.current().extension(find)
}

func (r *Reflection) extensions(message protoreflect.FullName) []protoreflect.ExtensionType {
	return r.current().extensions(message)
}
