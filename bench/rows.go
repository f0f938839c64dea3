// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// A row is one thing that is measured of all sides.
type row struct {
	name  string // in results, as benchmarks are called
	label string // in tables
	lasts time.Duration
	// rounds is how many are enough where one takes long and they hardly differ.
	rounds  int
	measure func(context *measuring, s *side, r *row) (metrics, error)
	args    []string // of the driver
	sides   []*side  // those of its group
}

// A group is rows that are shown in the same tables, one for each unit.
type group struct {
	title, note string
	units       []string
	overview    int // how many of the units stand in the overview, too; 0 for one
	noFloor     bool
	rows        []*row

	// of the sides, if they are not those of calls
	sides    []*side
	baseline string // the side that the others are compared with
}

// all returns the sides that may have a column.
func (g *group) all() []*side {
	if g.sides != nil {
		return g.sides
	}
	return sides
}

// ours is the side without which a row is not shown, the first one.
func (g *group) ours() string { return g.all()[0].name }

// compared returns the side that the others are compared with.
func (g *group) compared() *side {
	name := g.baseline
	if name == "" {
		name = releasedName
	}
	all := g.all()
	return all[slices.IndexFunc(all, func(s *side) bool { return s.name == name })]
}

// Durations of what is measured.
const (
	short  = 300 * time.Millisecond
	medium = 600 * time.Millisecond
	long   = time.Second
)

var (
	timeUnits = []string{unitTime, unitCPU}
	sizes     = []int{0, 64, 1 << 10, 64 << 10, 1 << 20, 39 << 20 / 10}
)

var groups = []*group{
	{
		title: "One caller, client and server in one process",
		note:  "A call that echoes its bytes. The floor is a ping-pong of the same bytes between two goroutines over a unix socket; from 64 KiB on each of them copies once and allocates once.",
		units: timeUnits, rows: unary(1),
	}, {
		title: "One caller, client and server in two processes",
		units: []string{unitP50, unitTime, unitCPU}, overview: 3, rows: unary(2, "-latencies"),
	}, {
		title: "This library at one end and v1.2.10 at the other",
		note:  "One caller, 64 B, two processes. The title of a column is the client. What counts is v1.2.10 with itself.",
		units: []string{unitP50, unitTime, unitCPU}, overview: 2, noFloor: true, rows: pairs(),
	}, {
		title: "Other byte streams than sockets",
		note:  "One process. TLS is *tls.Conn over a unix socket; in memory is net.Pipe, in a conn that says that it is a byte stream, of which releases know nothing.",
		units: timeUnits, noFloor: true, rows: overOthers(),
	}, {
		title: "Many connections, by GOMAXPROCS",
		note:  "64 callers, a connection for each, 64 B, one process, on a machine with 2 processors. The floor is as many ping-pongs.",
		units: timeUnits, rows: processors(),
	}, {
		title: "To connect, call once and close",
		note:  "One caller, 64 B, one process.",
		units: []string{unitTime, unitCPU, unitBytes, unitAllocs}, overview: 3, noFloor: true,
		rows: []*row{driven("Connect/size=64", "64 B", short, "connect", "-size=64")},
	}, {
		title: "Many callers on one connection",
		note:  "Time is that of all calls together, by their number. The floor is as many calls in one write, up to 32 KiB, and their answers in another.",
		units: timeUnits, rows: many(),
	}, {
		title: "How long calls of 64 B wait for their answers",
		note:  "By the number of callers on one connection. The floor's callers wait for the answers of all of them.",
		units: []string{unitP50, unitP99, unitP999}, overview: 3, rows: latencies(),
	}, {
		title: "How long small calls wait beside large answers",
		note:  "Calls of 64 B by 8 callers, and 67 answers of 3.9 MiB a second, or as many as leave no more than 16 under way, on one connection. Where calls come at a rate, as many come while a large answer is in the way as at any other time; callers who call one after the other hardly call then.",
		units: []string{unitP50, unitP99, unitP999}, overview: 3,
		rows: []*row{
			driven("Beside/callers=8/rate=2000", "2,000 calls a second", 2*long, "beside", "-size=64", "-callers=8", "-rate=2000"),
			driven("Beside/callers=8/rate=any", "one call after the other", long, "beside", "-size=64", "-callers=8", "-rate=0"),
		},
	}, {
		title: "Streams, for each message",
		note:  "Pipelined: the client sends, up to 32 messages ahead of what it gets back. Ping-pong: it waits for each. A message there and back counts once. The floor writes the same bytes 64 KiB at a time, pipelined 16 messages at a time, ping-pong each.",
		units: timeUnits, rows: streams(),
	}, {
		title: "Allocations of a call by one caller, or of a stream's message, both sides",
		note:  "The message that is received is one of them, its bytes another, on either side. The floor needs none.",
		units: []string{unitAllocs, unitBytes}, overview: 2, noFloor: true, rows: allocations(),
	}, {
		title: "System calls of a call, both sides",
		note:  "All that a program does, the Go runtime as well; perf counts them, where it may. The floor is as above.",
		units: []string{unitSystemCalls}, rows: systemCalls(),
	}, {
		title: "10,000 calls of 64 B a second, client and server in two processes",
		note:  "What both processes take of a CPU for a call; waking up from idleness is part of it.",
		units: []string{unitCPU, unitTime},
		rows:  []*row{driven("Rate/rate=10000", "10,000 calls/s", long, "rate", "-size=64", "-processes=2", "-rate=10000")},
	}, {
		title: "Memory of a connection, or of an open stream",
		note:  "Live heap and stacks of either process, and its anonymous resident memory, a while after the last call and after a garbage collection, by the number of connections. The floor's server is a goroutine blocked on a bare socket, its client a socket that nobody reads. Streams of drpc and of the floor have a connection each.",
		units: []string{unitServerMemory, unitClientMemory, unitServerRSS, unitClientRSS}, overview: 2, rows: memory(),
	}, {
		title: "The smallest programs",
		note:  "Stripped binaries of a server and a client with one unary method; resident memory after one call; how long it takes from starting both programs at once to the first answer. The floor has no protocol but imports net, protobuf and grpc/status.",
		units: []string{unitServerBinary, unitClientBinary, unitServerResident, unitClientResident, unitTime, unitCPU}, overview: 6,
		rows: []*row{{name: "Minimal", label: "all", measure: measureMinimal}},
	}, {
		title: "Channels of libchan, for each message",
		note:  "Messages of 64 B, one process. The stream is one of ttrpc in extended mode, with the same work for the codec; yamux is encoding/gob over streams of hashicorp's yamux. A message with a return channel is compared with a unary call, and with a message there and back on a stream of yamux. The floor is that of streams.",
		units: timeUnits, rows: channels(), sides: channelSides, baseline: streamName,
	}, {
		title: "Byte streams of libchan, for each 32 KiB",
		note:  "One process. The stream is one of ttrpc in extended mode with messages of that size, which nothing is encoded for.",
		units: timeUnits, rows: byteStreams(), sides: byteSides, baseline: oursExtendedName,
	}, {
		title: "Memory of open channels",
		note:  "Two processes, 1,000 of each: two channels that a message has gone over, one each way, and at the server a goroutine that waits for the next; or a stream of the others.",
		units: []string{unitServerMemory, unitClientMemory}, overview: 2, noFloor: true, rows: channelMemory(), sides: channelSides, baseline: streamName,
	}, {
		title: "Calls by gRPC's stubs, client and server in two processes",
		note:  "One service, whose code gRPC's generator made, over calls of ttrpc (grpcttrpc), over grpc-go, and over grpc-go in tunnels (brpc); and beside them calls of ttrpc by its own stubs. Connections of ttrpc are in extended mode.",
		units: []string{unitP50, unitTime, unitCPU, unitAllocs}, noFloor: true, rows: stubs("calls", usesOfCalls, "-latencies"), sides: stubSides, baseline: plainName,
	}, {
		title: "Streams of gRPC's stubs, client and server in two processes, for each message",
		units: timeUnits, noFloor: true, rows: stubs("streams", usesOfStreams), sides: stubSides, baseline: plainName,
	}, {
		title: "Calls over QUIC and over TCP with TLS",
		note:  "Two processes on one machine. Lost packets are those that arrive at a socket, at either end, and that the kernel drops by chance before TCP or QUIC sees them. One of TCP's holds up to 64 KiB here, of QUIC's less than 1.5 KB.",
		units: []string{unitP50, unitP99, unitTime, unitCPU}, noFloor: true, rows: networks("calls", callsOfNetworks, "-latencies"), sides: networkSides, baseline: plainTLSName,
	}, {
		title: "Streams over QUIC and over TCP with TLS, for each message",
		units: timeUnits, noFloor: true, rows: networks("streams", streamsOfNetworks), sides: networkSides, baseline: plainTLSName,
	}, {
		title: "Calls through a bridge",
		note:  "Client, bridge and server in a process each, unix sockets between them. Beside it a proxy of grpc-go that passes payloads on as they are. CPU time is that of all three.",
		units: []string{unitP50, unitTime, unitCPU}, noFloor: true, rows: hops("calls", usesOfCalls, "-latencies"), sides: hopSides, baseline: hopName,
	}, {
		title: "Streams through a bridge, for each message",
		units: timeUnits, noFloor: true, rows: hops("streams", usesOfStreams), sides: hopSides, baseline: hopName,
	}, {
		title: "Memory of a connection by gRPC's stubs",
		note:  "Two processes, unix sockets where nothing else is said. Clients of brpc serve calls, too, which the server's end is ready to make.",
		units: []string{unitServerMemory, unitClientMemory, unitServerRSS, unitClientRSS}, noFloor: true, rows: stubMemory(), sides: idleSides, baseline: plainName,
	},
}

// driven is a row that a side's driver measures.
func driven(name, label string, lasts time.Duration, args ...string) *row {
	return &row{name: name, label: label, lasts: lasts, measure: measureDriven, args: args}
}

func flagged(name string, value any) string { return fmt.Sprintf("-%s=%v", name, value) }

func unary(processes int, flags ...string) (rows []*row) {
	for _, size := range sizes {
		args := append([]string{"calls", flagged("size", size), flagged("processes", processes)}, flags...)
		rows = append(rows, driven(fmt.Sprintf("Unary/size=%d/processes=%d", size, processes), bytesLabel(size), short, args...))
	}
	return rows
}

// pairs are clients of either side with servers of either.
func pairs() (rows []*row) {
	for _, server := range []string{oursName, releasedName} {
		i := slices.IndexFunc(sides, func(s *side) bool { return s.name == server })
		r := driven("Pairs/server="+server, "server: "+sides[i].title, short, "calls", "-size=64", "-processes=2", "-latencies")
		r.measure = func(m *measuring, s *side, r *row) (metrics, error) {
			if s.name != oursName && s.name != releasedName {
				return nil, nil
			}
			with := *r
			with.args = append(slices.Clone(r.args), flagged("server", sides[i].program(m.programs, sides[i].driver)))
			return measureDriven(m, s, &with)
		}
		rows = append(rows, r)
	}
	return rows
}

func overOthers() (rows []*row) {
	for _, over := range []struct{ name, label string }{{"tls", "TLS"}, {"pipe", "in memory"}} {
		for _, what := range []struct {
			name, label string
			args        []string
		}{
			{"calls/size=64", "a call of 64 B", []string{"calls", "-size=64"}},
			{"calls/size=65536", "a call of 64 KiB", []string{"calls", "-size=65536"}},
			{"calls/size=64/callers=64", "64 callers, 64 B", []string{"calls", "-size=64", "-callers=64"}},
			{"streams/size=64/kind=download", "download, 64 B", []string{"streams", "-size=64", "-kind=download"}},
			{"streams/size=16384/kind=pipelined", "pipelined, 16 KiB", []string{"streams", "-size=16384", "-kind=pipelined"}},
		} {
			rows = append(rows, driven(fmt.Sprintf("Over/%s/%s", over.name, what.name), over.label+": "+what.label, short,
				append(what.args, flagged("over", over.name))...))
		}
	}
	return rows
}

func processors() (rows []*row) {
	for _, n := range []int{1, 2, 16, 64} {
		rows = append(rows, driven(fmt.Sprintf("Processors/n=%d", n), fmt.Sprintf("GOMAXPROCS=%d", n), short,
			"calls", "-size=64", "-callers=64", "-apart", flagged("processors", n)))
	}
	return rows
}

func many() (rows []*row) {
	for _, size := range []int{64, 1 << 10} {
		for _, callers := range []int{8, 64, 512, 1000, 4096, 10000} {
			rows = append(rows, driven(fmt.Sprintf("Callers/size=%d/callers=%d", size, callers),
				fmt.Sprintf("%s, %s", bytesLabel(size), callersLabel(callers)), lastsFor(callers),
				"calls", flagged("size", size), flagged("callers", callers)))
		}
	}
	return rows
}

// lastsFor gives many callers, whose calls take long, more time.
func lastsFor(callers int) time.Duration {
	if callers >= 1000 {
		return medium
	}
	return short
}

func latencies() (rows []*row) {
	for _, callers := range []int{1, 8, 64, 512, 1000, 4096, 10000} {
		rows = append(rows, driven(fmt.Sprintf("Latency/callers=%d", callers), callersLabel(callers),
			lastsFor(callers), "calls", "-size=64", flagged("callers", callers), "-latencies"))
	}
	return rows
}

func streams() (rows []*row) {
	for _, size := range []int{64, 16 << 10} {
		for _, kind := range []string{"upload", "download", "pipelined", "pingpong"} {
			rows = append(rows, driven(fmt.Sprintf("Stream/size=%d/kind=%s", size, kind),
				fmt.Sprintf("%s, %s", kind, bytesLabel(size)), short,
				"streams", flagged("kind", kind), flagged("size", size)))
		}
	}
	return rows
}

// allocations are of rows that are measured for their time.
func allocations() []*row { return slices.Concat(unary(1), streams()) }

func systemCalls() (rows []*row) {
	for _, callers := range []int{1, 64} {
		for _, processes := range []int{1, 2} {
			r := driven(fmt.Sprintf("SystemCalls/callers=%d/processes=%d", callers, processes), fmt.Sprintf("%s, processes: %d", callersLabel(callers), processes), short,
				"calls", "-size=64", flagged("processes", processes), flagged("callers", callers))
			r.measure, r.rounds = measureSystemCalls, 3
			rows = append(rows, r)
		}
	}
	return rows
}

func memory() (rows []*row) {
	for _, n := range []int{1000, 10000} {
		for _, what := range []struct {
			name, label string
			args        []string
		}{
			{"idle", "connected", []string{"-kind=idle"}},
			{"called-64", "after a call of 64 B", []string{"-kind=called", "-size=64"}},
			{"called-65536", "after a call of 64 KiB", []string{"-kind=called", "-size=65536"}},
			{"stream", "open stream", []string{"-kind=stream", "-size=64"}},
		} {
			args := slices.Concat([]string{"memory", "-processes=2", flagged("n", n)}, what.args)
			r := driven(fmt.Sprintf("Memory/kind=%s/n=%d", what.name, n), fmt.Sprintf("%s, %s", what.label, countLabel(n)), 0, args...)
			r.rounds = 1
			rows = append(rows, r)
		}
	}
	return rows
}

// bytesLabel tells a size in the units that fit.
func bytesLabel(n int) string {
	switch {
	case n >= 1<<20:
		return strconv.FormatFloat(float64(n)/(1<<20), 'g', 2, 64) + " MiB"
	case n >= 1<<10:
		return strconv.Itoa(n>>10) + " KiB"
	}
	return strconv.Itoa(n) + " B"
}

// countLabel tells a number with commas.
func countLabel(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

func callersLabel(n int) string {
	if n == 1 {
		return "1 caller"
	}
	return countLabel(n) + " callers"
}

// rows returns all rows once.
func rows() (all []*row) {
	seen := make(map[string]bool)
	for _, g := range groups {
		for _, r := range g.rows {
			if !seen[r.name] {
				seen[r.name], r.sides = true, g.all()
				all = append(all, r)
			}
		}
	}
	return all
}
