// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
)

// cases are all, in the order of the table.
var cases = slices.Concat(
	quietCases, frameCases, cutCases, floodCases, streamCases, serverCases,
	signalCases, listenerCases, handlerCases, endingCases,
)

// text is what was tried, for the table.
func (c testCase) text(times int) string {
	if !strings.Contains(c.tried, "%d") {
		return c.tried
	}
	return fmt.Sprintf(c.tried, times)
}
