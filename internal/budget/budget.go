// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package budget holds no code, only tests of the repository itself: which
// packages the library may bring into its users' programs, and the house rules
// that no linter knows.
package budget
