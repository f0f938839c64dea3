# shellcheck shell=bash
# Copyright The ttrpc Authors.
# SPDX-License-Identifier: Apache-2.0

# Containers under each pair of daemon and shim.

# cases: name, how often for each pair, what.
cases=(
	"import|1|import an image"
	"run|2|run a container to its end: input, output, exit code"
	"exec|11|exec: input, output, exit code, a missing program"
	"large|1|exec with 300 kB of arguments"
	"parallel|10|exec, ten at once"
	"many|20|run, five at once: input, output, exit code"
	"pause|3|pause and resume"
	"metrics|5|metrics, process list"
	"kill|2|SIGTERM caught, SIGKILL; exit codes"
	"direct|5|the client asks the shim itself over ttrpc"
	"events|7|events of a task's life, each seen"
	"restart|2|daemon stopped, then killed, and started again: the container lives on"
	"away|1|a container ends while the daemon is away"
	"swap|4|daemon swapped for the other version's and back, the container lives on"
	"shim-killed|3|SIGKILL of the shim: the daemon notices and cleans up"
	"shim-stopped|3|SIGSTOP of the shim: calls end at their deadline, others go on"
	"nothing-left|1|no process, mount or task is left, nothing crashed"
)

# need PACKAGE PROGRAM sees to a program, and fails if it cannot.
need() {
	command -v "$2" >/dev/null && return
	command -v apt-get >/dev/null || return
	echo "installing $1"
	{ limit 300 apt-get -q update && DEBIAN_FRONTEND=noninteractive limit 300 apt-get -q -y install --no-install-recommends "$1"; } >"$run/apt" 2>&1
}

# try runs one container, or dies of what the machine does not allow.
try() {
	(($(id -u) == 0)) || die "containers take root"
	need runc runc || die "runc is missing"
	need busybox-static busybox || die "a static busybox is missing"
	make_image "$run/image.tar"
	start_daemon released released
	ctr image import --local --snapshotter native "$run/image.tar" || die "the image is not imported"
	create --rm "$image" trial true || die "a container does not run"
	stop_daemon
}

containers() {
	local daemon shim
	if ! (try) >"$run/trial" 2>&1; then
		cat "$run/trial"
		note "NO CONTAINERS RUN HERE: $(tail -n 1 "$run/trial")"
		return
	fi
	clear_world
	touch "$run/containers-run"
	for daemon in "${versions[@]}"; do
		for shim in "${versions[@]}"; do pair "$daemon" "$shim"; done
	done
	memory
}

# pair DAEMON SHIM runs all cases; one that fails does not stop the others.
pair() {
	local daemon=$1 shim=$2 other=ours column=ours line name often what outcome
	[[ $daemon != ours ]] || other=released
	[[ $daemon != released || $shim != released ]] || column=released
	echo "daemon $daemon, shim $shim"
	start_daemon "$daemon" "$shim"
	for line in "${cases[@]}"; do
		IFS='|' read -r name often what <<<"$line"
		outcome=ok
		RUN=$run NS=$ns DAEMON=$daemon SHIM=$shim OTHER=$other \
			limit 300 "$here/cases.sh" "$name" >"$run/case" 2>&1 || outcome=FAILED
		echo "	$name: $outcome"
		[[ $outcome == ok ]] || sed 's/^/	| /' "$run/case"
		# Where the daemon is swapped, ours has always a part.
		[[ $name == swap ]] && record "$what" "$often" ours "daemon $daemon, shim $shim" "$outcome" && continue
		record "$what" "$often" "$column" "daemon $daemon, shim $shim" "$outcome"
		answers || start_daemon "$daemon" "$shim" # the case failed while there was none
	done
	stop_daemon
	clear_world
}

# memory measures idle shims, those of both versions beside each other, after
# their runtime has given back what it does not use: they do so every 30 s.
memory() {
	local version n
	start_daemon ours ours
	ctr image import --local --snapshotter native "$run/image.tar"
	for version in "${versions[@]}"; do
		for n in 1 2 3 4 5; do
			up "idle-$version-$n" --runtime "$bin/$version/containerd-shim-runc-v2"
		done
	done
	sleep 65
	for version in "${versions[@]}"; do
		record "memory of an idle shim, median (no check)" 5 "$version" "$version" \
			"$(median "$version" Rss) kB RSS, $(median "$version" Pss) kB PSS, $(median "$version" Pss_Anon) kB of it its own"
	done
	stop_daemon
	clear_world
}

# median VERSION FIELD prints the median of a field over the idle shims.
median() {
	local n
	for n in 1 2 3 4 5; do
		awk -v field="$2:" '$1 == field { print $2 }' "/proc/$(shim_of "idle-$1-$n")/smaps_rollup"
	done | sort -n | sed -n 3p
}
