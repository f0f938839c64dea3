// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/target"
)

// completionPatience is how long a person waits for a completion.
const completionPatience = 2 * time.Second

// completeSymbol completes an address, and then a service, with its methods if they are wanted.
func completeSymbol(t *target.Flags, f *schema.Flags, methods bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return completeAddress(cmd, args, word)
		}
		if len(args) > 1 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
		defer cancel()
		asked, err := openSchema(ctx, t, f, args[0])
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer asked.close()
		return symbolsFor(asked, word, methods)
	}
}

func symbolsFor(a *asked, word string, methods bool) (found []string, _ cobra.ShellCompDirective) {
	if service, _, ok := strings.Cut(word, "/"); ok && methods {
		return methodsOf(a.ctx, a.schema, service), cobra.ShellCompDirectiveNoFileComp
	}
	names, _, _ := serviceNames(a)
	for _, name := range names {
		if strings.HasPrefix(name, word) {
			found = append(found, name)
		}
	}
	switch {
	case !methods:
		return found, cobra.ShellCompDirectiveNoFileComp
	case len(found) == 1:
		return methodsOf(a.ctx, a.schema, found[0]), cobra.ShellCompDirectiveNoFileComp
	}
	for i := range found {
		found[i] += "/"
	}
	return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// methodsOf returns the methods of a service as call takes them.
func methodsOf(ctx context.Context, s *schema.Schema, service string) (names []string) {
	d, err := s.Find(ctx, service)
	if err != nil {
		return nil
	}
	if described, ok := d.(protoreflect.ServiceDescriptor); ok {
		for i := range described.Methods().Len() {
			names = append(names, service+"/"+string(described.Methods().Get(i).Name()))
		}
	}
	return names
}
