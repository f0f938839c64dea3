// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package dissector holds ttrpc.lua, which shows ttrpc in Wireshark and tshark, and its
// tests. docs/wireshark.md tells how to use it.
package dissector
