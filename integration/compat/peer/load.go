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
	s.note("calls", callMuch(s.client, 64, 100), nil)
	s.still()
}

// threeClients has each connection carry calls, and a stream beside them.
func threeClients(s *session) {
	clients := []*ttrpc.Client{s.client, s.dial(), s.dial()}
	calls := make([]string, len(clients))
	streams := make([]string, len(clients))
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Add(2)
		go func() {
			defer wg.Done()
			calls[i] = callMuch(c, 8, 50)
		}()
		go func() {
			defer wg.Done()
			streams[i] = relayMuch(c, fmt.Sprintf("client %d", i))
		}()
	}
	wg.Wait()
	for i := range clients {
		s.note(fmt.Sprintf("calls of client %d", i), calls[i], nil)
		s.note(fmt.Sprintf("stream of client %d", i), streams[i], nil)
	}
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

// relayMuch exchanges messages on a stream, and says what came back.
func relayMuch(c *ttrpc.Client, name string) string {
	stream, err := c.NewStream(context.Background(), &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, serviceName, "Relay", nil)
	if err != nil {
		return err.Error()
	}
	var back []string
	for i := range 100 {
		if err := stream.SendMsg(text("%s message %d", name, i)); err != nil {
			return err.Error()
		}
		messages, err := receive(stream, 1)
		if err != nil {
			return err.Error()
		}
		back = append(back, messages...)
	}
	if err := stream.CloseSend(); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s, then %v", summary(back), stream.RecvMsg(new(textValue)))
}
