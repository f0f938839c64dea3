// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build race

package main

// raceFlags are for our subject: it is watched for races if the driver is.
var raceFlags = []string{"-race"}
