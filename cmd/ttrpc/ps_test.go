// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/address"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
)

// TestPsAsks holds that NRI's socket is not even connected to, as who connects there is taken
// for a plugin, and that who does not answer is given up.
func TestPsAsks(t *testing.T) {
	dir := shortDir(t)
	nri, err := net.Listen("unix", filepath.Join(dir, "nri"))
	if err != nil {
		t.Fatal(err)
	}
	defer nri.Close()
	silent, err := net.Listen("unix", filepath.Join(dir, "silent"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	var list []*listener
	for _, text := range []string{"nri:" + dir + "/nri", dir + "/silent"} {
		a, err := address.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, &listener{at: a})
	}
	p := &ps{env: &cli.Env{}, patience: 50 * time.Millisecond}
	p.ask(context.Background(), list)
	if got := list[0].answers(); got != "not asked" || list[0].Asked {
		t.Errorf("B172: NRI: %s", got)
	}
	first, err := net.Dial("unix", dir+"/nri")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	first.Write([]byte("first"))
	conn, err := nri.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n, err := conn.Read(make([]byte, 5)); n != 5 {
		t.Errorf("B172: somebody was connected to NRI before: %d, %v", n, err)
	}
	if got := list[1].answers(); got != "no: takes connections and does not answer" || !list[1].Asked {
		t.Errorf("B172: a silent server: %s", got)
	}
}
