// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package grpc_test

// raceEnabled tells that the race detector is on, with which all takes several times as long.
const raceEnabled = false
