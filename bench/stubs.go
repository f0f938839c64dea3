// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"image/color"
	"slices"
	"time"
)

const (
	plainName    = "plain"
	plainTLSName = "plain-tls"
	hopName      = "hop"
)

// What speaks by stubs that gRPC's generator made, and what is measured beside it.
var (
	orange = color.RGBA{0xff, 0x7f, 0x0e, 0xff}
	red    = color.RGBA{0xd6, 0x27, 0x28, 0xff}
	green  = color.RGBA{0x2c, 0xa0, 0x2c, 0xff}
	blue   = color.RGBA{0x1f, 0x77, 0xb4, 0xff}
	purple = color.RGBA{0x94, 0x67, 0xbd, 0xff}

	native = stubSide("native", "grpcttrpc", red)
	tunnel = stubSide("brpc", "brpc", orange)
	plain  = stubSide(plainName, "grpc-go", green)
	own    = sideNamed(oursExtendedName).under("own", "ttrpc's own stubs", blue)

	stubSides = []*side{native, own, plain, tunnel}

	networkSides = []*side{
		native.under("native-tls", "grpcttrpc, TCP+TLS", red, "-over=tcp+tls"),
		native.under("native-quic", "grpcttrpc, QUIC", orange, "-over=quic"),
		tunnel.under("brpc-tls", "brpc, TCP+TLS", blue, "-over=tcp+tls"),
		tunnel.under("brpc-quic", "brpc, QUIC", purple, "-over=quic"),
		plain.under(plainTLSName, "grpc-go, TCP+TLS", green, "-over=tcp+tls"),
	}

	hopSides = []*side{
		stubSide("front", "gRPC to ttrpc", red),
		stubSide("back", "ttrpc to gRPC", orange),
		stubSide(hopName, "gRPC to gRPC, grpc-go", green),
	}

	idleSides = []*side{
		native, own, plain, tunnel,
		tunnel.under("brpc-quic", "brpc, QUIC", purple, "-over=quic"),
	}
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
		{"size=4096", "a call of 4 KiB", []string{"-size=4096"}},
		{"size=65536", "a call of 64 KiB", []string{"-size=65536"}},
		{"size=64/callers=64", "64 callers, 64 B", []string{"-size=64", "-callers=64"}},
	}
	usesOfStreams = []use{
		{"size=64/kind=upload", "upload, 64 B", []string{"-size=64", "-kind=upload"}},
		{"size=64/kind=download", "download, 64 B", []string{"-size=64", "-kind=download"}},
		{"size=64/kind=pipelined", "pipelined, 64 B", []string{"-size=64", "-kind=pipelined"}},
		pingpong,
	}
	callsOfNetworks   = []use{usesOfCalls[0], usesOfCalls[2], usesOfCalls[3]}
	streamsOfNetworks = []use{
		pingpong,
		{"size=16384/kind=upload", "upload, 16 KiB", []string{"-size=16384", "-kind=upload"}},
		{"size=16384/kind=pipelined", "pipelined, 16 KiB", []string{"-size=16384", "-kind=pipelined"}},
	}
	pingpong = use{"size=64/kind=pingpong", "ping-pong, 64 B", []string{"-size=64", "-kind=pingpong"}}
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

// networks are calls or streams where nothing is lost, and where packets are.
func networks(what string, uses []use, flags ...string) (rows []*row) {
	for _, lost := range []int{0, 1} {
		for _, u := range uses {
			args := slices.Concat([]string{what, "-processes=2", flagged("lost", lost)}, u.args, flags)
			r := driven(fmt.Sprintf("Network/%s/lost=%d/%s", what, lost, u.name), fmt.Sprintf("%d %% lost: %s", lost, u.label), short, args...)
			if lost > 0 { // some dozen packets have to be
				r.lasts, r.rounds = 3*time.Second, 3
			}
			rows = append(rows, r)
		}
	}
	return rows
}

// hops are calls or streams through a process between client and server.
func hops(what string, uses []use, flags ...string) (rows []*row) {
	for _, u := range uses {
		args := slices.Concat([]string{what, "-processes=3"}, u.args, flags)
		rows = append(rows, driven(fmt.Sprintf("Hop/%s/%s", what, u.name), u.label, medium, args...))
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
