// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Duration adds a flag for a time that is not negative.
func Duration(flags *pflag.FlagSet, p *time.Duration, name, short string, value time.Duration, usage string) {
	flags.VarP((*duration)(p), name, short, usage)
	*p = value
	flags.Lookup(name).DefValue = value.String()
}

type duration time.Duration

func (d *duration) String() string { return time.Duration(*d).String() }
func (d *duration) Type() string   { return "duration" }
func (d *duration) Set(s string) error {
	value, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return errors.New("it is a time, as 500ms or 1m30s")
	case value < 0:
		return errors.New("it is not negative")
	}
	*d = duration(value)
	return nil
}

// tellArguments has a command say what it takes, if it is called with something else.
func tellArguments(cmd *cobra.Command) {
	check := cmd.Args
	if check == nil {
		return
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if check(cmd, args) == nil {
			return nil
		}
		_, takes, _ := strings.Cut(cmd.Use, " ")
		takes = strings.TrimSpace(strings.TrimPrefix(takes, "[flags]"))
		switch {
		case takes == "" || strings.HasPrefix(takes, "--"):
			return fmt.Errorf("%s takes no arguments, and was given %q", cmd.Name(), args)
		case len(args) == 0:
			return fmt.Errorf("%s takes %s, and was given nothing", cmd.Name(), takes)
		}
		return fmt.Errorf("%s takes %s, and was given %q", cmd.Name(), takes, args)
	}
}

// prepareHelp has help of what is not there fail.
func prepareHelp(cmd *cobra.Command) {
	cmd.Example = "  ttrpc help call"
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		_, _, err := cmd.Root().Find(args)
		return err
	}
}
