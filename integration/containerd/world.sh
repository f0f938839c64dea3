# shellcheck shell=bash
# Copyright The ttrpc Authors.
# SPDX-License-Identifier: Apache-2.0

# The world that the cases live in: a daemon, its client, its containers. All of
# it is below $run, except for the shims' sockets, whose place is not to be had
# otherwise, and cgroups, which are named after the namespace.
#
# Wants: here, run (a directory), ns (the containerd namespace), VERSIONS.

bin=$run/bin
image=ttrpc.test/busybox:1
sockets=/run/containerd/s
export CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=1 # ctr is one process for each line

die() {
	echo "integration/containerd: $*" >&2
	exit 1
}

# await WHAT COMMAND... runs the command until it succeeds. The limit is for
# what hangs: nothing passes or fails by how long it took.
await() {
	local what=$1 end=$((SECONDS + 90))
	shift
	until "$@"; do
		((SECONDS < end)) || die "after 90 s not yet: $what"
		sleep 0.05
	done
}

not() { ! "$@"; }

# processes NAME prints the ids of all processes that run our binary NAME.
processes() {
	find /proc -maxdepth 2 -name exe -lname "$bin/*/$1" 2>/dev/null | cut -d/ -f3 || true
}

# runs PID: is it a process, and no zombie?
runs() { [[ -e /proc/$1/exe ]]; }

# start_daemon DAEMON SHIM starts the daemon of one version with the shim of
# another, in a session of its own: it outlives the case that starts it.
start_daemon() {
	PATH=$bin/$2:$PATH setsid "$bin/$1/containerd" --config "$here/config.toml" \
		--root "$run/root" --state "$run/state" --address "$run/sock" \
		</dev/null >>"$run/daemon-$1-$2.log" 2>&1 9>&- &
	echo $! >"$run/daemon.pid"
	ln -sfn "$bin/$1/ctr" "$run/ctr"
	await "the daemon answers" answers
}

answers() { ctr version >/dev/null 2>&1; }

# stop_daemon [SIGNAL] ends the daemon; containers and shims stay.
stop_daemon() {
	local pid
	pid=$(<"$run/daemon.pid")
	kill -s "${1:-TERM}" "$pid"
	await "the daemon ends" not runs "$pid"
}

# ctr is the client that belongs to the running daemon.
ctr() { "$run/ctr" --address "$run/sock" --namespace "$ns" "$@"; }

# create WORD... runs a container: ctr run with what keeps it in $run.
create() {
	ctr run --snapshotter native --fifo-dir "$run/fifo" --runc-root "$run/runc" "$@"
}

# up ID [FLAG...] starts a container that stays.
up() {
	local id=$1
	shift
	create -d --null-io "$@" "$image" "$id" sleep 1000000
}

# down ID... removes containers whatever state they are in.
down() {
	local id
	for id in "$@"; do
		ctr task rm -f "$id"
		ctr container rm "$id"
	done
}

# inside ID WORD... executes a command in a container.
inside() {
	local id=$1
	shift
	ctr task exec --fifo-dir "$run/fifo" --exec-id "e$BASHPID-$RANDOM" "$id" "$@"
}

# pid_of ID prints the id of a task's first process, status_of its status.
pid_of() { ctr task ls | awk -v id="$1" '$1 == id { print $2 }'; }
status_of() { ctr task ls | awk -v id="$1" '$1 == id { print $3 }'; }

# shim_of ID prints the process id of a container's shim.
shim_of() {
	local pid
	for pid in $(processes containerd-shim-runc-v2); do
		tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q -- " -id $1 " || continue
		echo "$pid"
		return
	done
	return 1
}

# make_image FILE makes an image of the machine's busybox, in OCI's layout.
make_image() {
	local dir=$run/image applet layer config manifest
	mkdir -p "$dir/rootfs/bin" "$dir/oci/blobs/sha256"
	cp "$(command -v busybox)" "$dir/rootfs/bin/busybox"
	for applet in $(busybox --list); do
		[[ $applet == busybox ]] || ln -sf busybox "$dir/rootfs/bin/$applet"
	done
	mkdir -p "$dir/rootfs/etc"
	printf '%s:x:%d:%d::/:/bin/sh\n' root 0 0 sys 3 3 www-data 33 33 >"$dir/rootfs/etc/passwd"
	printf '%s:x:%d:\n' root 0 sys 3 www-data 33 >"$dir/rootfs/etc/group"
	tar -C "$dir/rootfs" -cf "$dir/layer" .
	layer=$(blob "$dir/layer")
	printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=/bin"],"Cmd":["sh"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
		"$(go env GOARCH)" "$layer" >"$dir/config"
	config=$(blob "$dir/config")
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}' \
		"$(descriptor config.v1+json "$config")" "$(descriptor layer.v1.tar "$layer")" >"$dir/manifest"
	manifest=$(blob "$dir/manifest")
	printf '{"schemaVersion":2,"manifests":[%s]}' "$(descriptor manifest.v1+json "$manifest" |
		sed "s#}\$#,\"annotations\":{\"io.containerd.image.name\":\"$image\"}}#")" >"$dir/oci/index.json"
	echo '{"imageLayoutVersion":"1.0.0"}' >"$dir/oci/oci-layout"
	tar -C "$dir/oci" -cf "$1" oci-layout index.json blobs
}

# blob FILE puts a file among the image's blobs and prints its digest.
blob() {
	local sum
	sum=$(sha256sum "$1" | cut -d' ' -f1)
	cp "$1" "$run/image/oci/blobs/sha256/$sum"
	echo "$sum"
}

# descriptor TYPE DIGEST prints what refers to a blob.
descriptor() {
	printf '{"mediaType":"application/vnd.oci.image.%s","digest":"sha256:%s","size":%d}' \
		"$1" "$2" "$(stat -c %s "$run/image/oci/blobs/sha256/$2")"
}

# clear_world ends all processes of the run, and removes what they left.
clear_world() {
	local pid dir
	for pid in $(processes containerd) $(processes containerd-shim-runc-v2) $(processes ctr); do
		kill -9 "$pid" 2>/dev/null || true
	done
	for dir in $(cgroups); do
		xargs -r kill -9 <"$dir/cgroup.procs" 2>/dev/null || true
	done
	for dir in $(cgroups); do
		await "the cgroup $dir is empty" rmdir "$dir" 2>/dev/null
	done
	dead_sockets | xargs -r rm -f
	for dir in $(awk '{ print $5 }' /proc/self/mountinfo | grep "^$run/" | sort -r); do
		umount -l "$dir" || true
	done
	rm -rf --one-file-system "$run/root" "$run/state" "$run/runc" "$run/fifo"
}

# dead_sockets prints the sockets of shims that nobody listens at any more, but
# for those that were there before the run.
dead_sockets() {
	local socket
	for socket in "$sockets"/*; do
		[[ -S $socket ]] || continue
		grep -qF "$socket" /proc/net/unix "$run/sockets-before" || echo "$socket"
	done
}

# cgroups prints the cgroups of the namespace, inner ones first.
cgroups() {
	find /sys/fs/cgroup -depth -type d -path "*/$ns*" 2>/dev/null || true
}
