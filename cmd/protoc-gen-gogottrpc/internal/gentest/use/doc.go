// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package use tests generated code the way other people's repositories use it: by
// compiling against its names and by calling services through it.
package use
