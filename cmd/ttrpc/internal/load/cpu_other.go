// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package load

import (
	"errors"
	"time"
)

// A Process is one whose time on processors is looked at.
type Process struct{ PID int }

// Watch begins to look at a process: only Linux tells.
func Watch(int) (*Process, error) { return nil, errors.ErrUnsupported }

// Used returns how long it has run on processors since.
func (p *Process) Used() (time.Duration, error) { return 0, errors.ErrUnsupported }
