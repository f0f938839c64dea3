// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package main

// raceFlags build the peer as the tests are built, so that they share what is compiled.
var raceFlags []string
