// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cli is what all commands share: their streams, how they end, and what they print
// on a terminal only.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// An Env is what a command has of the world outside.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string

	// Whether a person looks: progress and colours are for them alone.
	StdinTerminal, StdoutTerminal, StderrTerminal bool

	// JSONErrors has errors printed as google.rpc.Status in JSON: --format-error json.
	JSONErrors bool
}

// System returns that of this process.
func System() *Env {
	return &Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv,
		StdinTerminal:  term.IsTerminal(int(os.Stdin.Fd())),
		StdoutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		StderrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
	}
}

// Colour tells whether standard output may have colours.
func (e *Env) Colour() bool { return e.StdoutTerminal && e.plain() }

// plain tells whether neither NO_COLOR nor the kind of terminal forbids what is more than text.
func (e *Env) plain() bool { return e.Getenv("NO_COLOR") == "" && e.Getenv("TERM") != "dumb" }

// The colours that Paint knows, as the numbers that terminals have for them.
const (
	Red    = 31
	Green  = 32
	Yellow = 33
	Cyan   = 36
	Faint  = 2
)

// Paint returns text in a colour for standard output, or as it is if there are none.
func (e *Env) Paint(colour int, text string) string {
	if !e.Colour() {
		return text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", colour, text)
}

// version is stamped by make dist.
var version string

// Version tells which version of the command this is.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return buildVersion(info)
}

// VersionLine tells it with all that matters for a report of a fault.
func VersionLine() string {
	return fmt.Sprintf("ttrpc %s %s %s/%s", Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// buildVersion makes a version of what the go command notes: the module's version, or the
// commit and whether files were changed.
func buildVersion(info *debug.BuildInfo) string {
	v, commit, changed := info.Main.Version, "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+changed"
		}
	}
	switch {
	case v != "" && v != "(devel)":
		return v
	case commit != "":
		return "devel-" + commit + changed
	}
	return "devel"
}

// Run runs the program with its arguments, and returns the code to end with.
//
// The first interrupt ends the context of the command, and the second one the process.
func Run(e *Env, newRoot func(*Env) *cobra.Command, args []string) int {
	ctx, stop := interruptible()
	defer stop()
	out := &output{Writer: e.Stdout}
	e.Stdout = out
	root := newRoot(e)
	root.SetArgs(args)
	root.SetIn(e.Stdin)
	root.SetOut(e.Stdout) // which completion notes in Prepare
	root.SetErr(e.Stderr)
	Prepare(root)
	e.JSONErrors = wantsJSON(args)
	cmd, err := root.ExecuteContextC(ctx)
	return e.end(cmd, out.end(err))
}

// interruptible returns a context that ends with the first interrupt. Once it has ended, the next
// one ends the process.
func interruptible() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
		}
		signal.Stop(signals)
		cancel()
	}()
	return ctx, cancel
}

// formatError is the flag that says how errors are printed.
const formatError = "format-error"

// Prepare gives the command and those below it what all have in common. Run does that.
func Prepare(root *cobra.Command) {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.Version = Version()
	root.SetVersionTemplate(VersionLine() + "\n")
	root.SetHelpTemplate(helpTemplate)
	root.SetUsageTemplate(usageTemplate)
	root.PersistentFlags().VarP(new(errorFormat), formatError, "", "how errors are printed: text, or json, which is google.rpc.Status")
	root.RegisterFlagCompletionFunc(formatError, cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, sub := range root.Commands() {
		tellArguments(sub)
		switch sub.Name() {
		case "help":
			prepareHelp(sub)
		case "completion":
			prepareCompletion(sub)
		}
	}
}

func prepareCompletion(cmd *cobra.Command) {
	cmd.Example = "  source <(ttrpc completion bash)"
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("there is no completion for %q", args[0])
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	for _, shell := range cmd.Commands() {
		shell.Example = map[string]string{
			"bash":       "  source <(ttrpc completion bash)\n  ttrpc completion bash > /etc/bash_completion.d/ttrpc",
			"zsh":        "  source <(ttrpc completion zsh)\n  ttrpc completion zsh > \"${fpath[1]}/_ttrpc\"",
			"fish":       "  ttrpc completion fish | source\n  ttrpc completion fish > ~/.config/fish/completions/ttrpc.fish",
			"powershell": "  ttrpc completion powershell | Out-String | Invoke-Expression",
		}[shell.Name()]
	}
}

// An errorFormat is the value of --format-error.
type errorFormat string

func (f *errorFormat) String() string { return "text" }
func (f *errorFormat) Type() string   { return "text|json" }
func (f *errorFormat) Set(s string) error {
	if s != "text" && s != "json" {
		return fmt.Errorf("it is text or json")
	}
	*f = errorFormat(s)
	return nil
}

// wantsJSON finds --format-error json in arguments that may be wrong otherwise, which is an
// error to be printed so.
func wantsJSON(args []string) bool {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {}
	flags.BoolP("help", "h", false, "")
	format := flags.String(formatError, "text", "")
	flags.Parse(args)
	return *format == "json"
}
