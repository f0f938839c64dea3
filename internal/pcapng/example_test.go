// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package pcapng_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/containerd/ttrpc/internal/pcapng"
)

// A proxy records what passes, and reads it back.
func Example() {
	var file bytes.Buffer
	w, err := pcapng.NewWriter(&file)
	if err != nil {
		log.Fatal(err)
	}
	now := time.Unix(1767225600, 0)
	conn := w.Conn(pcapng.Conn{Comment: "/run/shim.sock, pid 4711", Start: now})
	conn.Write(false, now, []byte("ping"), "")
	conn.Write(true, now.Add(time.Millisecond), []byte("pong"), "")
	if err := conn.Close(now.Add(time.Second)); err != nil {
		log.Fatal(err)
	}

	r, err := pcapng.NewReader(&file)
	if err != nil {
		log.Fatal(err)
	}
	for {
		s, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d %-5v %q %q %v\n", s.Conn, s.FromServer, s.Data, s.Comment, s.End)
	}
	// Output:
	// 0 false "" "/run/shim.sock, pid 4711" false
	// 0 false "ping" "" false
	// 0 true  "pong" "" false
	// 0 false "" "" true
	// 0 true  "" "" true
}
