// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"errors"
	"fmt"
	"log"
	"time"
)

// A connConfig is what a client's connection and a server's have in common.
type connConfig struct {
	limits     Limits
	timeouts   Timeouts
	codec      codec
	log        Logger
	handshaker Handshaker

	trace   tracer    // nil if there is none
	extends extension // makes the extended mode; nil if no option asks for it

	asStatus statusFunc // makes statuses of errors on classic connections, too; nil if no option asks for it
}

// setDefaults sets what no option has set.
func (c *connConfig) setDefaults() {
	c.limits.setDefaults()
	setDefault(&c.timeouts.Handshake, defaultHandshakeTimeout)
	if c.log == nil {
		c.log = new(errorLogger)
	}
}

// checkFiles returns an error if files are asked for without the mode that passes them, for
// which option asks.
func (c *connConfig) checkFiles(option string) error {
	if c.limits.Files > 0 && c.extends == nil {
		return errors.New("ttrpc: Limits.Files was given without " + option + ": files pass in extended mode only")
	}
	return nil
}

func setDefault[T int | time.Duration](v *T, value T) {
	if *v == 0 {
		*v = value
	}
}

// override sets v to value, unless that is zero, which says nothing.
func override[T int | time.Duration](v *T, value T) {
	if value != 0 {
		*v = value
	}
}

// nilOption is the mistake of an option, counted from 0, that is nil.
func nilOption(i int) error { return fmt.Errorf("ttrpc: option %d is nil", i+1) }

// refuse panics if a field of an option is negative.
func refuse[T int | time.Duration](field string, v T) {
	if v < 0 {
		panic(fmt.Sprintf("ttrpc: %s is negative: %v", field, v))
	}
}

// A Logger takes what the library has to tell beside errors that it returns.
// args are alternating keys and values. *slog.Logger is a Logger. The methods
// may be called concurrently and must not block.
type Logger interface {
	Debug(msg string, args ...any)
	Info(msg string, args ...any)
	Warn(msg string, args ...any)
	Error(msg string, args ...any)
}

// errorLogger is the default: errors go to the standard log, the rest nowhere.
type errorLogger struct{}

func (*errorLogger) Debug(string, ...any) {}
func (*errorLogger) Info(string, ...any)  {}
func (*errorLogger) Warn(string, ...any)  {}

func (*errorLogger) Error(msg string, args ...any) {
	for i := 0; i+1 < len(args); i += 2 {
		msg += fmt.Sprintf(" %v=%v", args[i], args[i+1])
	}
	log.Print(msg)
}
