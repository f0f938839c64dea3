// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package address

import (
	"errors"
	"strings"
)

// pipePath returns the path of a named pipe with Windows' slashes: npipe:////./pipe/NAME is a
// URL of it.
func pipePath(rest string) (string, error) {
	if path, isURL := strings.CutPrefix(rest, "////"); isURL {
		rest = "//" + path
	}
	path := strings.ReplaceAll(rest, "/", `\`)
	if !strings.HasPrefix(path, `\\`) {
		path = `\\.\pipe\` + path
	}
	if server, name, _ := strings.Cut(strings.ToLower(path[2:]), `\pipe\`); server == "" || name == "" {
		return "", errors.New(`a pipe's path is \\.\pipe\NAME`)
	}
	return path, nil
}
