// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plugins is the generated code of plugins.proto: a host, and plugins that
// register with it, are called by it, and come back when it was restarted. The directory
// cmd has both, to run and to read:
//
//	go run ./example/plugins/cmd
package plugins
