// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

func Example() {
	main()
	// Output:
	// Alice: asked for the name
	// Alice: the server says "Hello, Alice"
	// Bob: asked for the name
	// Bob: the server says "Hello, Bob"
}
