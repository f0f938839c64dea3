// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux && !race

package extended

const (
	fileMessages = 100_000   // with files, in TestFilesWithFaults
	killRounds   = 10        // of TestKilled, in each role
	largest      = 128 << 20 // message

	// stuckMemory is how much more memory a process may take while 256 MiB are sent on
	// streams that are stuck. That is far less than these, and far more than their
	// windows, 512 KiB: garbage is in it.
	stuckMemory = 64 << 20
)
