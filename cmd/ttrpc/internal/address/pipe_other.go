// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !windows

package address

import (
	"context"
	"errors"
	"net"
)

var errNoPipes = errors.New("there are named pipes of this kind on Windows only")

func dialPipe(context.Context, string) (net.Conn, error) { return nil, errNoPipes }

func listenPipe(string) (net.Listener, error) { return nil, errNoPipes }
