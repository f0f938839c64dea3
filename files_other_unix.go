// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package ttrpc

import "os"

func sendFiles(int, []byte, []*os.File) (int, error) { return 0, ErrNoFiles }

func recvFiles(int, []byte, []byte) (int, []*os.File, error) { return 0, nil, ErrNoFiles }

const controlSize = 0
