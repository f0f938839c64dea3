// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package tools pins, in its go.mod, the tools that check this repository:
//
//	go -C internal/tools build -o DIR/ tool
package tools
