# shellcheck shell=bash
# Copyright The ttrpc Authors.
# SPDX-License-Identifier: Apache-2.0

# The source and binaries of containerd, or of NRI, in $cache.

# choose sets from $containerd the module and its version, and the programs to build.
choose() {
	wanted=${containerd#nri@}
	programs=(containerd containerd-shim-runc-v2 ctr)
	case $containerd in
	nri@*)
		module=github.com/containerd/nri
		programs=()
		;;
	v1.*) module=github.com/containerd/containerd ;;
	*) module=github.com/containerd/containerd/v2 ;;
	esac
}

# fetch takes the source out of the module proxy, and makes it a go.mod for
# each version of ttrpc.
fetch() {
	local dir ttrpc
	src=$cache/src-$containerd
	if [[ ! -e $src/go.mod ]]; then
		dir=$(cd / && limit 600 go mod download -json "$module@$wanted" |
			sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p')
		rm -rf "$src.part"
		cp -r "$dir" "$src.part"
		chmod -R u+w "$src.part"
		mv "$src.part" "$src"
	fi
	for ttrpc in "${versions[@]}"; do
		cp "$src/go.mod" "$cache/$ttrpc.mod"
		cp "$src/go.sum" "$cache/$ttrpc.sum"
	done
	go mod edit -replace "github.com/containerd/ttrpc=$repo" "$cache/ours.mod"
	released=$(go -C "$src" list -m -f '{{.Version}}' github.com/containerd/ttrpc)
	[[ -z $RELEASE ]] || released=$RELEASE
	go mod edit -require "github.com/containerd/ttrpc@$released" "$cache/released.mod"
}

# with VERSION WORD... is a go command in the source, with a version of ttrpc.
# Only ours is built with the race detector, if that is asked for.
with() {
	local version=$1 command=$2
	shift 2
	[[ $version != ours || -z $RACE ]] || set -- -race "$@"
	limit 1800 go -C "$src" "$command" -modfile "$cache/$version.mod" -mod=mod "$@"
}

# build VERSION builds the programs and looks into them for what is linked, or
# builds all packages where there are no programs.
build() {
	local version=$1 dir=$cache/$1${RACE:+-race} program linked
	if ((!${#programs[@]})); then
		with "$version" build ./...
		record "build $module" 1 "$version" "$version" ok
		return
	fi
	mkdir -p "$dir"
	with "$version" build -o "$dir/" "${programs[@]/#/./cmd/}"
	for program in "${programs[@]}"; do
		linked=$(go version -m "$dir/$program" | grep -A1 -P '^\tdep\tgithub.com/containerd/ttrpc\t')
		case $version in
		ours) grep -qF "=>"$'\t'"$repo" <<<"$linked" ;;
		released) ! grep -q '=>' <<<"$linked" ;;
		esac || die "$program ($version) is linked with: $linked"
	done
	mkdir -p "$run/bin/$version"
	cp -lf "$dir"/* "$run/bin/$version/" 2>/dev/null || cp -f "$dir"/* "$run/bin/$version/"
	record "build ${programs[*]}" 1 "$version" "$version" ok
}
