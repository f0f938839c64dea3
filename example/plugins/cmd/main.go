// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command cmd shows a plugin host: plugins dial in, register, are called on the
// connections that they made, call back meanwhile, and register again with a host that was
// restarted. Without arguments it runs all of them, as processes of their own; with
// arguments it runs one.
//
// The host is in host.go, the plugin in plugin.go, and what runs them all in demo.go.
// docs/plugins.md builds them up step by step.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/plugins"
)

const usage = `usage:
  cmd                    run a host and two plugins, and restart the host meanwhile
  cmd host ADDR          serve plugins on the unix socket ADDR until interrupted
  cmd plugin ADDR NAME   be a plugin of the host at ADDR until interrupted
  cmd create ADDR NAME   have the host at ADDR create a container
`

// drainLimit is how long calls that have begun may take once a process is to end.
const drainLimit = 10 * time.Second

// errUsage says that the arguments make no sense.
var errUsage = errors.New("wrong arguments")

func main() {
	// One Ctrl-C ends things in order, a second one at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	switch err := run(ctx, os.Args[1:]); {
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	mode := "demo"
	if len(args) > 0 {
		mode = args[0]
	}
	switch {
	case len(args) == 0:
		return demo(ctx, newLog(mode))
	case mode == "host" && len(args) == 2:
		return runHost(ctx, args[1], newLog(mode))
	case mode == "plugin" && len(args) == 3:
		return runPlugin(ctx, args[1], args[2], newLog(args[2]))
	case mode == "create" && len(args) == 3:
		return create(ctx, args[1], args[2], newLog(mode))
	}
	return errUsage
}

func newLog(who string) *log.Logger { return log.New(os.Stdout, who+": ", 0) }

// create has the host create a container. It is a client of the usual kind, and waits for
// a host that is not there yet.
func create(ctx context.Context, address, name string, log *log.Logger) error {
	client, err := ttrpc.Dial("unix:" + address)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	c, err := plugins.NewHostClient(client).Create(ctx, &plugins.Container{Name: name})
	if err != nil {
		return err
	}
	log.Printf("%s has [%s]", c.Name, strings.Join(c.Env, " "))
	return nil
}
