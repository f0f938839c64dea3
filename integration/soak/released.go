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
