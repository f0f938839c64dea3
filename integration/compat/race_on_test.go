// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build race

package compat

// buildFlags are for our peer: it is watched for races as the test is.
var buildFlags = []string{"-race"}
