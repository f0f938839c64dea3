// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"
)

// pluginList is the value of the parameter plugins.
type pluginList struct {
	names []string
	// all is whether the parameter is there but empty, which gogo/protobuf takes
	// for all plugins.
	all bool
}

// builtIn has the names of the plugins that this command is linked with.
var builtIn = []string{
	pluginName, "grpc",
	// From github.com/gogo/protobuf/vanity/command. They are always on.
	"compare", "defaultcheck", "description", "embedcheck", "enumstringer", "equal",
	"face", "gostring", "marshalto", "oneofcheck", "populate", "size", "stringer",
	"union", "unmarshal",
	// What gogo/protobuf calls no plugin.
	"none",
}

// requestedPlugins returns the plugins that the request's parameter names.
func requestedPlugins(parameter string) pluginList {
	var list pluginList
	for _, param := range strings.Split(parameter, ",") {
		if name, value, _ := strings.Cut(param, "="); name == "plugins" {
			list = pluginList{names: strings.Split(value, "+"), all: value == ""}
		}
	}
	return list
}

func (l pluginList) has(name string) bool {
	return l.all || slices.Contains(l.names, name)
}

// unknown returns the names in l that are not of any plugin.
func (l pluginList) unknown() []string {
	var names []string
	for _, name := range l.names {
		if name != "" && !slices.Contains(builtIn, name) {
			names = append(names, name)
		}
	}
	return names
}
