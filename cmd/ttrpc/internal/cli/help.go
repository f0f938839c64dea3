// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

// helpTemplate begins with an example, for that is what most readers want.
const helpTemplate = `{{with .Example}}{{. | trimRightSpace}}

{{end}}{{with or .Long .Short}}{{. | trimRightSpace}}

{{end}}{{.UsageString}}
Exit codes:
  0 done; 1 called in a wrong way; 2 no connection, or the handshake was refused; 3 the
  connection was lost; 4 bad input, or descriptors that are missing or wrong; 5 what health
  asked for is not serving; 64 plus the code of the status that a server has answered with,
  as grpcurl's.
`

const usageTemplate = `Usage:{{if .Runnable}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND

Commands:{{range .Commands}}{{if (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding }} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Flags of all commands:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableSubCommands}}

"{{.CommandPath}} COMMAND --help" tells more of a command.{{end}}
`
