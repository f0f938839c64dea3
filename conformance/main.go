// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command conformance tells whether an implementation of ttrpc keeps to PROTOCOL.md. It drives a
// server by its address, or a client by lines of JSON:
//
//	conformance --server unix:/run/mine.sock
//	conformance --start "./my-server"
//	conformance --client "./my-client"
//
// docs/conformance.md says what the program under test has to do.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/containerd/ttrpc/conformance/internal/report"
	"github.com/containerd/ttrpc/conformance/internal/runner"
	"github.com/containerd/ttrpc/conformance/internal/vector"
)

func main() {
	failed, err := run(os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(2)
	case failed:
		os.Exit(1)
	}
}

// flags are what the command was told.
type flags struct {
	runner.Runner
	name, levels, pattern, known string
	tap, junit, markdown         string
	list, vectors                bool
}

func parse(args []string, stderr io.Writer) (*flags, error) {
	var f flags
	set := flag.NewFlagSet("conformance", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.Usage = func() {
		fmt.Fprint(stderr, usage)
		set.PrintDefaults()
	}
	set.StringVar(&f.Address, "server", "", "drive the server at this `ADDRESS`: unix:PATH, tcp://HOST:PORT, vsock://CID:PORT")
	set.StringVar(&f.Start, "start", "", "drive servers that this `COMMAND` starts; it prints its address as the first line, and ends with its standard input")
	set.StringVar(&f.Client, "client", "", "drive a client that this `COMMAND` starts, by lines of JSON")
	set.StringVar(&f.levels, "level", "", "play these levels only, separated by commas: "+strings.Join(vector.Levels, ", "))
	set.StringVar(&f.pattern, "run", "", "play the cases only whose names this `REGEXP` fits")
	set.StringVar(&f.known, "known", "", "a `FILE` of cases that are known to fail; it is a failure if one does not")
	set.StringVar(&f.name, "name", "peer", "what the peer is called in reports")
	set.StringVar(&f.tap, "tap", "", "write TAP to this `FILE`, - for standard output")
	set.StringVar(&f.junit, "junit", "", "write JUnit's XML to this `FILE`, - for standard output")
	set.StringVar(&f.markdown, "markdown", "", "write a table in Markdown to this `FILE`, - for standard output")
	set.BoolVar(&f.list, "list", false, "list the cases, and play none")
	set.BoolVar(&f.vectors, "vectors", false, "write the cases as JSON with all bytes in hexadecimal, and play none")
	set.IntVar(&f.Jobs, "jobs", min(4, runtime.NumCPU()), "how many cases to play at once")
	set.DurationVar(&f.Timeout, "timeout", 5*time.Second, "how long to wait for what has to come")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	return &f, f.check(set.Args())
}

const usage = `Tells whether an implementation of ttrpc keeps to the protocol.

  conformance --server unix:/run/mine.sock
  conformance --start "./my-server" --level classic-unary,robustness
  conformance --client "./my-client" --known known.txt --junit results.xml

It exits with 0 if all that must pass does, with 1 if not, with 2 if it could not begin.

`

func (f *flags) check(rest []string) error {
	peers := 0
	for _, s := range []string{f.Address, f.Start, f.Client} {
		if s != "" {
			peers++
		}
	}
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q is not expected: all arguments are flags, and commands with arguments need quotes", rest[0])
	case peers == 0 && !f.list && !f.vectors:
		return errors.New("say who is to be driven: --server ADDRESS, --start COMMAND or --client COMMAND")
	case peers > 1:
		return errors.New("--server, --start and --client exclude each other")
	case f.Jobs < 1:
		return fmt.Errorf("--jobs %d: at least one case is played at once", f.Jobs)
	case f.Timeout <= 0:
		return fmt.Errorf("--timeout %v: it has to be longer", f.Timeout)
	}
	return nil
}

// run does what the command does. It says whether a case has failed.
func run(args []string, stdout, stderr io.Writer) (failed bool, err error) {
	f, err := parse(args, stderr)
	if err != nil {
		return false, err
	}
	all, err := vector.Load()
	if err != nil {
		return false, err
	}
	cases, err := f.choose(all)
	switch {
	case err != nil:
		return false, err
	case f.list:
		return false, list(stdout, cases)
	case f.vectors:
		return false, vector.Export(stdout, cases)
	}
	r := report.Report{Peer: f.name}
	if f.known != "" {
		if r.Known, err = report.ReadKnown(f.known, all); err != nil {
			return false, err
		}
	}
	if err := f.reach(); err != nil {
		return false, err
	}
	f.Progress = progress(stderr)
	f.Short = func(name string) bool { return r.Known[name] != "" }
	r.Verdicts = f.Run(cases)
	if f.Progress != nil {
		fmt.Fprint(stderr, "\r\x1b[K")
	}
	return r.Failed(), f.write(&r, stdout)
}

// choose picks the cases that were asked for.
func (f *flags) choose(cases []vector.Case) ([]vector.Case, error) {
	pattern, err := regexp.Compile(f.pattern)
	if err != nil {
		return nil, fmt.Errorf("--run: %w", err)
	}
	levels := vector.Levels
	if f.levels != "" {
		levels = strings.Split(f.levels, ",")
	}
	for _, level := range levels {
		if !slices.Contains(vector.Levels, level) {
			return nil, fmt.Errorf("--level: there is no level %q; there are %s", level, strings.Join(vector.Levels, ", "))
		}
	}
	cases = slices.DeleteFunc(slices.Clone(cases), func(c vector.Case) bool {
		return !slices.Contains(levels, c.Level) || !pattern.MatchString(c.Name)
	})
	if len(cases) == 0 {
		return nil, errors.New("no case is left by --level and --run; --list shows all")
	}
	return cases, nil
}

func list(w io.Writer, cases []vector.Case) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range cases {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", c.Name, c.Force, c.Rule, c.About)
	}
	return t.Flush()
}

// write writes the reports that were asked for, and what has failed if none goes to standard
// output.
func (f *flags) write(r *report.Report, stdout io.Writer) error {
	formats := []struct {
		file  string
		write func(io.Writer) error
	}{
		{f.tap, func(w io.Writer) error { r.TAP(w); return nil }},
		{f.junit, r.JUnit},
		{f.markdown, func(w io.Writer) error {
			_, err := io.WriteString(w, report.Table([]*report.Report{r}))
			return err
		}},
	}
	text := true
	for _, format := range formats {
		var err error
		switch format.file {
		case "":
		case "-":
			text = false
			err = format.write(stdout)
		default:
			err = toFile(format.file, format.write)
		}
		if err != nil {
			return err
		}
	}
	if text {
		r.Text(stdout)
	}
	return nil
}

func toFile(path string, write func(io.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

// progress shows on a terminal which case is being played.
func progress(w io.Writer) func(done, all int, c *vector.Case) {
	file, ok := w.(*os.File)
	if !ok {
		return nil
	}
	if info, err := file.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	return func(done, all int, c *vector.Case) {
		fmt.Fprintf(w, "\r\x1b[K%d/%d %s", done, all, c.Name)
	}
}

// reach sees whether the server can be connected with, or the program be started, at all.
func (f *flags) reach() error {
	if f.Address != "" {
		return runner.Reach(f.Address, f.Timeout)
	}
	words := strings.Fields(f.Start + f.Client)
	if len(words) == 0 {
		return errors.New("the command has no name of a program")
	}
	_, err := exec.LookPath(words[0])
	return err
}
