// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command ttrpc-bridge passes calls between gRPC and ttrpc without knowing the services.
//
//	ttrpc-bridge grpc  -listen tcp:127.0.0.1:8080 -to unix:/run/service.sock
//	ttrpc-bridge ttrpc -listen unix:/run/service.sock -to dns:///backends:8080
//
// The first is a gRPC server in front of a ttrpc socket, for grpcurl and programs in any
// language; the second a ttrpc socket in front of whatever a gRPC target names. "ttrpc-bridge
// grpc -help" and "ttrpc-bridge ttrpc -help" list what there is to set.
//
// It ends with 0 after SIGTERM or SIGINT if all calls could end, with 1 if it failed or calls
// were cut off, with 2 if it was called in a wrong way.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	_ "google.golang.org/grpc/xds" // as xds targets are what fleets have
)

const usage = `ttrpc-bridge passes calls between gRPC and ttrpc without knowing the services.

  ttrpc-bridge grpc  -listen ADDRESS -to ADDRESS [flags]   a gRPC server in front of a ttrpc socket
  ttrpc-bridge ttrpc -listen ADDRESS -to TARGET [flags]    a ttrpc server in front of gRPC

Examples:
  ttrpc-bridge grpc -listen tcp:127.0.0.1:8080 -to unix:/run/service.sock
  ttrpc-bridge ttrpc -listen unix:/run/service.sock -to dns:///backends.example:8080

"ttrpc-bridge grpc -help" and "ttrpc-bridge ttrpc -help" tell the flags, "ttrpc-bridge version"
what it was built from.
`

// The codes that the program ends with.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// version tells what the program was built from, as far as Go has noted it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "ttrpc-bridge, of unknown version"
	}
	text := "ttrpc-bridge " + info.Main.Version + ", " + info.GoVersion
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision", "vcs.time":
			text += ", " + s.Value
		case "vcs.modified":
			if s.Value == "true" {
				text += ", modified"
			}
		}
	}
	return text
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the program with its arguments.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	var open func(context.Context, *settings) (front, error)
	switch args[0] {
	case "grpc":
		open = openGRPC
	case "ttrpc":
		open = openTTRPC
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, usage)
		return exitOK
	case "version", "-version", "--version":
		fmt.Fprintln(stdout, version())
		return exitOK
	default:
		fmt.Fprintf(stderr, "ttrpc-bridge: there is no command %q, only grpc and ttrpc: \"ttrpc-bridge help\" tells about them\n", args[0])
		return exitUsage
	}
	s, err := parse(args[0], args[1:], stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "ttrpc-bridge %s: %v\n\"ttrpc-bridge %s -help\" tells the flags\n", args[0], err, args[0])
		return exitUsage
	}
	s.log = slog.New(slog.NewTextHandler(stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := serve(ctx, s, open, stdout); err != nil {
		fmt.Fprintf(stderr, "ttrpc-bridge %s: %v\n", args[0], err)
		return exitFailed
	}
	return exitOK
}
