// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command peer is ttrpc's own server and client under test. With -modfile=released.mod and the
// tag released it is that of a release.
//
//	peer server [ADDRESS]   serves, and prints the address
//	peer client             reads commands as lines of JSON, and writes results
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	log.SetFlags(0)
	args := os.Args[1:]
	switch {
	case len(args) == 1 && args[0] == "client":
		runClient(os.Stdin, os.Stdout)
	case len(args) == 1 && args[0] == "server":
		if err := serveUntil(os.Stdin); err != nil {
			log.Fatal(err)
		}
	case len(args) == 2 && args[0] == "server":
		listener, err := listen(args[1])
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(args[1])
		log.Fatal(serve(listener))
	default:
		log.Fatal("usage: peer server [ADDRESS] | peer client")
	}
}

// serveUntil serves at an address of its own until r ends.
func serveUntil(r io.Reader) error {
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	listener, err := listen("unix:" + path)
	if err != nil {
		return err
	}
	fmt.Println("unix:" + path)
	go serve(listener)
	_, err = io.Copy(io.Discard, r)
	return err
}

func listen(address string) (net.Listener, error) {
	if host, ok := strings.CutPrefix(address, "tcp://"); ok {
		return net.Listen("tcp", host)
	}
	return net.Listen("unix", strings.TrimPrefix(address, "unix:"))
}

func dial(address string) (net.Conn, error) {
	if host, ok := strings.CutPrefix(address, "tcp://"); ok {
		return net.Dial("tcp", host)
	}
	return net.Dial("unix", strings.TrimPrefix(address, "unix:"))
}
