// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/reflection"
)

// patience is how long a server may take to answer one question, with all files that it is
// then asked for.
const patience = 10 * time.Second

// A server is one that is asked by reflection, for each thing once. Its methods may be called
// concurrently.
type server struct {
	client *reflection.Client

	mu       sync.Mutex // held while the server is asked
	asked    bool       // for its services
	services []string
	refused  error // why it is not asked any more
	layer    *layer
	missing  map[protoreflect.FullName]error // names that it does not have, or not in a form that can be used

	types     int           // how many types of Any values it was asked for
	typesTook time.Duration // how long that took
}

func newServer(ctx context.Context, client *ttrpc.Client) *server {
	return &server{client: reflection.NewClient(ctx, client), layer: newLayer(), missing: map[protoreflect.FullName]error{}}
}

// list returns the names of the server's services. The error is of type [*cli.Exit].
func (s *server) list(ctx context.Context) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.services, s.askLocked(ctx)
}

// listed returns those of them that the server has told already.
func (s *server) listed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.services)
}

// askLocked sees to it that the server was asked for its services.
func (s *server) askLocked(ctx context.Context) error {
	if s.asked || s.refused != nil {
		return s.refused
	}
	err := s.waitLocked(ctx, func() (err error) {
		s.services, err = s.client.Services()
		return err
	})
	s.asked = true
	if err != nil {
		s.refused = serverExit(err)
	}
	return s.refused
}

// waitLocked runs a question, and gives the server up if there is no answer in time.
func (s *server) waitLocked(ctx context.Context, question func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, silentExit("it has not answered within %v", patience))
	defer cancel()
	stop := context.AfterFunc(ctx, s.client.Close)
	err := question()
	if !stop() {
		err = context.Cause(ctx)
		s.refused = serverExit(err)
	}
	return err
}

// find returns what the server has of that name; or nil, and the error, of type [*cli.Exit], of a
// server that could not be asked.
func (s *server) find(ctx context.Context, name protoreflect.FullName) (protoreflect.Descriptor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d, err := s.layer.find(name); err == nil {
		return d, nil
	}
	if err, ok := s.missing[name]; ok {
		return nil, err
	}
	if err := s.askLocked(ctx); err != nil {
		return nil, err
	}
	var files []*descriptorpb.FileDescriptorProto
	err := s.waitLocked(ctx, func() (err error) {
		files, err = s.client.Symbol(string(name))
		return err
	})
	if err == nil {
		if err = s.addLocked(files); err == nil {
			if d, err := s.layer.find(name); err == nil {
				return d, nil
			}
			err = fmt.Errorf("it has sent files without %s", name)
		}
	}
	if status.Code(err) == codes.NotFound {
		err = nil
	} else {
		err = serverExit(err)
	}
	s.missing[name] = err
	return nil, err
}

// mostTypes is for how many types of Any values a server is asked.
const mostTypes = 100

// findType is find for the type of an Any value, or nil. What a server sends decides how many of
// these there are. So it is asked for mostTypes, and not once that has taken long enough.
func (s *server) findType(ctx context.Context, name protoreflect.FullName) protoreflect.Descriptor {
	s.mu.Lock()
	d, err := s.layer.find(name)
	_, missing := s.missing[name]
	enough := s.types == mostTypes || s.typesTook >= patience
	if err != nil && !missing && !enough {
		s.types++
	}
	s.mu.Unlock()
	if err == nil {
		return d
	}
	if missing || enough {
		return nil
	}
	begin := time.Now()
	d, _ = s.find(ctx, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.typesTook += time.Since(begin)
	return d
}

func (s *server) addLocked(files []*descriptorpb.FileDescriptorProto) error {
	all := map[string]*descriptorpb.FileDescriptorProto{}
	for _, file := range files {
		all[file.GetName()] = file
	}
	return s.layer.describe(all, func(string) protoreflect.FileDescriptor { return nil })
}

func (s *server) extension(find func(protoregistry.ExtensionTypeResolver) (protoreflect.ExtensionType, error)) (protoreflect.ExtensionType, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return find(s.layer.types)
}

// ErrNoReflection says that a server does not serve reflection.
var ErrNoReflection = errors.New("the server does not serve reflection")

// DescribeHint is what to try if something is not described.
const DescribeHint = "Describe its services with --proto FILE or --protoset FILE."

// silentExit is the error of a server that has not answered in time.
func silentExit(format string, args ...any) *cli.Exit {
	return &cli.Exit{Code: cli.CodeDeadline, Err: fmt.Errorf("the server's reflection cannot be used: "+format, args...),
		Hint: `"ttrpc ping" tells whether the server answers at all. --timeout sets another deadline.`}
}

// serverExit makes the error of a server's reflection one that ends the command.
func serverExit(err error) error {
	exit := new(cli.Exit)
	switch {
	case errors.As(err, &exit):
		return exit
	case cli.IsRefused(err):
		return cli.CallExit(err)
	case status.Code(err) == codes.Unimplemented:
		return cli.Input(DescribeHint, "%w", ErrNoReflection)
	case status.Code(err) == codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded):
		return silentExit("it has not answered before the deadline")
	case errors.Is(err, context.Canceled):
		return cli.CallExit(err)
	case errors.Is(err, ttrpc.ErrClosed):
		return &cli.Exit{Code: cli.ExitLost, Err: fmt.Errorf("the connection was lost while the server was asked by reflection: %w", err),
			Hint: `"ttrpc ping" tells whether the server still answers, and whether it speaks ttrpc.`}
	default:
		prefix := fmt.Sprintf("rpc error: code = %v desc = ", status.Code(err)) // of the text of a status
		err = errors.New(strings.Replace(err.Error(), prefix, "", 1))
		return cli.Input(DescribeHint, "the server's reflection cannot be used: %w", err)
	}
}
