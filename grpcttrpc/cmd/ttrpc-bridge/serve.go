// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc/bridge"
)

// A front is the server of a bridge, with what is behind it.
type front interface {
	serve(net.Listener) error       // returns nil after the end
	drain()                         // says that it is about to end
	shutdown(context.Context) error // lets calls end, until the context has ended
	counts() bridge.Counts
	close() // cuts off what is left, and lets go of what is behind; it may be called again
}

// serve runs a bridge until ctx ends, and drains it.
func serve(ctx context.Context, s *settings, open func(context.Context, *settings) (front, error), stdout io.Writer) error {
	f, err := open(ctx, s)
	if err != nil {
		return err
	}
	defer f.close()
	l, err := listen(ctx, s.listen)
	if err != nil {
		return fmt.Errorf("-listen: %w", err)
	}
	monitor, err := serveMetrics(s, f)
	if err != nil {
		l.Close()
		return fmt.Errorf("-metrics: %w", err)
	}
	defer monitor.close()
	fmt.Fprintf(stdout, "listening on %s:%s\n", l.Addr().Network(), l.Addr())
	s.log.Info("serving", "on", l.Addr().String(), "to", s.to)
	served := make(chan error, 1)
	go func() { served <- f.serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	err = drain(s, f, monitor)
	return errors.Join(err, <-served)
}

// drain ends a front in order, and cuts off what does not end in time.
func drain(s *settings, f front, monitor *monitor) error {
	s.log.Info("draining", "calls", f.counts().Active, "for", s.drain)
	f.drain()
	monitor.drain()
	time.Sleep(s.drainDelay)
	ctx, cancel := context.WithTimeout(context.Background(), s.drain)
	defer cancel()
	if err := f.shutdown(ctx); err != nil {
		left := f.counts().Active
		f.close()
		return fmt.Errorf("%d calls had not ended %v after the signal and were cut off: -drain allows more time", left, s.drain)
	}
	s.log.Info("drained")
	return nil
}

// listen listens on an address. A unix socket whose server has gone is taken over.
func listen(ctx context.Context, address string) (net.Listener, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && port != "" && !strings.HasPrefix(address, "tcp:") && host != "unix" {
		address = "tcp:" + address
	}
	l, err := ttrpc.ListenAddress(ctx, address)
	path, isUnix := strings.CutPrefix(address, "unix:")
	if err == nil || !isUnix {
		return l, err
	}
	path = strings.TrimPrefix(path, "//")
	if info, failed := os.Stat(path); failed != nil || info.Mode()&os.ModeSocket == 0 {
		return nil, err
	}
	if conn, failed := net.Dial("unix", path); failed == nil {
		conn.Close()
		return nil, fmt.Errorf("%w: somebody serves there", err)
	}
	if err := os.Remove(path); err != nil {
		return nil, err
	}
	return ttrpc.ListenAddress(ctx, address)
}
