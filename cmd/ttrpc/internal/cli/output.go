// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"io"
	"sync"
	"syscall"
)

// An output notes that something could not be written, so that no result is lost in silence.
// That a pipe's reader has gone is none: they have had enough.
type output struct {
	io.Writer

	mu  sync.Mutex
	err error
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil && !errors.Is(err, syscall.EPIPE) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.err == nil {
			o.err = err
		}
	}
	return n, err
}

// end returns the error that a command ends with, which had err itself.
func (o *output) end(err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if exit := new(Exit); o.err == nil || errors.As(err, &exit) {
		return err
	}
	return Input("", "standard output: %w", o.err)
}
