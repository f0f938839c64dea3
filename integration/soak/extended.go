// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !released

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/ttrpc"
)

const (
	released     = false
	defaultModes = "both"
)

// extendedKinds are those that only the extended mode has.
var extendedKinds = []kind{
	{"call that calls back", 40, leavesNothing, callThatCallsBack},
	{"call back with a file each way", 10, leavesNothing, callThatPassesFiles},
	{"stream back to the caller", 20, leavesNothing, streamBack},
	{"call back that is given up", 20, leavesNothing, givenUpCallBack},
	{"call with a file each way", 20, leavesNothing, callWithFiles},
	{"call with files, canceled", 20, leavesNothing, canceledFiles},
	{"stream with files both ways", 20, leavesNothing, streamWithFiles},
	{"cancel that the handler is told of", 20, leavesNothing, toldCancel},
	{"cancel of a call, told", 20, leavesNothing, toldCancelOfCall},
}

// files has either end take as many files as callers have at once.
var files = ttrpc.Limits{Files: 1000}

func (m mode) clientOptions() []ttrpc.ClientOpts {
	if m == classic {
		return nil
	}
	return []ttrpc.ClientOpts{ttrpc.WithExtensions(), ttrpc.WithClientServices(ours().server), ttrpc.WithClientLimits(files)}
}

func (m modes) serverOptions() []ttrpc.ServerOpt {
	if !slices.Contains(m, extended) {
		return nil
	}
	return []ttrpc.ServerOpt{ttrpc.WithServerExtensions(), ttrpc.WithServerLimits(files)}
}

// agreed returns an error if the client's connection is not in the mode.
func (m mode) agreed(c *ttrpc.Client) error {
	is, err := c.Extended(context.Background())
	if err == nil && is != (m == extended) {
		err = &mismatch{fmt.Sprintf("B46: the connection's mode is not %s", m)}
	}
	return err
}

func isNotExecuted(err error) bool { return errors.Is(err, ttrpc.ErrNotExecuted) }

// extend adds the methods that calls of the extendedKinds have.
func (s *service) extend(desc *ttrpc.ServiceDesc) {
	desc.Methods["Back"] = s.method(s.back)
	desc.Methods["BackFile"] = s.method(s.backFile)
	desc.Methods["BackStream"] = s.method(s.backStream)
	desc.Methods["GiveUp"] = s.method(s.giveUp)
	desc.Methods["File"] = s.method(s.file)
	desc.Methods["Wait"] = s.method(s.wait)
	desc.Streams["Await"] = ttrpc.Stream{Handler: s.stream(s.await), StreamingClient: true, StreamingServer: true}
	desc.Streams["Files"] = ttrpc.Stream{Handler: s.stream(s.files), StreamingClient: true, StreamingServer: true}
}
