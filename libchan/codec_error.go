// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// maxPath bounds the path that an error names: a value that points to itself has none
// that anybody wants to read.
const maxPath = 20

// A fieldError is an error about a part of a message.
type fieldError struct {
	path []string // from the part up
	err  error
}

func (e *fieldError) Error() string {
	var b strings.Builder
	for i := len(e.path) - 1; i >= 0; i-- {
		if len(e.path)-1-i == maxPath {
			b.WriteString("...")
			break
		}
		b.WriteString(e.path[i])
	}
	return b.String() + ": " + e.err.Error()
}

func (e *fieldError) Unwrap() error { return e.err }

// inPart says that err is about a part, a field or an element, of the value that is
// walked. The path is put together on the way up, so it costs nothing if all is well.
func inPart(part string, err error) error {
	if at, ok := err.(*fieldError); ok { // not one that a user's error wraps
		at.path = append(at.path, part)
		return at
	}
	return &fieldError{[]string{part}, err}
}

func withinField(name string, err error) error { return inPart("."+name, err) }

func withinIndex(i int, err error) error { return inPart("["+strconv.Itoa(i)+"]", err) }

func withinKey(key any, err error) error {
	if s, ok := key.(string); ok {
		return inPart("["+strconv.Quote(s)+"]", err)
	}
	return inPart(fmt.Sprintf("[%v]", key), err)
}

// located is what Marshal and Unmarshal return: the path begins with the type of the
// message.
func located(t reflect.Type, codec string, err error) error {
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := "message"
	if t != nil && t.PkgPath() != "" {
		name = t.Name()
	}
	if codec != "" {
		codec += ": "
	}
	return fmt.Errorf("libchan: %s%w", codec, inPart(name, err))
}
