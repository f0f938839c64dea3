#!/usr/bin/env bash
# Copyright The ttrpc Authors.
# SPDX-License-Identifier: Apache-2.0

# Builds containerd with the ttrpc that it asks for and with this one, runs its
# tests with both, and runs containers under each pair of daemon and shim:
#
#	integration/containerd/run.sh [units] [containers] [client_tests] [tools]
#
# Without arguments it does the first three; client_tests needs containers in the same run.
# tools tries the command ttrpc with a daemon and the shim of a container.
# It needs Go, gcc and a module proxy. Containers need root, runc and a static
# busybox, which it installs with apt-get; where they do not run it says so and
# does the rest. It ends with a table and fails if anything failed with ours
# that did not fail with the release. Variables:
#
#	CONTAINERD  version of containerd (v2.2.0), or nri@VERSION for NRI; of NRI and of
#	            containerd 1 the unit tests alone
#	RELEASE     the released version of ttrpc, as v1.2.10 (the one that containerd asks for)
#	TRANSCRIPTS where tools writes what was typed and printed (transcripts, in CACHE)
#	CACHE       where source and binaries stay (~/.cache/ttrpc-containerd)
#	TIMES       how often each unit test is run (3)
#	RACE        not empty: ours with the race detector

# shellcheck disable=SC2317 # functions are called by traps and by name
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
repo=$(readlink -f "$here/../..")
containerd=${CONTAINERD:-v2.2.0}
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ttrpc-containerd}
TIMES=${TIMES:-3}
RELEASE=${RELEASE:-}
TRANSCRIPTS=${TRANSCRIPTS:-$cache/transcripts}
RACE=${RACE:-}
versions=(released ours)

mkdir -p "$cache"
exec 3>&1 9>"$cache/lock"
flock -n 9 || { echo "$0: another run uses $cache" >&2; exit 1; }

# Paths of sockets are short.
run=$(mktemp -d /tmp/ttrpc-containerd.XXXXXX)
ns=${run##*/}
ls -d /run/containerd/s/* >"$run/sockets-before" 2>/dev/null || true

# shellcheck source=world.sh
. "$here/world.sh"
# shellcheck source=report.sh
. "$here/report.sh"
# shellcheck source=build.sh
. "$here/build.sh"
# shellcheck source=units.sh
. "$here/units.sh"
# shellcheck source=containers.sh
. "$here/containers.sh"
# shellcheck source=client.sh
. "$here/client.sh"
# shellcheck source=tools.sh
. "$here/tools.sh"

# finish prints what there is, also of a run that was cut short.
finish() {
	local code=$?
	exec >&3 2>&1 # and not where a command that was cut short wrote
	jobs -p | xargs -r kill 2>/dev/null || true
	clear_world
	((code == 0)) || echo "CUT SHORT by exit code $code"
	if [[ -e $run/results ]]; then report || code=1; fi
	rm -rf --one-file-system "$run"
	exit "$code"
}

report() {
	local code=0
	printf '\n'
	table || code=$?
	printf '\n'
	cat "$run/notes"
	echo "- $SECONDS s in all, $(nproc) processors, Linux $(uname -r), $(go version | cut -d' ' -f3)."
	return "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

# limit SECONDS COMMAND... runs a command for so long at most. It is waited for
# as a job, for else a signal would be looked at only when it has ended.
limit() {
	timeout --kill-after=30 "$@" &
	wait $!
}

# step NAME runs one part, and tells when.
step() {
	printf '\n==> %s (%d s so far)\n' "$1" "$SECONDS"
	"$1"
}

build_all() {
	local version
	for version in "${versions[@]}"; do build "$version"; done
	note "$module $wanted with ttrpc $released${RELEASE:+ in place of the one that it asks for}, and with ours${RACE:+, ours with the race detector}."
}

choose
if [[ $module != */v2 ]]; then
	(($#)) || set -- units
	[[ $* == units ]] || die "of $containerd only the units are run"
fi
step fetch
step build_all
(($#)) || set -- units containers client_tests
for part in "$@"; do step "$part"; done
