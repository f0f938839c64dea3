// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package relay

import (
	"errors"
	"net"
)

// passesFiles says that no descriptors pass sockets here.
const passesFiles = false

func (d *direction) copyUnix(*net.UnixConn) error { return errors.ErrUnsupported }
