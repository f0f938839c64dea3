#!/bin/bash
# Copyright The ttrpc Authors.
# SPDX-License-Identifier: Apache-2.0

# Generates the Go code of all protos of this module beside them. The plugins
# are built from the module, so that go.mod decides on their versions; protoc
# is the one on PATH. Run twice it changes nothing the second time.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v protoc >/dev/null; then
	echo "$0: protoc is not on PATH: install protobuf-compiler" >&2
	exit 1
fi

plugins=$(mktemp -d)
trap 'rm -rf "$plugins"' EXIT
go build -o "$plugins/" google.golang.org/protobuf/cmd/protoc-gen-go ./cmd/protoc-gen-go-ttrpc

# All paths are relative to the root: they are the names under which the files
# are registered in a program, where each may stand once.
protoc -I. -Iinternal/include \
	--plugin="$plugins/protoc-gen-go" --go_out=. --go_opt=paths=source_relative \
	--plugin="$plugins/protoc-gen-go-ttrpc" --go-ttrpc_out=. --go-ttrpc_opt=paths=source_relative \
	request.proto \
	internal/test.proto \
	internal/healthpb/ttrpc_health.proto \
	internal/reflectionpb/ttrpc_reflection.proto \
	integration/streaming/streaming.proto \
	example/greenhouse.proto \
	example/files/files.proto \
	example/hello/hello.proto \
	example/plugins/plugins.proto \
	example/workers/workers.proto \
	integration/weight/hello/hello.proto
