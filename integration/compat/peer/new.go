// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !v1.0 && !v1.1 && !v1.2.2

package main

import (
	"errors"
	"fmt"

	"github.com/containerd/ttrpc"
)

// newErrors are those that releases before v1.2.10 lack.
var newErrors = []identity{
	{"ttrpc.ErrStreamFull", ttrpc.ErrStreamFull},
	{"ttrpc oversized", ttrpc.OversizedMessageError(5 << 20)},
}

var newScenarios = []scenario{
	{"new errors", fail("ttrpc.ErrStreamFull", "ttrpc oversized")},
}

// lengths describes the error of an oversized message, or nothing.
func lengths(err error) []string {
	var big *ttrpc.OversizedMessageErr
	if !errors.As(err, &big) {
		return nil
	}
	return []string{fmt.Sprintf("*ttrpc.OversizedMessageErr{%d, %d}", big.RejectedLength(), big.MaximumLength())}
}
