// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/containerd/ttrpc/grpcttrpc/bridge"
)

// A monitor serves metrics and health by HTTP. nil serves nothing.
type monitor struct {
	server   *http.Server
	draining atomic.Bool
}

func serveMetrics(s *settings, f front) (*monitor, error) {
	if s.metrics == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", s.metrics)
	if err != nil {
		return nil, err
	}
	m := new(monitor)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		writeMetrics(w, f.counts())
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if m.draining.Load() {
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "serving")
	})
	m.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	s.log.Info("metrics", "on", l.Addr().String())
	go func() {
		if err := m.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("metrics", "error", err)
		}
	}()
	return m, nil
}

func (m *monitor) drain() {
	if m != nil {
		m.draining.Store(true)
	}
}

func (m *monitor) close() {
	if m != nil {
		m.server.Close()
	}
}

// writeMetrics writes what a bridge has done as Prometheus reads it.
func writeMetrics(w io.Writer, c bridge.Counts) {
	metric := func(name, kind, help string) {
		fmt.Fprintf(w, "# HELP ttrpc_bridge_%s %s\n# TYPE ttrpc_bridge_%[1]s %[3]s\n", name, help, kind)
	}
	metric("calls_active", "gauge", "Calls that are under way.")
	fmt.Fprintf(w, "ttrpc_bridge_calls_active %d\n", c.Active)
	metric("calls_total", "counter", "Calls that have ended, by code.")
	for _, code := range slices.SortedFunc(maps.Keys(c.Ended), cmp.Compare[codes.Code]) {
		fmt.Fprintf(w, "ttrpc_bridge_calls_total{code=%q} %d\n", code, c.Ended[code])
	}
	metric("refused_total", "counter", "Calls that were not passed on, by reason.")
	fmt.Fprintf(w, "ttrpc_bridge_refused_total{reason=\"unknown_kind\"} %d\n", c.UnknownKind)
	fmt.Fprintf(w, "ttrpc_bridge_refused_total{reason=\"max_calls\"} %d\n", c.OverCalls)
	metric("messages_total", "counter", "Messages that were passed on.")
	fmt.Fprintf(w, "ttrpc_bridge_messages_total{direction=\"request\"} %d\n", c.Requests)
	fmt.Fprintf(w, "ttrpc_bridge_messages_total{direction=\"answer\"} %d\n", c.Answers)
	metric("message_bytes_total", "counter", "Bytes of messages that were passed on.")
	fmt.Fprintf(w, "ttrpc_bridge_message_bytes_total{direction=\"request\"} %d\n", c.RequestBytes)
	fmt.Fprintf(w, "ttrpc_bridge_message_bytes_total{direction=\"answer\"} %d\n", c.AnswerBytes)
}
