// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"sync"

	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
	"github.com/containerd/ttrpc/grpcttrpc/bridge"
)

// bridge has gRPC spoken to clients. Their calls go to the server on one connection, which is
// looked at.
func (p *proxy) bridge(ctx context.Context, l net.Listener, s *schema.Schema, signals <-chan os.Signal) error {
	p.conns = make(map[net.Conn]struct{})
	client, err := ttrpc.Dial("unix:/", ttrpc.WithExtensions(), ttrpc.WithDialer(ttrpc.Dialer{FailFast: true, Dial: p.dialObserved}))
	if err != nil {
		return err
	}
	defer client.Close()
	given, err := describe(s)
	if err != nil {
		return err
	}
	b := bridge.NewToTTRPC(client, bridge.Config{Methods: []bridge.Methods{given, bridge.ReflectTTRPC(client), known{s}}})
	server := b.NewServer()
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	lost, err := p.wait(signals, served)
	b.Drain()
	server.Stop()
	client.Close()
	<-client.Done()
	p.cut()
	p.wg.Wait()
	return cmp.Or(err, lost, p.finish(signals))
}

// describe returns the descriptions that the flags have named, which clients can ask for.
func describe(s *schema.Schema) (*bridge.Descriptors, error) {
	set := new(descriptorpb.FileDescriptorSet)
	for _, file := range s.Given() {
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
	}
	d, err := bridge.NewDescriptors(set)
	if err != nil {
		return nil, &cli.Exit{Code: cli.ExitInput, Err: err}
	}
	return d, nil
}

// known tells the kinds of methods that the program describes itself.
type known struct{ schema *schema.Schema }

// Kind implements [bridge.Methods].
func (k known) Kind(ctx context.Context, service, method string) (bridge.Kind, error) {
	m, err := k.schema.Method(ctx, service+"/"+method)
	switch {
	case errors.Is(err, schema.ErrNotFound):
		return bridge.Unknown, nil
	case err != nil:
		return bridge.Unknown, err
	}
	return bridge.KindOf(m.IsStreamingClient(), m.IsStreamingServer()), nil
}

// dialObserved connects to the server, by a connection that is looked at.
func (p *proxy) dialObserved(ctx context.Context, _ string) (net.Conn, error) {
	conn, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.last++
	n := p.last
	p.mu.Unlock()
	p.wg.Add(1)
	return &observedConn{Conn: conn, o: p.observe(n, "the bridge of gRPC", false), done: p.wg.Done}, nil
}

// An observedConn is a connection to the server that is looked at.
type observedConn struct {
	net.Conn
	o    *observed
	done func() // is called at the end
	once sync.Once
}

// Read implements net.Conn.
func (c *observedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.o.Data(true, b[:n], 0)
	}
	return n, err
}

// Write implements net.Conn.
func (c *observedConn) Write(b []byte) (int, error) {
	c.o.Data(false, b, 0)
	return c.Conn.Write(b)
}

// Close implements net.Conn.
func (c *observedConn) Close() error {
	c.once.Do(func() {
		defer c.done()
		c.o.close()
	})
	return c.Conn.Close()
}

// IsByteStream tells that deadlines and writes of any size work, as on what is below.
func (c *observedConn) IsByteStream() bool { return true }
