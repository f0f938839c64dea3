// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// demoCommands are run by the demo. Their input is "typed".
var demoCommands = [][]string{
	{"cat"},
	{"sh", "-c", "echo something is wrong >&2; exit 3"},
}

// demo runs a server over a unix socket and one over TCP, each a process of its own, and has
// commands run by them.
func demo(ctx context.Context, log *log.Logger) error {
	dir, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, address := range []string{"unix:" + filepath.Join(dir, "socket"), "tcp:127.0.0.1:0"} {
		if err := demoAt(ctx, address, log); err != nil {
			return fmt.Errorf("%s: %w", address, err)
		}
	}
	log.Print("all commands have run")
	return nil
}

func demoAt(ctx context.Context, address string, log *log.Logger) (err error) {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	server := exec.Command(program, "serve", address)
	server.Stderr = os.Stderr
	stdout, err := server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	defer func() {
		if server.Process.Signal(os.Interrupt) != nil {
			server.Process.Kill() // there are systems without signals
		}
		err = errors.Join(err, server.Wait())
	}()
	// Its first line says where it listens.
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	if err != nil {
		return err
	}
	go io.Copy(io.Discard, lines)
	_, address, _ = strings.Cut(strings.TrimSpace(line), "listening on ")
	network, _, _ := strings.Cut(address, ":")
	for _, args := range demoCommands {
		in, typed, err := os.Pipe()
		if err != nil {
			return err
		}
		fmt.Fprintf(typed, "this was typed for %s\n", network)
		typed.Close()
		code, err := runAt(ctx, address, args, stdio{in, os.Stdout, os.Stdout})
		in.Close()
		if err != nil {
			return err
		}
		log.Printf("over %s %s exits with %d", network, args[0], code)
	}
	return nil
}
