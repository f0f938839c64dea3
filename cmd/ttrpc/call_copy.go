// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
)

// A commandLine is one that repeats a call, with the messages that were read from wherever.
type commandLine struct {
	words []string

	mu       sync.Mutex
	messages []string
	between  string
}

func newCommandLine(cmd *cobra.Command, args []string) *commandLine {
	words := append(strings.Fields(cmd.CommandPath()), args...)
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Name == "copy" || f.Name == "data" {
			return
		}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			for _, value := range list.GetSlice() {
				words = append(words, "--"+f.Name+"="+value)
			}
			return
		}
		word := "--" + f.Name
		if f.Value.Type() != "bool" || f.Value.String() != "true" {
			word += "=" + f.Value.String()
		}
		words = append(words, word)
	})
	return &commandLine{words: words, between: " "}
}

// add adds a message that was read, as JSON or text.
func (l *commandLine) add(message string, isText bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages = append(l.messages, message)
	if isText {
		l.between = separated
	}
}

const separated = "\n" + message.Separator + "\n"

// String returns the line, for a POSIX shell.
func (l *commandLine) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for i, word := range l.words {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(quoteWord(word))
	}
	if len(l.messages) > 0 {
		b.WriteString(" -d " + quoteWord(strings.Join(l.messages, l.between)))
	}
	return b.String()
}

// quoteWord quotes what a shell would not take as one word.
func quoteWord(s string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_=./:@,+%", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
