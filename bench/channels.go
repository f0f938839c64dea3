// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"image/color"
	"slices"
)

const streamName = "stream"

// channelSides and byteSides are what is measured of package libchan, and beside it.
var (
	channelSides = []*side{
		channelSide("libchan", "libchan", color.RGBA{0xd6, 0x27, 0x28, 0xff}),
		channelSide(streamName, "ttrpc stream", color.RGBA{0xbc, 0xbd, 0x22, 0xff}),
		channelSide("yamux", "gob over yamux", color.RGBA{0x17, 0xbe, 0xcf, 0xff}),
		sideNamed("netrpc"), sideNamed(floorName),
	}
	byteSides = []*side{
		channelSide("bytes", "libchan", color.RGBA{0xd6, 0x27, 0x28, 0xff}),
		sideNamed(oursExtendedName),
		channelSide("yamuxbytes", "yamux", color.RGBA{0x17, 0xbe, 0xcf, 0xff}),
		sideNamed(floorName),
	}
)

func channelSide(name, title string, c color.RGBA) *side {
	return &side{name: name, title: title, color: c, module: "channels", driver: "./" + name}
}

func sideNamed(name string) *side {
	return sides[slices.IndexFunc(sides, func(s *side) bool { return s.name == name })]
}

func channels() []*row {
	return []*row{
		driven("Channel/kind=oneway", "one way", short, "streams", "-kind=upload", "-size=64"),
		driven("Channel/kind=roundtrip", "there and back", short, "streams", "-kind=pingpong", "-size=64"),
		driven("Channel/kind=return", "with a return channel", short, "calls", "-size=64"),
	}
}

func byteStreams() (rows []*row) {
	for _, kind := range []string{"upload", "download", "pipelined", "pingpong"} {
		rows = append(rows, driven(fmt.Sprintf("Bytes/kind=%s", kind), kind, short, "streams", flagged("kind", kind), "-size=32768"))
	}
	return rows
}

func channelMemory() []*row {
	r := driven("Memory/kind=channel/n=1000", "open, used once", 0, "memory", "-processes=2", "-n=1000", "-kind=stream", "-size=64")
	r.rounds = 1
	return []*row{r}
}
