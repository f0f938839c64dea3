// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"slices"
	"sync"

	"github.com/containerd/ttrpc"
)

// callers shares a connection among many.
func callers(s *session) {
	s.note("calls", callMuch(s.client, 64, 30), nil)
	s.still()
}

// callMuch makes n calls by each of some callers, of many sizes, and says how many
// went well. No two callers send the same.
func callMuch(c *ttrpc.Client, callers, n int) string {
	sizes := []int{0, 1, 100, 1000, 4080, 4096, 10_000, 65_536}
	content := pattern(slices.Max(sizes))
	good := make([]int, callers)
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range n {
				data := fmt.Appendf(nil, "caller %d call %d ", caller, i)
				data = append(data, content[:sizes[(caller+i)%len(sizes)]]...)
				resp := new(bytesValue)
				if err := c.Call(context.Background(), serviceName, "Echo", &bytesValue{Value: data}, resp); err != nil {
					log.Printf("caller %d call %d: %v", caller, i, err)
				} else if bytes.Equal(resp.Value, data) {
					good[caller]++
				}
			}
		}()
	}
	wg.Wait()
	sum := 0
	for _, g := range good {
		sum += g
	}
	return fmt.Sprintf("%d of %d", sum, callers*n)
}
