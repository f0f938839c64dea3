// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux && !darwin && !freebsd

package ttrpc

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// noCredentials is the error that all is here.
func noCredentials() error {
	return fmt.Errorf("they are there on Linux, macOS and FreeBSD, not on %s; restrict who may open the socket instead: %w",
		runtime.GOOS, errors.ErrUnsupported)
}

type credentialSource struct{}

func readCredentials(syscall.RawConn) (*PeerCredentials, error) { return nil, noCredentials() }

func (credentialSource) groups() ([]uint32, error) { return nil, noCredentials() }

func (credentialSource) label() (string, error) { return "", noCredentials() }

func (credentialSource) pidfd() (*os.File, error) { return nil, noCredentials() }
