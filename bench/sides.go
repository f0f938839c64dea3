// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"image/color"
	"os"
	"os/exec"
	"path"
	"path/filepath"
)

// A side is one of those that are measured side by side: programs in a module below
// this directory.
type side struct {
	name   string // in results
	title  string // in tables and plots
	module string
	flags  []string // for building

	driver         string // package that measures itself, "" if there is none
	server, client string // packages of minimal programs

	like string   // the side whose programs these are, if it is another
	args []string // of the driver, always

	color color.RGBA
}

// The sides that others are compared with.
const (
	oursName         = "ours"
	oursVTName       = "ours-vt"
	oursExtendedName = "ours-extended"
	releasedName     = "v1.2.10"
	floorName        = "floor"

	// What the smallest programs are compared with.
	floorStatusName = "floor-status"
)

const (
	ttrpcServer, ttrpcClient = "./minimal/server", "./minimal/client"
	floorServer, floorClient = "./minimal/floor/server", "./minimal/floor/client"
)

// sides are in the order of the tables. The tag vt has messages with vtprotobuf's methods,
// and the options that use them. Releases know nothing of those methods: with them,
// v1.2.10 allocates as often as without.
var sides = []*side{
	{
		name: oursName, title: "this", color: color.RGBA{0xd6, 0x27, 0x28, 0xff},
		module: "ttrpc", driver: ".", server: ttrpcServer, client: ttrpcClient,
	}, {
		name: oursVTName, title: "this, vtprotobuf", color: color.RGBA{0xff, 0x7f, 0x0e, 0xff},
		module: "ttrpc", driver: ".", server: ttrpcServer, client: ttrpcClient, flags: []string{"-tags=vt"},
	}, {
		name: oursExtendedName, title: "this, extended", color: color.RGBA{0xbc, 0xbd, 0x22, 0xff},
		module: "ttrpc", driver: ".", flags: []string{"-tags=extended"},
	}, {
		name: releasedName, title: "v1.2.10", color: color.RGBA{0x1f, 0x77, 0xb4, 0xff},
		module: "ttrpc", driver: ".", server: ttrpcServer, client: ttrpcClient, flags: []string{"-modfile=released/v1.2.10.mod"},
	}, {
		name: "v1.1.0", title: "v1.1.0", color: color.RGBA{0x9e, 0xc5, 0xe8, 0xff},
		module: "ttrpc", driver: ".", server: ttrpcServer, client: ttrpcClient,
		flags: []string{"-modfile=released/v1.1.0.mod", "-mod=mod", "-tags=gogo"},
	},
	rival("grpc", "grpc-go", color.RGBA{0x2c, 0xa0, 0x2c, 0xff}),
	rival("drpc", "drpc", color.RGBA{0x94, 0x67, 0xbd, 0xff}),
	rival("netrpc", "net/rpc", color.RGBA{0x8c, 0x56, 0x4b, 0xff}),
	rival("connect", "connect-go, h2c", color.RGBA{0xe3, 0x77, 0xc2, 0xff}),
	{
		name: floorName, title: "floor", color: color.RGBA{0x80, 0x80, 0x80, 0xff},
		module: ".", driver: "./floor",
	}, {
		name: "floor-net", title: "net and protobuf", color: color.RGBA{0xb0, 0xb0, 0xb0, 0xff},
		module: "ttrpc", server: floorServer, client: floorClient,
	}, {
		name: floorStatusName, title: "net, protobuf, grpc/status", color: color.RGBA{0x60, 0x60, 0x60, 0xff},
		module: "ttrpc", server: floorServer, client: floorClient, flags: []string{"-tags=status"},
	},
}

func rival(name, title string, c color.RGBA) *side {
	minimal := "./rivals/minimal/" + name
	return &side{
		name: name, title: title, color: c,
		module: ".", driver: "./rivals/" + name, server: minimal + "/server", client: minimal + "/client",
	}
}

// under returns a side that is measured with other arguments of its driver.
func (s *side) under(name, title string, c color.RGBA, args ...string) *side {
	other := *s
	other.name, other.title, other.color, other.like, other.args = name, title, c, s.programs(), args
	return &other
}

// programs names the directory of a side's programs.
func (s *side) programs() string { return cmp.Or(s.like, s.name) }

// build builds the programs of a side into a directory of their own below dir.
func (s *side) build(ctx context.Context, dir string) error {
	args := []string{"build", "-C", s.module, "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, s.programs()) + "/"}
	args = append(args, s.flags...)
	for _, pkg := range []string{s.driver, s.server, s.client} {
		if pkg != "" {
			args = append(args, pkg)
		}
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", s.name, err, out)
	}
	return nil
}

// program returns where the program is that was built of a package.
func (s *side) program(dir, pkg string) string {
	return filepath.Join(dir, s.programs(), path.Base(path.Join(s.module, pkg)))
}
