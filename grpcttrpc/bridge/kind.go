// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/internal/wire"
)

// A Kind tells which sides of a method stream.
type Kind uint8

// The kinds of methods. The zero Kind is that of a method of which nothing is known.
const (
	Unknown      Kind = iota
	Unary             // one request, one answer
	ClientStream      // any number of requests, one answer
	ServerStream      // one request, any number of answers
	BidiStream        // any number of each
)

var kindNames = [...]string{"unknown", "unary", "client-stream", "server-stream", "bidi-stream"}

// String returns the name that [ParseKind] understands.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// ParseKind returns the kind with a name: unary, client-stream, server-stream or bidi-stream.
func ParseKind(name string) (Kind, error) {
	for k := Unary; k <= BidiStream; k++ {
		if kindNames[k] == name {
			return k, nil
		}
	}
	return Unknown, fmt.Errorf("bridge: there is no kind of method %q, only %s", name, strings.Join(kindNames[1:], ", "))
}

// KindOf returns the kind of a method whose sides stream, or do not.
func KindOf(client, server bool) Kind {
	switch {
	case client && server:
		return BidiStream
	case client:
		return ClientStream
	case server:
		return ServerStream
	}
	return Unary
}

// ClientStreams tells whether the client may send any number of messages.
func (k Kind) ClientStreams() bool { return k == ClientStream || k == BidiStream }

// ServerStreams tells whether the server may send any number of messages.
func (k Kind) ServerStreams() bool { return k == ServerStream || k == BidiStream }

// Methods knows the kinds of methods. It may be used concurrently.
type Methods interface {
	// Kind returns the kind of a method of a service ("package.Service"), or Unknown if it
	// knows nothing of it. An error says that it could not find out, and is what the call
	// is answered with if nobody else knows.
	Kind(ctx context.Context, service, method string) (Kind, error)
}

// A Table has the kinds of methods by "package.Service/Method". "package.Service/*" stands
// for all other methods of a service, and "*" for all methods. It must not be changed while it
// is used.
type Table map[string]Kind

// Set adds what an entry says, which looks like "package.Service/Method=unary".
func (t Table) Set(entry string) error {
	name, kindName, ok := strings.Cut(entry, "=")
	service, method, slash := strings.Cut(name, "/")
	if !ok || name != "*" && (!slash || service == "" || method == "" || strings.ContainsAny(method, "/")) {
		return fmt.Errorf("bridge: %q does not look like package.Service/Method=unary, package.Service/*=unary or *=unary", entry)
	}
	kind, err := ParseKind(kindName)
	if err != nil {
		return err
	}
	if old, ok := t[name]; ok && old != kind {
		return fmt.Errorf("bridge: %s is said to be %v and %v", name, old, kind)
	}
	t[name] = kind
	return nil
}

// Kind implements [Methods].
func (t Table) Kind(_ context.Context, service, method string) (Kind, error) {
	for _, name := range []string{service + "/" + method, service + "/*", "*"} {
		if kind, ok := t[name]; ok {
			return kind, nil
		}
	}
	return Unknown, nil
}

// errUnknownKind is how a call is refused whose kind nobody knows.
func errUnknownKind(service, method string) error {
	return status.Errorf(codes.Unimplemented, "ttrpc bridge: the kind of method %s/%s is not known, so the call is not passed on: "+
		"have the server serve reflection, or give the bridge a protoset or the kind (%s/%s=unary, client-stream, server-stream or bidi-stream)",
		service, method, service, method)
}

// kindOf asks all in turn.
func kindOf(ctx context.Context, all []Methods, service, method string) (Kind, error) {
	if service == wire.HelloService {
		return Unknown, errUnknownKind(service, method) // it is about one connection, and never passed on
	}
	var failed error
	for _, m := range all {
		kind, err := m.Kind(ctx, service, method)
		if kind != Unknown {
			return kind, nil
		}
		failed = errors.Join(failed, err)
	}
	if failed != nil {
		s := statusOf(failed)
		return Unknown, status.Errorf(s.Code(), "ttrpc bridge: cannot find out the kind of method %s/%s: %s", service, method, s.Message())
	}
	return Unknown, errUnknownKind(service, method)
}
