#!/bin/bash
# Copyright The ttrpc Authors.
# SPDX-License-Identifier: Apache-2.0

# Builds the command for each system into dist/ at the top of the repository, static and with
# its version, and notes checksums. The same commit and the same Go make the same bytes.
set -euo pipefail
cd "$(dirname "$0")"
out=../../dist
version=${VERSION:-$(git describe --tags --always --dirty)}
# Settings of this user's must not get into it.
export GOFLAGS='' GOWORK=off CGO_ENABLED=0 GOAMD64=v1 GOARM64=v8.0 GOEXPERIMENT=''

mkdir -p $out
rm -f $out/ttrpc-* $out/SHA256SUMS
for target in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64; do
	os=${target%/*} arch=${target#*/} end=
	[[ $os != windows ]] || end=.exe
	GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=false \
		-ldflags "-s -w -buildid= -X github.com/containerd/ttrpc/cmd/ttrpc/internal/cli.version=$version" \
		-o "$out/ttrpc-$os-$arch$end" .
done
cd $out
sha256sum ttrpc-* >SHA256SUMS

# What runs here must say which version it is.
built=ttrpc-$(go env GOHOSTOS)-$(go env GOHOSTARCH)
[[ ! -e $built ]] || "./$built" version | grep -F "ttrpc $version "
cat SHA256SUMS
