// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package compat tests this library against released versions of ttrpc.
//
// A release has our module path, so that no program can hold both. The package peer
// is therefore built several times: against this library, and with go's -modfile,
// once against each release that has a mod file in the directory released. Releases
// before v1.2 have no streams and take gogo/protobuf's messages; build tags leave out
// of their peers what they lack. The test runs each of the peer's scenarios with every
// pair of client and server that has it, each a process of its own; a scenario's pairs
// share those of this library, one after the other.
//
// A pair with this library must see what the other's release sees of itself, step by
// step. The list better holds what the contract wants otherwise, asReference what old
// releases do otherwise and the newest, in our place, does as we do. Pairs of two
// releases are run to see how far they agree with each other; nothing is asked of
// them. The list hangs holds the scenarios that a release does not live to see the
// end of, and nowAndThen those that are tried again. Whatever another list names has to
// occur, or its scenario fails.
//
// This library is in the table twice more: as "extended", with clients that ask for the
// extended mode and servers that use all of it, and as "declining", a server that is told
// not to know it. Their pairs with each other and with releases must see what the pairs
// with "ours" see; and what old peers hear must be the same, byte for byte.
//
// What clients of v1.2, and of ours, get of servers without streams is in the scenario
// "streams of a server that may have none": the status of an unknown method.
//
//	go test -race -v -run TestPairs .
//
// To test against another release, add its mod file and a row to the test's table
// of releases.
package compat
