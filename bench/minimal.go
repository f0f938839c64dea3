// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// measureMinimal starts minimal programs of a side again and again.
func measureMinimal(m *measuring, s *side, _ *row) (metrics, error) {
	if s.server == "" {
		return nil, nil
	}
	times := 20
	if m.quick {
		times = 2
	}
	sum := make(metrics)
	for range times {
		once, err := m.startMinimal(s)
		if err != nil {
			return nil, err
		}
		for unit, value := range once {
			sum[unit] += value / float64(times)
		}
	}
	sum["n"] = float64(times)
	for unit, pkg := range map[string]string{unitServerBinary: s.server, unitClientBinary: s.client} {
		info, err := os.Stat(s.program(m.programs, pkg))
		if err != nil {
			return nil, err
		}
		sum[unit] = float64(info.Size())
	}
	return sum, nil
}

// startMinimal starts a server and a client at once. The socket is there before, so
// that neither has to wait for the other.
func (m *measuring) startMinimal(s *side) (result metrics, err error) {
	ctx, cancel := context.WithTimeout(m, timeout)
	defer cancel()
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	file, err := listener.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()

	var stderr bytes.Buffer
	server := exec.CommandContext(ctx, s.program(m.programs, s.server))
	server.ExtraFiles = []*os.File{file}
	client := exec.CommandContext(ctx, s.program(m.programs, s.client), socket)
	client.Stderr = &stderr
	in, err := client.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := client.StdoutPipe()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := errors.Join(server.Start(), client.Start()); err != nil {
		return nil, err
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return nil, fmt.Errorf("no answer: %w\n%s", err, stderr.Bytes())
	}
	elapsed := time.Since(start)
	serverMemory, serverErr := resident(server.Process.Pid)
	clientMemory, clientErr := resident(client.Process.Pid)
	err = errors.Join(serverErr, clientErr, in.Close(), client.Wait(), server.Process.Kill())
	server.Wait() // it was killed
	return metrics{
		unitTime: float64(elapsed), unitCPU: float64(cpu(server) + cpu(client)),
		unitServerResident: serverMemory, unitClientResident: clientMemory,
	}, err
}

func cpu(c *exec.Cmd) time.Duration {
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime()
}

// resident returns all of a process that is in memory.
func resident(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb * 1024, err
		}
	}
	return 0, errors.New("its status has no VmRSS")
}
