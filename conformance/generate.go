// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

//go:generate ./generate.sh
