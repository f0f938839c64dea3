// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package ttrpc

import "os"

func (*channel) passesFiles() bool { return false }

func dupFiles([]*os.File) ([]*os.File, error) { return nil, ErrNoFiles }
