// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !v1.0

package main

import (
	"context"

	"github.com/containerd/ttrpc"
)

func onCloseWait(c *ttrpc.Client) error { return c.UserOnCloseWait(context.Background()) }
