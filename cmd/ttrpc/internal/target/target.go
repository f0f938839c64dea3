// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package target is the flags by which commands reach a server and make calls.
package target

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/address"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
)

// namespaceKey is the metadata that containerd's services take their namespace from.
const namespaceKey = "containerd-namespace-ttrpc"

// Flags are those flags.
type Flags struct {
	Timeout        time.Duration // travels with each call
	ConnectTimeout time.Duration
	Headers        []string // "key: value" or "key=value"
	Expand         bool     // ${NAME} in Headers is the environment's
	Namespace      string   // containerd's; Dial sets it if a shim's address tells it
	Extended       bool     // asks for the extended mode
	Verbose        int      // how often -v was given

	cmd *cobra.Command // for its standard error
}

// Register adds the flags to a command.
func (f *Flags) Register(cmd *cobra.Command) {
	f.cmd = cmd
	f.RegisterConnect(cmd)
	flags := cmd.Flags()
	cli.Duration(flags, &f.Timeout, "timeout", "", 0, "deadline of each call, which travels with it; 0 is none")
	flags.StringArrayVarP(&f.Headers, "header", "H", nil, "metadata of each call, as 'key: value' or key=value; may be repeated")
	flags.BoolVar(&f.Expand, "expand", false, "replace ${NAME} in metadata by the environment's NAME")
	flags.StringVarP(&f.Namespace, "namespace", "n", "", "containerd's namespace, which travels as "+namespaceKey+"; that of a shim: address is known")
	flags.CountVarP(&f.Verbose, "verbose", "v", "tell more on standard error: -v of connections and metadata, -vv of each frame, -vvv with its bytes")
	cmd.RegisterFlagCompletionFunc("namespace", completeNamespace)
	flags.BoolVar(&f.Extended, "ext", false, "ask for the extended mode, and say whether the server has agreed")
}

// completeNamespace completes containerd's namespaces that have shims.
func completeNamespace(*cobra.Command, []string, string) (names []string, _ cobra.ShellCompDirective) {
	for _, state := range address.States() {
		shims, _ := state.Shims()
		for _, s := range shims {
			names = append(names, s.Namespace)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}

// RegisterConnect adds only those flags that say how to connect.
func (f *Flags) RegisterConnect(cmd *cobra.Command) {
	cli.Duration(cmd.Flags(), &f.ConnectTimeout, "connect-timeout", "", 10*time.Second, "how long to try to connect")
}

// Unused returns an error of type [*cli.Exit] if one of the flags was given, which does not apply for
// the reason that why tells.
func (f *Flags) Unused(why string) error {
	var given []string
	for _, name := range []string{"connect-timeout", "timeout", "header", "expand", "namespace", "verbose", "ext"} {
		if f.cmd.Flags().Changed(name) {
			given = append(given, "--"+name)
		}
	}
	if len(given) == 0 {
		return nil
	}
	return cli.Usage("", "%s: %s", strings.Join(given, ", "), why)
}

// Dial connects to an address. The options are in addition to those of the flags. Errors are
// of type [*cli.Exit]. Errors of calls are statuses, for [cli.CallExit].
func (f *Flags) Dial(ctx context.Context, text string, opts ...ttrpc.ClientOpts) (*ttrpc.Client, error) {
	a, err := Parse(text)
	if err != nil {
		return nil, err
	}
	if f.Namespace == "" {
		f.Namespace = a.Namespace
	}
	conn, err := f.Dialer(a)(ctx)
	if err != nil {
		return nil, ConnectExit(a, err)
	}
	w := f.watcher()
	w.connected(a, conn)
	w.client = ttrpc.NewClient(conn, append(append([]ttrpc.ClientOpts{ttrpc.WithStatusErrors()}, w.options()...), opts...)...)
	return w.client, nil
}

// Parse understands an address. Errors are of type [*cli.Exit].
func Parse(text string) (*address.Address, error) {
	a, err := address.Parse(text)
	if none := new(address.NotFound); errors.As(err, &none) {
		return nil, &cli.Exit{Code: cli.ExitConnect, Err: err, Hint: `"ttrpc ps" lists the shims that there are; root sees those of all users.`}
	}
	if err != nil {
		return nil, cli.Usage(`"ttrpc help ping" lists the forms of addresses.`, "%w", err)
	}
	return a, nil
}

// ConnectExit is the error of an address that could not be dialled or listened on.
func ConnectExit(a *address.Address, err error) *cli.Exit {
	return &cli.Exit{Code: cli.ExitConnect, Err: err, Hint: a.Hint(err)}
}

// Dialer returns a function that dials an address, for as long as --connect-timeout says.
func (f *Flags) Dialer(a *address.Address) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		if f.ConnectTimeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, f.ConnectTimeout)
			defer cancel()
		}
		return a.Dial(ctx)
	}
}

// Context returns the context of one call, with metadata and deadline. The function is to be
// called once, at the call's end: it tells of the answer's metadata, too, if that is asked for. Errors are of type
// [*cli.Exit].
func (f *Flags) Context(ctx context.Context) (context.Context, context.CancelFunc, error) {
	md, err := f.metadata()
	if err != nil {
		return nil, nil, err
	}
	if len(md) > 0 {
		ctx = ttrpc.WithMetadata(ctx, md)
	}
	w := f.watcher()
	w.metadata("sent", md)
	ctx, answered := w.answer(ctx)
	var cancel context.CancelFunc
	if f.Timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, f.Timeout)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	return ctx, func() { cancel(); answered() }, nil
}

// metadata returns what the flags say of it.
func (f *Flags) metadata() (ttrpc.MD, error) {
	if f.Expand && len(f.Headers) == 0 {
		return nil, cli.Usage("", "--expand is for --header, which is not given")
	}
	md := ttrpc.MD{}
	for _, header := range f.Headers {
		key, value, err := f.header(header)
		if err != nil {
			return nil, err
		}
		md.Append(key, value)
	}
	if f.Namespace != "" {
		md.Set(namespaceKey, f.Namespace)
	}
	return md, nil
}

// header understands 'key: value' and key=value.
func (f *Flags) header(text string) (key, value string, err error) {
	i := strings.IndexAny(text, ":=")
	if i <= 0 {
		return "", "", cli.Usage("", "the metadata %q is neither 'key: value' nor key=value", text)
	}
	key, value = strings.TrimSpace(text[:i]), text[i+1:]
	if text[i] == ':' {
		value = strings.TrimSpace(value)
	}
	if f.Expand {
		value, err = expand(value)
	}
	return key, value, err
}

// expand replaces ${NAME} by what the environment has. A dollar without braces stays.
func expand(text string) (string, error) {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(text, "${")
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		name, rest, ok := strings.Cut(after, "}")
		value, set := os.LookupEnv(name)
		switch {
		case !ok:
			return "", cli.Usage("", "in %q a brace is not closed", text)
		case !set:
			return "", cli.Usage("", "the environment has no %s", name)
		}
		b.WriteString(value)
		text = rest
	}
}
