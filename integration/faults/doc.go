// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package faults holds what calls return, and what is left of them, when the conn under
// them fails, delays, splits or loses what it carries, at any byte. It has only tests.
package faults
