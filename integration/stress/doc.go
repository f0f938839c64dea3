// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package stress has clients and servers do at random what moves their inner states about.
// It has only tests.
package stress
