// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !v1.0 && !v1.1

package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// workloads are what bench measures, each n times, between a server and a client
// in this process. They return how many of what is reported.
var workloads = map[string]func(b *bench, n int) (float64, string){
	"call-64B":            func(b *bench, n int) (float64, string) { return b.calls(1, 64, n) },
	"call-64B-8-callers":  func(b *bench, n int) (float64, string) { return b.calls(8, 64, n) },
	"call-64B-64-callers": func(b *bench, n int) (float64, string) { return b.calls(64, 64, n) },
	"call-64KiB":          func(b *bench, n int) (float64, string) { return b.calls(1, 64<<10, n) },
	"call-1MiB":           func(b *bench, n int) (float64, string) { return b.calls(1, 1<<20, n) },
	"upload-64B":          func(b *bench, n int) (float64, string) { return b.upload(64, n) },
	"upload-16KiB":        func(b *bench, n int) (float64, string) { return b.upload(16<<10, n) },
	"idle-connection":     (*bench).idle,
}

// A bench is a server and where to reach it.
type bench struct{ addr string }

// runBench prints the result and its unit.
func runBench(workload, count string) {
	n, err := strconv.Atoi(count)
	run := workloads[workload]
	if err != nil || run == nil {
		log.Fatalf("there is no workload %q of %q times", workload, count)
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	b := &bench{filepath.Join(dir, "socket")}
	s, err := startServer(b.addr)
	if err != nil {
		log.Fatal(err)
	}
	s.ttrpc.RegisterService("bench", &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{"Echo": method(func(_ context.Context, m *wrapperspb.BytesValue) (any, error) { return m, nil })},
		Streams: map[string]ttrpc.Stream{"Upload": {StreamingClient: true, Handler: drain}},
	})
	value, unit := run(b, n)
	fmt.Println(value, unit)
	s.ttrpc.Close()
}

// drain receives until the client has no more to send.
func drain(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	m := new(wrapperspb.BytesValue)
	for stream.RecvMsg(m) == nil {
	}
	return m, nil
}

func (b *bench) connect() *ttrpc.Client {
	conn, err := net.Dial("unix", b.addr)
	if err != nil {
		log.Fatal(err)
	}
	return ttrpc.NewClient(conn)
}

func (b *bench) call(c *ttrpc.Client, request *wrapperspb.BytesValue) {
	if err := c.Call(context.Background(), "bench", "Echo", request, new(wrapperspb.BytesValue)); err != nil {
		log.Fatal(err)
	}
}

// calls returns the time for each of n calls by some callers on one connection.
func (b *bench) calls(callers, size, n int) (float64, string) {
	c := b.connect()
	defer c.Close()
	request := wrapperspb.Bytes(make([]byte, size))
	b.call(c, request)
	var all sync.WaitGroup
	start := time.Now()
	for i := range callers {
		all.Add(1)
		go func() {
			defer all.Done()
			for k := i; k < n; k += callers {
				b.call(c, request)
			}
		}()
	}
	all.Wait()
	return float64(time.Since(start).Nanoseconds()) / float64(n), "ns/op"
}

// upload returns the time for each of n messages on one stream.
func (b *bench) upload(size, n int) (float64, string) {
	c := b.connect()
	defer c.Close()
	message := wrapperspb.Bytes(make([]byte, size))
	start := time.Now()
	stream, err := c.NewStream(context.Background(), &ttrpc.StreamDesc{StreamingClient: true}, "bench", "Upload", nil)
	for i := 0; i < n && err == nil; i++ {
		err = stream.SendMsg(message)
	}
	if err == nil {
		err = stream.CloseSend()
	}
	if err == nil {
		err = stream.RecvMsg(new(wrapperspb.BytesValue))
	}
	if err != nil {
		log.Fatal(err)
	}
	return float64(time.Since(start).Nanoseconds()) / float64(n), "ns/op"
}

// idle returns the memory of each of 1,000 connections, both ends together,
// that have made a call and are idle again.
func (b *bench) idle(int) (float64, string) {
	const connections = 1000
	clients := make([]*ttrpc.Client, connections)
	before := memory()
	for i := range clients {
		clients[i] = b.connect()
		b.call(clients[i], wrapperspb.Bytes(make([]byte, 64)))
	}
	time.Sleep(3 * time.Second) // what is kept for a while is given back
	used := memory() - before
	for _, c := range clients {
		c.Close()
	}
	return used / connections, "B/conn"
}

// memory returns the bytes of heap and stacks in use.
func memory() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}
