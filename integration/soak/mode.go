// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A mode is how the two ends of a connection talk. What a release has of it is in
// released.go, what this library has in extended.go.
type mode string

const (
	classic  mode = "classic"
	extended mode = "extended"
)

// modes are those of a run. With both, the lanes of each target take turns, to the same
// servers.
type modes []mode

func parseModes(name string) (modes, error) {
	all := map[string]modes{"classic": {classic}, "extended": {extended}, "both": {classic, extended}}
	m, ok := all[name]
	switch {
	case !ok:
		return nil, fmt.Errorf("there is no mode %q, but classic, extended, and both", name)
	case released && slices.Contains(m, extended):
		return nil, fmt.Errorf("-mode %s: a release has no extended mode", name)
	}
	return m, nil
}

// name is what parseModes makes m of.
func (m modes) name() string {
	if len(m) > 1 {
		return "both"
	}
	return string(m[0])
}

// of is the mode of a lane.
func (m modes) of(lane int) mode { return m[lane%len(m)] }

// refused tells whether a server that shuts down has refused the call. In extended mode
// the caller knows that it was not executed.
func (m mode) refused(err error) bool {
	return status.Code(err) == codes.Unavailable && isNotExecuted(err) == (m == extended)
}

// is tells whether a call of the mode has ended with a sentinel error. In extended mode it
// may be wrapped.
func (m mode) is(err, want error) bool {
	return err == want || m == extended && errors.Is(err, want)
}
