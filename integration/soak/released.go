// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build released

package main

import "github.com/containerd/ttrpc"

// A release has no extended mode.
const (
	released     = true
	defaultModes = "classic"
)

var extendedKinds []kind

func (m mode) clientOptions() []ttrpc.ClientOpts { return nil }

func (m modes) serverOptions() []ttrpc.ServerOpt { return nil }

func (m mode) agreed(*ttrpc.Client) error { return nil }

func isNotExecuted(error) bool { return false }

func (s *service) extend(*ttrpc.ServiceDesc) {}

// A watched is what a release does not have.
type watched struct{}

func newWatched() *watched { return nil }

func (w *watched) serverOptions() []ttrpc.ServerOpt { return nil }

func (w *watched) clientOptions() []ttrpc.ClientOpts { return nil }

func (w *watched) show(string, *ttrpc.Server) (remove func()) { return func() {} }

func (w *watched) look() error { return nil }

func (w *watched) rest() error { return nil }
