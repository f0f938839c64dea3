// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package ttrpc

import "os"

func passesFiles(*channel) bool { return false }

func dupFiles([]*os.File) ([]*os.File, error) { return nil, ErrNoFiles }

func sendFiles(int, []byte, []*os.File) (int, error) { return 0, ErrNoFiles }

func recvFiles(int, []byte, []byte) (int, []*os.File, error) { return 0, nil, ErrNoFiles }

func controlSize() int { return 0 }
