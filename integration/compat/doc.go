// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package compat tests this library against released versions of ttrpc.
//
// A release has our module path, so that no program can hold both. The package peer
// is therefore built several times: against this library, and with go's -modfile,
// once against each release that has a mod file in the directory released. The test
// runs each of the peer's scenarios with every pairing of client and server, each a
// process of its own, and expects what both ends of the release see of each other.
//
// To test against another release, add its mod file and a row to the test's table
// of releases.
package compat
