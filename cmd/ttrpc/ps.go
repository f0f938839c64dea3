// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/address"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/probe"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/sockets"
)

// A ps is what the flags of ttrpc ps say.
type ps struct {
	env      *cli.Env
	states   []string
	all      bool
	json     bool
	patience time.Duration
}

func newPsCommand(e *cli.Env) *cobra.Command {
	p := &ps{env: e}
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "List what listens: shims, containerd, and what else there is",
		Long: `List what listens: the shims of containerd's containers, containerd's own ttrpc socket, and NRI's.
Each is asked whether it answers, as "ttrpc ping" asks; but not NRI, which takes who connects for a
plugin. With --all other unix sockets that listen are listed, too, and not asked.

Shims are found in the state directories of containerd, k3s and docker, those of --state, or of
$` + address.StateVariable + `, a list as PATH is one.`,
		Example: `  ttrpc ps
  ttrpc ps --state /run/k3s/containerd --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.run(cmd.Context()) },
	}
	cmd.Flags().StringArrayVar(&p.states, "state", nil, "a containerd's state directory, instead of the usual ones; may be repeated")
	cmd.Flags().BoolVarP(&p.all, "all", "a", false, "list all other unix sockets that listen, too, on Linux")
	cmd.Flags().BoolVar(&p.json, "json", false, "print a line of JSON for each")
	cli.Duration(cmd.Flags(), &p.patience, "timeout", "", 2*time.Second, "how long to wait for each answer")
	cmd.MarkFlagDirname("state")
	return cmd
}

// A listener is a line of the list.
type listener struct {
	Namespace string `json:"namespace,omitempty"`
	ID        string `json:"id,omitempty"` // of a shim, or whose socket it is
	Address   string `json:"address,omitempty"`
	PID       int    `json:"pid,omitempty"`
	Asked     bool   `json:"asked"`
	Answers   bool   `json:"answers"`
	Kind      string `json:"kind,omitempty"`  // what it seems to be
	Error     string `json:"error,omitempty"` // why it does not answer

	at *address.Address // nil if it is not known
}

func (p *ps) run(ctx context.Context) error {
	states := address.States()
	if len(p.states) > 0 {
		states = address.StatesAt(p.states)
	}
	list, unread := find(states)
	for _, dir := range p.states {
		if _, err := os.Stat(dir); err != nil {
			unread = append(unread, err)
		}
	}
	if len(p.states) == 0 {
		if nri, err := address.Parse("nri:"); err == nil && exists(nri.Path) {
			list = append(list, &listener{ID: "nri", at: nri})
		}
	}
	p.ask(ctx, list)
	if err := ctx.Err(); err != nil {
		return cli.CallExit(err)
	}
	if err := p.print(p.complete(list), states); err != nil {
		return err
	}
	if len(unread) > 0 {
		exit := cli.Input("", "%w", errors.Join(unread...))
		if errors.Is(exit, fs.ErrPermission) {
			exit.Hint = "Shims of other users are seen by root."
		}
		return exit
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// find lists the shims and sockets of states, and why directories could not be read. One that
// two states have is listed once.
func find(states []address.State) (list []*listener, unread []error) {
	var seen []os.FileInfo
	for _, state := range states {
		info, err := os.Stat(state.Dir)
		if err != nil || slices.ContainsFunc(seen, func(other os.FileInfo) bool { return os.SameFile(info, other) }) {
			continue
		}
		seen = append(seen, info)
		if path := state.Socket + ".ttrpc"; exists(path) {
			if a, err := address.Parse("containerd:" + path); err == nil {
				list = append(list, &listener{ID: "containerd", at: a})
			}
		}
		shims, err := state.Shims()
		if err != nil {
			unread = append(unread, err)
		}
		for _, s := range shims {
			l := &listener{Namespace: s.Namespace, ID: s.ID}
			if l.at, err = s.Address(); err != nil {
				l.Error = err.Error()
			}
			list = append(list, l)
		}
	}
	slices.SortStableFunc(list, func(a, b *listener) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.ID, b.ID))
	})
	return list, unread
}

// askedAtOnce is how many are asked at the same time.
const askedAtOnce = 16

// ask asks each whether it answers.
func (p *ps) ask(ctx context.Context, list []*listener) {
	progress := p.env.Progress("asked", int64(len(list)))
	defer progress.Done()
	var all sync.WaitGroup
	places := make(chan struct{}, askedAtOnce)
	for _, l := range list {
		if l.at == nil || l.at.NRI {
			continue
		}
		places <- struct{}{}
		all.Go(func() {
			l.ask(ctx, p.patience)
			progress.Add(1)
			<-places
		})
	}
	all.Wait()
}

func (l *listener) ask(ctx context.Context, patience time.Duration) {
	pr := &probe.Probe{Dial: l.at.Dial, Count: 1, Patience: patience}
	ctx, cancel := context.WithTimeout(ctx, 2*patience) // for the connection, too
	defer cancel()
	peer, err := pr.Run(ctx)
	l.Asked = true
	switch {
	case err == nil:
		l.Answers, l.Kind = true, describePeer(peer)
	case errors.Is(err, context.DeadlineExceeded):
		l.Error = "takes connections and does not answer"
	case errors.Is(err, ttrpc.ErrClosed):
		l.Error = "closes connections"
	default:
		l.Error = err.Error()
	}
}

// complete adds addresses and processes, and with --all the sockets that are not in the list.
func (p *ps) complete(list []*listener) []*listener {
	if len(list) == 0 && !p.all {
		return nil
	}
	owners := sockets.FindOwners()
	byAddress := make(map[string]*listener)
	for _, s := range sockets.Listening() {
		address := owners.Reachable(s)
		byAddress[address] = &listener{Address: address, PID: owners.PID(s)}
	}
	for _, l := range list {
		if l.at == nil {
			continue
		}
		l.Address = l.at.Target()
		if s := byAddress[l.Address]; s != nil {
			l.PID = s.PID
		}
	}
	if !p.all {
		return list
	}
	for _, l := range list {
		delete(byAddress, l.Address)
	}
	for _, a := range slices.Sorted(maps.Keys(byAddress)) {
		list = append(list, byAddress[a])
	}
	return list
}

func (p *ps) print(list []*listener, states []address.State) error {
	if p.json {
		for _, l := range list {
			if err := json.NewEncoder(p.env.Stdout).Encode(l); err != nil {
				return err
			}
		}
		return nil
	}
	if len(list) == 0 {
		var dirs []string
		for _, s := range states {
			dirs = append(dirs, s.Dir)
		}
		fmt.Fprintf(p.env.Stderr, "Nothing was found in %s.\n\"ttrpc ps --all\" lists other sockets.\n", strings.Join(dirs, ", "))
		return nil
	}
	w := tabwriter.NewWriter(p.env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAMESPACE\tID\tPID\tADDRESS\tANSWERS")
	for _, l := range list {
		pid := "-"
		if l.PID != 0 {
			pid = fmt.Sprint(l.PID)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", cmp.Or(l.Namespace, "-"), cmp.Or(l.ID, "-"), pid, cmp.Or(l.Address, "-"), l.answers())
	}
	return w.Flush()
}

// answers says in a line whether it answers.
func (l *listener) answers() string {
	switch {
	case l.Answers:
		return "yes: " + l.Kind
	case l.Error != "":
		line, _, _ := strings.Cut(l.Error, "\n") // JSON has the places that were looked at
		return "no: " + strings.TrimSuffix(line, "; looked at")
	}
	return "not asked"
}
