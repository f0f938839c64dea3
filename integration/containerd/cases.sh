#!/usr/bin/env bash
# Copyright The ttrpc Authors.
# SPDX-License-Identifier: Apache-2.0

# What is done with each pair of daemon and shim:
#
#	cases.sh CASE
#
# run.sh starts this with a daemon that runs, and these variables: RUN (the
# directory of the run), NS, DAEMON and SHIM (versions), OTHER (the version that
# the daemon is not). A case passes if it ends without error. It leaves no
# container, and the daemon that it found.

# shellcheck disable=SC2317 # functions are called by name
# shellcheck disable=SC2016 # what is quoted expands in the container's shell
set -euo pipefail
trap 'echo "failed in line $LINENO: $BASH_COMMAND" >&2' ERR

here=$(dirname "$(readlink -f "$0")")
# shellcheck disable=SC2153 # these are given
run=$RUN ns=$NS daemon=$DAEMON shim=$SHIM other=$OTHER
# shellcheck source=world.sh
. "$here/world.sh"

# same WHAT GOT WANT
same() { [[ $2 == "$3" ]] || die "$1: got <${2:0:200}>, want <${3:0:200}>"; }

# code COMMAND... prints the exit code of a command, which is quiet.
code() {
	local code=0
	"$@" >/dev/null 2>&1 || code=$?
	echo "$code"
}

case-import() {
	ctr image import --local --snapshotter native "$run/image.tar"
	ctr image ls -q | grep -qx "$image"
}

# talk COMMAND... runs a command that answers a line of input and then waits for
# the input's end; it prints the answer and the exit code. What does not wait may
# end before ctr has opened its output, which then is lost, whatever the ttrpc.
talk() {
	local dir to from answer code=0
	dir=$(mktemp -d "$run/talk.XXXXXX")
	mkfifo "$dir/in" "$dir/out"
	"$@" <"$dir/in" >"$dir/out" &
	exec {to}>"$dir/in" {from}<"$dir/out"
	echo hello >&"$to"
	read -r answer <&"$from" || answer="no answer"
	exec {to}>&- {from}<&-
	wait $! || code=$?
	echo "$answer, code $code"
}

# script TEXT CODE prints what a shell runs to answer with the text as well.
script() { echo "read -r line; echo \"\$line $1\"; cat; exit $2"; }

case-run() {
	same "a failing one" "$(talk create --rm "$image" run sh -c "$(script world 7)")" "hello world, code 7"
	same "another one" "$(talk create --rm "$image" run sh -c "$(script again 0)")" "hello again, code 0"
	same "tasks left" "$(ctr task ls -q)" ""
}

case-exec() {
	local n
	up exec
	same "the shim" "$(readlink "/proc/$(shim_of exec)/exe")" "$bin/$shim/containerd-shim-runc-v2"
	for n in 1 2 3 4 5 6 7 8 9 10; do
		same "exec $n" "$(talk inside exec sh -c "$(script "$n" "$n")")" "hello $n, code $n"
	done
	same "a program that is missing" "$(code inside exec /no/such)" 1
	down exec
}

# The arguments of an exec travel as one message.
case-large() {
	local arg
	arg=$(head -c 100000 /dev/zero | tr '\0' x)
	up large
	same "length" "$(talk inside large sh -c "$(script '${#1} ${#2} ${#3}' 0)" - "$arg" "$arg" "$arg")" \
		"hello 100000 100000 100000, code 0"
	down large
}

# one N runs a container to its end, with an output and an exit code of its own.
one() {
	same "many-$1" "$(talk create --rm "$image" "many-$1" sh -c "$(script "$1" "$1")")" "hello $1, code $1"
}

case-many() {
	local n job jobs
	for n in 1 6 11 16; do
		jobs=()
		for ((job = n; job < n + 5; job++)); do
			one "$job" &
			jobs+=($!)
		done
		for job in "${jobs[@]}"; do wait "$job"; done
	done
	same "tasks left" "$(ctr task ls -q)" ""
}

case-parallel() {
	local n job jobs=()
	up parallel
	for ((n = 0; n < 10; n++)); do
		(same "exec $n" "$(talk inside parallel sh -c "$(script "$n" "$n")")" "hello $n, code $n") &
		jobs+=($!)
	done
	for job in "${jobs[@]}"; do wait "$job"; done
	down parallel
}

case-pause() {
	local n
	up pause
	for n in 1 2 3; do
		ctr task pause pause
		same "status" "$(status_of pause)" PAUSED
		ctr task resume pause
		same "status" "$(status_of pause)" RUNNING
	done
	lives pause "$(pid_of pause)"
	down pause
}

case-metrics() {
	local n
	up metrics
	for n in 1 2 3 4 5; do
		ctr task metrics --format json metrics | grep -q '"pids"'
		ctr task ps metrics | awk -v pid="$(pid_of metrics)" '$1 == pid { found = 1 } END { exit !found }'
	done
	down metrics
}

case-kill() {
	create -d --null-io "$image" kill sh -c 'trap "exit 42" TERM; while :; do sleep 1000 & wait; done'
	# The shell may not have set its trap yet: it is told again until it ends.
	ended() { ctr task kill -s SIGTERM kill 2>/dev/null; [[ $(status_of kill) == STOPPED ]]; }
	await "the task ends" ended
	same "exit code" "$(remove_task kill)" 42
	ctr container rm kill

	up kill
	ctr task kill -s SIGKILL kill
	await "the task ends" stopped kill
	same "exit code" "$(remove_task kill)" 137
	same "killing what is gone" "$(code ctr task kill kill)" 1
	ctr container rm kill
}

# remove_task ID prints the exit code that the task had; ctr says so if it is not 0.
remove_task() { ctr task rm "$1" 2>&1 | sed -n 's/^.*non-zero exit code \([0-9]*\).*$/\1/p'; }

stopped() { [[ $(status_of "$1") == STOPPED ]]; }

# The client speaks ttrpc with a shim itself.
case-direct() {
	local n
	up direct
	for n in 1 2 3 4 5; do
		ctr shim --id direct state | grep -q "\"pid\": *$(pid_of direct)\b"
	done
	down direct
}

case-events() {
	local watcher topic
	ctr events >"$run/events" &
	watcher=$!
	# Nothing tells that the watcher has subscribed but an event that it prints.
	subscribed() {
		ctr content label "$(ctr content ls -q | head -n 1)" "n=$RANDOM" >/dev/null || true
		ctr image label "$image" "n=$RANDOM" >/dev/null
		[[ -s $run/events ]]
	}
	await "the watcher has subscribed" subscribed
	up events
	inside events true
	ctr task pause events
	ctr task resume events
	down events
	# Not /tasks/delete: containerd's shims now and then end before they send it.
	for topic in create start exec-added exec-started paused resumed exit; do
		await "the event /tasks/$topic" grep -q " /tasks/$topic .*events" "$run/events"
	done
	kill "$watcher"
	wait "$watcher" || true
}

# lives ID PID: the container is the one that it was, and can be worked with.
lives() {
	same "status" "$(status_of "$1")" RUNNING
	same "process" "$(pid_of "$1")" "$2"
	same "exec" "$(talk inside "$1" sh -c "$(script there 3)")" "hello there, code 3"
	ctr task metrics "$1" >/dev/null
}

# again SIGNAL VERSION ends the daemon and starts one while containers run.
again() {
	stop_daemon "$1"
	start_daemon "$2" "$shim"
}

case-restart() {
	local pid first
	up restart
	pid=$(pid_of restart) first=$(shim_of restart)
	again TERM "$daemon"
	lives restart "$pid"
	again KILL "$daemon"
	lives restart "$pid"
	same "shim" "$(shim_of restart)" "$first"
	ctr task kill -s SIGKILL restart
	await "the daemon hears of the end" stopped restart
	down restart
}

# A container ends while there is no daemon; the next one learns of it, and
# ends the shim that nobody needs.
case-away() {
	local pid
	up away
	pid=$(pid_of away)
	stop_daemon
	kill -9 "$pid"
	start_daemon "$daemon" "$shim"
	await "the daemon forgets the task" forgotten away
	ctr container rm away
}

# An upgrade in place, and back.
case-swap() {
	local pid version
	up swap
	pid=$(pid_of swap)
	for version in "$other" "$daemon" "$other" "$daemon"; do
		again TERM "$version"
		lives swap "$pid"
	done
	ctr task kill -s SIGKILL swap
	await "the daemon hears of the end" stopped swap
	down swap
}

# forgotten ID: the daemon answers, and knows no such task.
forgotten() {
	local tasks
	tasks=$(ctr task ls -q) && ! grep -qx "$1" <<<"$tasks"
}

bundle_gone() { [[ ! -e $run/state/io.containerd.runtime.v2.task/$ns/$1 ]]; }

# A shim dies: the daemon notices, ends the container and forgets the task.
case-shim-killed() {
	local victim pid
	up bystander
	for victim in victim-1 victim-2 victim-3; do
		up "$victim"
		pid=$(pid_of "$victim")
		kill -9 "$(shim_of "$victim")"
		await "the container ends" not runs "$pid"
		await "the daemon forgets the task" forgotten "$victim"
		await "the daemon removes its bundle" bundle_gone "$victim"
		ctr container rm "$victim"
	done
	lives bystander "$(pid_of bystander)"
	down bystander
}

# A shim does not answer: calls to it end at their deadline and disturb no
# other; when it goes on, it can be worked with.
case-shim-stopped() {
	local n
	up stopped
	up bystander
	kill -s STOP "$(shim_of stopped)"
	for n in 1 2 3; do
		same "a call with a deadline" "$(code ctr --timeout 1s task metrics stopped)" 1
		ctr task metrics bystander >/dev/null
	done
	kill -s CONT "$(shim_of stopped)"
	lives stopped "$(pid_of stopped)"
	down stopped bystander
}

gone() { [[ -z $(processes containerd-shim-runc-v2) ]]; }

# What the cases before left behind.
case-nothing-left() {
	same "tasks" "$(ctr task ls -q)" ""
	same "containers" "$(ctr container ls -q)" ""
	await "all shims have ended" gone
	same "mounts" "$(grep -c "$run/state" /proc/self/mountinfo)" 0
	if grep -E 'panic:|fatal error:|DATA RACE' "$run"/daemon-*.log; then
		die "a daemon or shim crashed"
	fi
}

declare -F "case-$1" >/dev/null || die "no case is called $1"
"case-$1"
