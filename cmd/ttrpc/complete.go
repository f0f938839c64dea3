// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/address"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/sockets"
)

// completeAddress completes the first argument, an address: of shims, of containerd, and, once it
// begins like one, of a socket that listens. No server is asked.
func completeAddress(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if strings.HasPrefix(word, "/") || strings.HasPrefix(word, ".") {
		return startingWith(word, listeningPaths("")), cobra.ShellCompDirectiveDefault // or files
	}
	if found := startingWith(word, append(knownAddresses(word), listeningPaths("unix:")...)); len(found) > 0 && word != "" {
		return found, cobra.ShellCompDirectiveNoFileComp
	}
	if strings.Contains(word, "/") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	// Schemes come last, for the shell must not end the word after them.
	found := startingWith(word, knownAddresses(word))
	schemes := startingWith(word, []string{"unix:", "tcp:", "vsock:", "hvsock:", "shim:", "containerd:", "nri:", "fd:", "npipe:"})
	return append(found, schemes...), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

func startingWith(word string, all []string) []string {
	return slices.DeleteFunc(all, func(s string) bool { return !strings.HasPrefix(s, word) })
}

// knownAddresses are those of shims, and abstract sockets if the word begins like one.
func knownAddresses(word string) (all []string) {
	for _, state := range address.States() {
		shims, _ := state.Shims()
		for _, s := range shims {
			all = append(all, "shim:"+s.Namespace+"/"+s.ID)
		}
	}
	if strings.HasPrefix(word, "@") {
		for _, s := range sockets.Listening() {
			all = append(all, s.Path)
		}
	}
	slices.Sort(all)
	return slices.Compact(all) // /run and /var/run are often one
}

// listeningPaths are those of sockets that listen, with something before them.
func listeningPaths(before string) (all []string) {
	for _, s := range sockets.Listening() {
		if !strings.HasPrefix(s.Path, "@") {
			all = append(all, before+s.Path)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
