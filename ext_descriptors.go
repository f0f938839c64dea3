// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"os"
	"runtime"
	"sync/atomic"
)

// descriptors are the open files of one message: those that came with it, until somebody
// takes them, or duplicates that are to leave with it. They become *os.File when a user gets
// them, for even that asks the file something. Whoever has them drops them, which closes
// them where nobody waits; what no path has dropped the garbage collector drops. A nil
// *descriptors are none.
type descriptors struct {
	set     *descriptorSet
	cleanup runtime.Cleanup
	users   atomic.Int32 // how many more will drop them
}

// A descriptorSet is what there is to close.
type descriptorSet struct {
	fds []int
	of  *fileAccount // of the connection on which they came; nil of our own
}

// newDescriptors returns those that came on a connection, or with nil our own.
func newDescriptors(of *fileAccount, fds []int) *descriptors {
	if len(fds) == 0 {
		return nil
	}
	d := &descriptors{set: &descriptorSet{fds, of}}
	d.cleanup = runtime.AddCleanup(d, (*descriptorSet).drop, d.set)
	if of != nil {
		of.held.Add(int64(len(fds)))
	}
	return d
}

func (s *descriptorSet) drop() {
	if s.of == nil {
		closing.dropOwn(s.fds)
		return
	}
	s.of.drop(s.fds) // first, so that they are always in a sum
	s.of.held.Add(-int64(len(s.fds)))
}

// count is how many there are.
func (d *descriptors) count() int {
	if d == nil {
		return 0
	}
	return len(d.set.fds)
}

// share returns the same once more, to be dropped, too.
func (d *descriptors) share() *descriptors {
	if d != nil {
		d.users.Add(1)
	}
	return d
}

// drop has them closed once all who have them have dropped them.
func (d *descriptors) drop() {
	if d != nil && d.users.Add(-1) < 0 {
		d.cleanup.Stop()
		d.set.drop()
	}
}

// files returns them as files, which are the caller's to close.
func (d *descriptors) files() (files []*os.File) {
	if d == nil {
		return nil
	}
	d.cleanup.Stop()
	for _, fd := range d.set.fds {
		files = append(files, os.NewFile(uintptr(fd), "ttrpc"))
	}
	if d.set.of != nil {
		d.set.of.held.Add(-int64(len(d.set.fds)))
	}
	return files
}
