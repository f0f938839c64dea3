// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package report is what a client peer prints: a line of JSON for each scenario.
package report

// Scenario is what happened in one scenario.
type Scenario struct {
	Name  string `json:"name"`
	Steps []Step `json:"steps"`

	// Extended says that the two agreed on the extended mode.
	Extended bool `json:"extended,omitempty"`

	// Killed says that the scenario had the server killed.
	Killed bool `json:"killed,omitempty"`
}

// Step is one observation. Its name is unique in the scenario.
type Step struct {
	Name string `json:"name"`

	// Value is what was received or seen.
	Value string `json:"value,omitempty"`

	// Error is the error's text, Is what the error is or wraps, as callers may
	// compare it, and Code and Details the status that it carries.
	Error   string   `json:"error,omitempty"`
	Is      []string `json:"is,omitempty"`
	Code    string   `json:"code,omitempty"`
	Details []string `json:"details,omitempty"`
}
