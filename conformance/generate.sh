#!/bin/sh
# Copyright The ttrpc Authors.
# SPDX-License-Identifier: Apache-2.0

# Generates the messages of conformance.proto into service/.
set -eu
plugins=$(mktemp -d)
trap 'rm -rf "$plugins"' EXIT
go build -o "$plugins/" google.golang.org/protobuf/cmd/protoc-gen-go
protoc -I. --plugin="$plugins/protoc-gen-go" --go_out=service --go_opt=paths=source_relative conformance.proto
