// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/plugins"
)

// A plugin adjusts containers. It implements the generated plugins.PluginService.
type plugin struct {
	name string
	log  *log.Logger
	host plugins.HostService
}

// Adjust is called by the host, and calls the host back.
func (p *plugin) Adjust(ctx context.Context, c *plugins.Container) (*plugins.Container, error) {
	zone, err := p.host.Setting(ctx, &plugins.Key{Name: "zone"})
	if err != nil {
		return nil, err
	}
	p.log.Printf("adjusts %s", c.Name)
	return &plugins.Container{Env: []string{p.name + "=" + zone.Value}}, nil
}

// runPlugin stays registered with the host at address, and with whoever takes its place,
// until ctx ends.
func runPlugin(ctx context.Context, address, name string, log *log.Logger) error {
	services, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	p := &plugin{name: name, log: log}
	plugins.RegisterPluginService(services, p)

	connected := make(chan struct{}, 1)
	client, err := ttrpc.Dial("unix:"+address,
		ttrpc.WithClientServices(services), // what the host may call
		ttrpc.WithDialer(ttrpc.Dialer{
			Backoff: ttrpc.Backoff{Max: time.Second},
			Events: func(e ttrpc.ConnectionEvent) {
				log.Print(tell(e))
				if e.Kind == ttrpc.EventConnected {
					select {
					case connected <- struct{}{}:
					default: // it is registered soon
					}
				}
			},
		}),
		ttrpc.WithKeepalive(ttrpc.Keepalive{Interval: 10 * time.Second, Timeout: 5 * time.Second}))
	if err != nil {
		return err
	}
	defer client.Close()
	p.host = plugins.NewHostClient(client)

	for {
		select {
		case <-connected:
			p.register(ctx)
		case <-ctx.Done():
			// The host is told to call no more; calls that have begun finish.
			ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
			defer cancel()
			return client.Shutdown(ctx)
		}
	}
}

// tell says what has become of the connection.
func tell(e ttrpc.ConnectionEvent) string {
	switch {
	case e.Err != nil:
		return fmt.Sprintf("%v: %v", e.Kind, e.Err)
	case e.Kind == ttrpc.EventDisconnected:
		return "the host said goodbye"
	}
	return e.Kind.String()
}

// register is called for each connection. If that is lost meanwhile another one follows.
func (p *plugin) register(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, adjustLimit)
	defer cancel()
	if _, err := p.host.Register(ctx, &plugins.Registration{Name: p.name}); err != nil {
		p.log.Printf("not registered: %v", err)
	}
}
