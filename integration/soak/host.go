// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/containerd/ttrpc"
)

// A command is what a host is told to do.
type command struct {
	Do     string `json:"do"`
	Server string `json:"server,omitempty"`
}

// A reply is what the host says, as far as the command asks for it.
type reply struct {
	Error   string  `json:"error,omitempty"`
	Address string  `json:"address,omitempty"`
	Tally   tally   `json:"tally"`
	Active  int64   `json:"active"`
	Held    int64   `json:"held"`
	Sample  *sample `json:"sample,omitempty"`
}

// shutdownLimit is how long a Shutdown may take: all handlers end by themselves in
// far less.
const shutdownLimit = 60 * time.Second

// A host runs servers, each under a name, in this process.
type host struct {
	fault   *fault
	modes   modes
	watched *watched
	dir     string // of the sockets
	started int
	servers map[string]*running
}

// A running is one server.
type running struct {
	*service
	served chan error
	addr   string
	hide   func() // from the page
}

func newHost(dir string, m modes, f *fault, w *watched) *host {
	return &host{fault: f, modes: m, watched: w, dir: dir, servers: make(map[string]*running)}
}

// do implements controller.
func (h *host) do(c command) (reply, error) {
	var r reply
	err := h.carryOut(c, &r)
	return r, err
}

func (h *host) carryOut(c command, r *reply) error {
	if c.Do == "start" {
		return h.start(c.Server, r)
	}
	if s := h.servers[c.Server]; s != nil {
		defer func() {
			r.Address, r.Tally, r.Active, r.Held = s.addr, s.answered.get(), s.active.Load(), s.held.Load()
		}()
		switch c.Do {
		case "state":
			return nil
		case "release":
			s.release()
			return nil
		case "shutdown":
			return h.stop(c.Server, s, s.shutdown)
		case "close":
			return h.stop(c.Server, s, s.server.Close)
		}
	}
	switch c.Do {
	case "count":
		r.Sample = count()
		return nil
	case "look":
		return h.watched.look()
	case "rest":
		return h.watched.rest()
	case "show":
		showGoroutines()
		return nil
	case "measure":
		r.Sample = measure()
		h.fault.leak()
		return nil
	}
	return fmt.Errorf("host: there is no command %q for %q", c.Do, c.Server)
}

func (h *host) start(name string, r *reply) error {
	h.started++
	address := filepath.Join(h.dir, fmt.Sprintf("%s-%d", name, h.started))
	listener, err := net.Listen("unix", address)
	if err != nil {
		return err
	}
	server, err := ttrpc.NewServer(append(h.modes.serverOptions(), h.watched.serverOptions()...)...)
	if err != nil {
		return err
	}
	f := h.fault
	if name != "steady" { // where nothing may go wrong at any time
		f = new(fault)
	}
	s := &running{newService(server, f), make(chan error, 1), address, h.watched.show(name, server)}
	go func() { s.served <- server.Serve(context.Background(), listener) }()
	h.servers[name] = s
	r.Address = address
	return nil
}

// stop ends a server and waits for Serve.
func (h *host) stop(name string, s *running, end func() error) error {
	delete(h.servers, name)
	defer s.hide()
	if err := end(); err != nil {
		return fmt.Errorf("B25: ending the server: %w", err)
	}
	if err := <-s.served; err != ttrpc.ErrServerClosed {
		return fmt.Errorf("B24: Serve returned %v, want %v", err, ttrpc.ErrServerClosed)
	}
	return nil
}

func (s *running) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownLimit)
	defer cancel()
	return s.server.Shutdown(ctx)
}

// end closes all servers.
func (h *host) end() error {
	for name, s := range h.servers {
		if err := h.stop(name, s, s.server.Close); err != nil {
			return err
		}
	}
	return nil
}

// dump does nothing: this process shows its goroutines itself.
func (h *host) dump() {}
