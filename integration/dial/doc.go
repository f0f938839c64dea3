// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package dial holds what becomes of the calls of a client made by Dial when its server
// ends and comes back. It has only tests.
package dial
