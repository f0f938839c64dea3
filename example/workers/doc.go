// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package workers is the generated code of workers.proto: a dispatcher of jobs, and
// the workers that it calls on the connections that they have made to it. The
// directory cmd has both, to run and to read:
//
//	go run ./example/workers/cmd
package workers
