// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package ttrpc

import "os"

func canPassFiles(*channel) bool { return false }

func dupFiles([]*os.File) ([]int, error) { return nil, ErrNoFiles }

func closeDescriptor(int, bool) {}

func emptySocket(*socket, *fileAccount) {}

func sendFiles(int, []byte, *descriptors) (int, error) { return 0, ErrNoFiles }

func isRefusal(error) bool { return false }

func recvFiles(int, []byte, []byte) (int, []int, error) { return 0, nil, ErrNoFiles }

func controlSize() int { return 0 }
