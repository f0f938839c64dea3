// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is the unit of times in /proc, the same on all machines.
const tick = 10 * time.Millisecond

// A Process is one whose time on processors is looked at.
type Process struct {
	PID     int
	started string // tells it from a later one with the same id
	before  time.Duration
}

// Watch begins to look at a process.
func Watch(pid int) (*Process, error) {
	p := &Process{PID: pid}
	var err error
	p.before, p.started, err = usage(pid)
	return p, err
}

// Used returns how long it has run on processors since, exact to some 10 ms.
func (p *Process) Used() (time.Duration, error) {
	now, started, err := usage(p.PID)
	if err == nil && started != p.started {
		err = fmt.Errorf("process %d has ended, and another one has its id", p.PID)
	}
	return now - p.before, err
}

// usage reads what the kernel tells of a process: the name, in brackets, may have any bytes.
func usage(pid int) (used time.Duration, started string, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, "", err
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return 0, "", fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, "", err
		}
		used += time.Duration(n) * tick
	}
	return used, string(fields[19]), nil
}
