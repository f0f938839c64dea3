// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package calls holds what callers, handlers and the interceptors between them see of a
// call. It has only tests.
package calls
