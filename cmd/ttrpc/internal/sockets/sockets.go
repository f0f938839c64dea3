// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sockets lists the unix sockets of this machine that listen, and whose they are. Only
// Linux tells.
package sockets

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A Socket is one that listens.
type Socket struct {
	Path  string // or, with an @ before it, its name
	inode string
}

// Address returns the address to dial.
func (s Socket) Address() string { return "unix:" + s.Path }

// The places of the fields of a line of /proc/net/unix, and what they are of a stream's socket
// that listens.
const (
	fieldFlags, flagsListening = 3, 0x10000
	fieldType, typeStream      = 4, 1
	fieldInode                 = 6
	fields                     = 7 // and then the path
)

// Listening lists the stream sockets that listen in this network namespace. It returns none
// where there is no /proc/net/unix.
func Listening() []Socket {
	f, err := os.Open("/proc/net/unix")
	if err != nil {
		return nil
	}
	defer f.Close()
	return parse(f)
}

func parse(r io.Reader) []Socket {
	var all []Socket
	for lines := bufio.NewScanner(r); lines.Scan(); {
		line := lines.Text()
		part := strings.Fields(line)
		if len(part) <= fields {
			continue // the heading, and sockets without a name
		}
		flags, _ := strconv.ParseUint(part[fieldFlags], 16, 64)
		kind, _ := strconv.ParseUint(part[fieldType], 16, 64)
		if flags&flagsListening == 0 || kind != typeStream {
			continue
		}
		// A path may have spaces.
		rest := line
		for range fields {
			rest = strings.TrimLeft(rest, " ")
			_, rest, _ = strings.Cut(rest, " ")
		}
		all = append(all, Socket{Path: rest, inode: part[fieldInode]})
	}
	return all
}

// Owners tells which processes hold sockets.
type Owners struct{ pids map[string]int } // by inode

// FindOwners looks at the open files of all processes. Those of other users it sees as root
// only.
func FindOwners() *Owners {
	o := &Owners{make(map[string]int)}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		to, err := os.Readlink(link)
		inode, isSocket := strings.CutPrefix(to, "socket:[")
		if err != nil || !isSocket {
			continue
		}
		inode = strings.TrimSuffix(inode, "]")
		pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
		if known, ok := o.pids[inode]; !ok || pid < known { // a parent before its children
			o.pids[inode] = pid
		}
	}
	return o
}

// PID returns the process that holds a socket, or 0 if it is not known. Of several it is the one
// with the lowest number.
func (o *Owners) PID(s Socket) int { return o.pids[s.inode] }

// Reachable returns the address to dial from here. A relative path leads from the directory of the
// process that holds the socket, if that has not changed it.
func (o *Owners) Reachable(s Socket) string {
	if filepath.IsAbs(s.Path) || strings.HasPrefix(s.Path, "@") {
		return s.Address()
	}
	theirs, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", o.PID(s)))
	ours, _ := os.Getwd()
	path := filepath.Join(theirs, s.Path)
	if info, err := os.Stat(path); theirs == ours || err != nil || info.Mode()&os.ModeSocket == 0 {
		return s.Address()
	}
	return "unix:" + path
}

// Holder returns the process that holds a listening socket, of which the kernel tells only who
// began to listen. That may be gone: containerd's shims hand their sockets on to another process.
// If nobody is seen to hold a socket of that name, it returns the one that began.
func Holder(name string, began int) int {
	owners, holder := FindOwners(), 0
	for _, s := range Listening() {
		if s.Path != name {
			continue
		}
		switch pid := owners.PID(s); pid {
		case began:
			return began
		case 0:
		default:
			holder = pid
		}
	}
	if holder == 0 {
		return began
	}
	return holder
}
