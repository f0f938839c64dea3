// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"image/color"
	"slices"
)

const plainName = "plain"

// What speaks by stubs that gRPC's generator made, and what is measured beside it.
var (
	red   = color.RGBA{0xd6, 0x27, 0x28, 0xff}
	green = color.RGBA{0x2c, 0xa0, 0x2c, 0xff}

	native = stubSide("native", "grpcttrpc", red)
	plain  = stubSide(plainName, "grpc-go", green)

	stubSides = []*side{native, sideNamed(oursExtendedName), plain}
)

func stubSide(name, title string, c color.RGBA) *side {
	return &side{name: name, title: title, color: c, module: "grpc", driver: "./" + name}
}

// A use is a way to use a connection.
type use struct {
	name, label string
	args        []string
}

var (
	usesOfCalls = []use{
		{"size=64", "a call of 64 B", []string{"-size=64"}},
		{"size=4096", "of 4 KiB", []string{"-size=4096"}},
		{"size=65536", "of 64 KiB", []string{"-size=65536"}},
		{"size=64/callers=64", "64 callers, 64 B", []string{"-size=64", "-callers=64"}},
	}
	usesOfStreams = []use{
		{"size=64/kind=upload", "upload, 64 B", []string{"-size=64", "-kind=upload"}},
		{"size=64/kind=download", "download, 64 B", []string{"-size=64", "-kind=download"}},
		{"size=64/kind=pipelined", "pipelined, 64 B", []string{"-size=64", "-kind=pipelined"}},
		{"size=64/kind=pingpong", "ping-pong, 64 B", []string{"-size=64", "-kind=pingpong"}},
	}
)

// stubs are calls or streams between two processes over each kind of socket.
func stubs(what string, uses []use, flags ...string) (rows []*row) {
	for _, over := range []struct{ name, label, flag string }{{"unix", "unix", ""}, {"tcp", "TCP", "tcp"}, {"tls", "TCP+TLS", "tcp+tls"}} {
		for _, u := range uses {
			args := slices.Concat([]string{what, "-processes=2", flagged("over", over.flag)}, u.args, flags)
			rows = append(rows, driven(fmt.Sprintf("Stubs/%s/over=%s/%s", what, over.name, u.name), over.label+": "+u.label, short, args...))
		}
	}
	return rows
}

func stubMemory() (rows []*row) {
	for _, what := range []struct{ kind, label string }{{"idle", "connected"}, {"called", "after a call of 64 B"}} {
		r := driven("Memory/kind=stub-"+what.kind+"/n=1000", what.label+", 1,000", 0, "memory", "-processes=2", "-n=1000", flagged("kind", what.kind), "-size=64")
		r.rounds = 1
		rows = append(rows, r)
	}
	return rows
}
