# shellcheck shell=bash
# Copyright The ttrpc Authors.
# SPDX-License-Identifier: Apache-2.0

# The command ttrpc with a daemon and the shim of a container, with the release
# and with this library; then with the server in example/, and one of the release.
# What is typed and printed is kept as transcripts, in which the directory of the run
# is /run/demo, and files of the repository have no directory before them.

task=containerd.task.v3.Task

tools() {
	local version
	if ! (try) >"$run/trial" 2>&1; then
		cat "$run/trial"
		die "no containers run here"
	fi
	clear_world
	need tshark tshark || die "tshark is missing"
	go -C "$repo/cmd/ttrpc" build -o "$run/bin/ttrpc" .
	go -C "$repo" build -o "$run/bin/greenhouse" ./example/cmd
	go -C "$repo/cmd/ttrpc" build -modfile=released.mod -o "$run/bin/greeter" ./internal/testpeer/released
	PATH=$run/bin:$PATH
	ns=ttrpc-demo # in a table, a name of another length would not be in its column
	export TTRPC_STATE=$run/state
	mkdir -p "$TRANSCRIPTS"
	for version in "${versions[@]}"; do
		session "$version"
		record "the command ttrpc with a daemon, a shim and its container" 1 "$version" "$version" ok
	done
	without_containerd
	record "the command ttrpc with the server in example/" 1 ours ours ok
	plain_release
	record "the command ttrpc with a server of v1.2.10" 1 released released ok
}

# session VERSION runs all commands with the daemon and shim of one version.
session() {
	local version=$1 name=v${released#v} kind='ttrpc v1\.2'
	[[ $version != ours ]] || name=ours kind='this library, without the extended mode'
	transcript=$TRANSCRIPTS/containerd-$name.txt
	dir=$run/demo-$version
	mkdir "$dir"
	start_daemon "$version" "$version"
	ctr image import --local --snapshotter native "$run/image.tar"
	up web
	cat >"$transcript" <<-END
		containerd $wanted, its shim and a container "web", with ttrpc: ${name/ours/this library}

		Made by "make containerd-tools". ttrpc is cmd/ttrpc, ctr is containerd's, with --address and -n.
		The daemon's state is not at a usual place, so TTRPC_STATE=/run/demo/state is set.
	END
	look "$kind"
	ask
	watch_exec "$version"
	replay
	measure
	hang
	down web
	stop_daemon
	clear_world
	echo "	$transcript: ok"
}

# look finds the shim and asks what it has.
look() {
	title "What listens, and what it has"
	show 'ttrpc ps'
	ends 0
	sees "^$ns +web +$(shim_of web) +unix:/run/containerd/s/[0-9a-f]{64} +yes: $1\$"
	show 'ttrpc ping shim:web'
	ends 0
	sees '^answer 3 after ' '^shim:web .*: 3 answers, least ' "^It seems to be $1\.\$"
	show 'ttrpc list shim:web'
	ends 0
	sees "^$task\$"
	show "ttrpc list -l shim:web $task"
	ends 0
	sees "^$task/State\(containerd.task.v3.StateRequest\) returns \(containerd.task.v3.StateResponse\)\$" "^$task/Stats\("
	show 'ttrpc list containerd:/run/demo/sock.ttrpc'
	ends 0
	sees '^containerd\.services\.events\.ttrpc\.v1\.Events$'
}

# ask calls the shim.
ask() {
	title "Calls"
	show "ttrpc describe --template shim:web $task/State | tee state.json"
	ends 0
	same_text "$out" $'{\n  "id": "",\n  "execId": ""\n}'
	show "sed -i 's/\"id\": \"\"/\"id\": \"web\"/' state.json"
	ends 0
	show "ttrpc call shim:web $task/State -d @state.json"
	ends 0
	sees '^  "id": "web",$' "^  \"pid\": $(pid_of web),\$" '^  "status": "RUNNING",$'
	show "ttrpc call shim:web $task/State -d '{\"id\": \"other\"}'"
	ends 69
	sees '^ttrpc: NotFound \(5\): '
	show "ttrpc call shim:web $task/Stats -d '{\"id\": \"web\"}'"
	ends 0
	sees '^    "@type": "io\.containerd\.cgroups\.v[12]\.Metrics",$' '^    "pids": \{$' '^      "current": "1"'
}

# watch_exec puts a proxy in the shim's place while ctr executes a command.
watch_exec() {
	local socket proxy pid shim
	socket=$(sed -E 's#^.*unix://([^"]*)".*$#\1#' "$run/state/io.containerd.runtime.v2.task/$ns/web/bootstrap.json")
	pid=$(pid_of web) shim=$(shim_of web)
	title "What passes, while ctr executes a command"
	behind 'ttrpc proxy --to shim:web --in-place --pcap calls.pcapng >calls.txt 2>notes.txt'
	proxy=$!
	await "the proxy listens" test -e "$socket.real"
	await "the proxy says so" grep -q '\^C puts the socket back' "$dir/notes.txt"
	restart_daemon "$1"
	show "ctr tasks exec --exec-id hello --fifo-dir /run/demo/fifo web sh -c 'echo hello; sleep 1; exit 3'"
	ends 3
	same_text "$out" hello
	await "the proxy shows the end" grep -qE '^\[1\] ← [0-9]+ OK [^ ]+ \{"pid":[0-9]+,"exitStatus":3,' "$dir/calls.txt"
	show 'cat notes.txt'
	sees "^ttrpc proxy: listening in the place of $socket, which is $socket.real meanwhile\$"
	shown '# ^C, or this, puts the socket back. What passes goes on until it ends, here by the restart.'
	show 'kill $!' "kill $proxy"
	await "the socket is back" not test -e "$socket.real"
	restart_daemon "$1"
	wait "$proxy" || die "the proxy ended with $?"
	show 'cat calls.txt'
	sees "^\[1\] open: process [0-9]+ \(containerd\), user 0\$" \
		"^\[1\] → [0-9]+ /$task/Connect \{\"id\":\"web\"\}\$" \
		"^\[1\] ← [0-9]+ OK [^ ]+ \{\"shimPid\":$shim,\"taskPid\":$pid\}\$" \
		"^\[1\] → [0-9]+ /$task/Exec .*\"execId\":\"hello\".*\"@type\":\"types\.containerd\.io/opencontainers/runtime-spec/1/Process\"" \
		"^\[1\] → [0-9]+ /$task/Start \{\"id\":\"web\",\"execId\":\"hello\"\}\$" \
		"^\[1\] → [0-9]+ /$task/Wait \{\"id\":\"web\",\"execId\":\"hello\"\}\$" \
		"^\[1\] ← [0-9]+ OK [^ ]+ \{\"exitStatus\":3,\"exitedAt\":" \
		"^\[1\] → [0-9]+ /$task/Delete \{\"id\":\"web\",\"execId\":\"hello\"\}\$" \
		'^\[1\] closed: after .*; calls: [0-9]+, failed: 0; bytes: '
	show "ctr tasks exec --exec-id again --fifo-dir /run/demo/fifo web sh -c 'echo again; sleep 1'"
	ends 0
	same_text "$out" again
	grep -q again "$dir/calls.txt" && die "the proxy has seen what came after it"
	show 'ctr tasks ls'
	sees "^web +$pid +RUNNING"
	same_text "$(shim_of web)" "$shim"
}

# replay reads what the proxy has recorded.
replay() {
	title "The record"
	show 'ttrpc dump calls.pcapng >dump.txt'
	ends 0
	same_calls
	show "ttrpc dump --method '*/Start' calls.pcapng"
	ends 0
	sees "^\[1\] → [0-9]+ /$task/Start " '^\[1\] ← [0-9]+ OK [^ ]+ \{"pid":[0-9]+\}$'
	not_sees '/Exec '
	show 'tshark -r calls.pcapng -X lua_script:dissector/ttrpc.lua -Y ttrpc 2>/dev/null'
	ends 0
	sees "Request [0-9]+ $task/Exec" "Response [0-9]+ $task/Exec: OK" "$task/Start" "Response [0-9]+ $task/Delete: OK"
	show "tshark -r calls.pcapng -X lua_script:dissector/ttrpc.lua -Y 'ttrpc.method == \"Exec\" && ttrpc.type == 2' -O ttrpc 2>/dev/null"
	ends 0
	sees "Service: $task" 'Method: Exec' 'Code: OK \(0\)' 'Time since the request: '
}

# measure makes calls of the shim under a load.
measure() {
	title "A load"
	show "ttrpc bench shim:web $task/State -d '{\"id\": \"web\"}' -n 20000 -c 4"
	ends 0
	sees "^$task/State at shim:web: 4 callers, 1 connection, classic, " '^  calls +20000$' \
		'^  latency p99 +[0-9.]+ [mµ]?s$' '^  CPU a call, server +[0-9.]+ µs$'
	not_sees 'failed|not known'
}

# hang stops the shim for a while.
hang() {
	local shim
	shim=$(shim_of web)
	title "A shim that hangs"
	show "kill -STOP $shim"
	show 'ttrpc ps --timeout 1s'
	ends 0
	sees "^$ns +web +$shim +unix:[^ ]* +no: takes connections and does not answer\$"
	show "ttrpc call --timeout 1s shim:web $task/State -d '{\"id\": \"web\"}'"
	ends 68
	sees '^ttrpc: DeadlineExceeded \(4\): '
	show "kill -CONT $shim"
	show 'ttrpc ping -c 1 shim:web'
	ends 0
}

# without_containerd does the same with a server that any machine has, and no containerd.
without_containerd() {
	local server proxy service=ttrpc.example.Greenhouse to='--proto example/greenhouse.proto unix:greenhouse.sock'
	transcript=$TRANSCRIPTS/example.txt
	dir=$run/demo-example
	mkdir "$dir"
	cat >"$transcript" <<-END
		The server in example/

		Made by "make containerd-tools". ttrpc is cmd/ttrpc, greenhouse is example/cmd.
	END
	title "What listens, and what it has"
	behind 'greenhouse server greenhouse.sock >server.txt'
	server=$!
	await "the server listens" test -S "$dir/greenhouse.sock"
	show "ttrpc ps --all | grep greenhouse"
	ends 0
	sees "^- +- +$server +unix:greenhouse.sock "
	show 'ttrpc ping unix:greenhouse.sock'
	ends 0
	sees '^It seems to be this library, without the extended mode\.$'
	show "ttrpc list $to"
	ends 0
	sees "^$service\$"
	title "Calls"
	show "ttrpc describe --template $to $service/Measure"
	ends 0
	sees '^  "bed": "",?$'
	show "ttrpc call $to $service/Measure -d '{\"bed\": \"tomatoes\"}'"
	ends 0
	same_text "$out" $'{\n  "bed": "tomatoes",\n  "degrees": 21.5\n}'
	show "ttrpc call $to $service/Measure -d '{\"bed\": \"roses\"}'"
	ends 69
	sees '^ttrpc: NotFound \(5\): ' '"@type":"type.googleapis.com/ttrpc.example.UnknownBed","beds":\["orchids","tomatoes"\]'
	show "ttrpc call --compact $to $service/Watch -d '{\"bed\": \"orchids\", \"changes\": 3}'"
	ends 0
	same_text "$(wc -l <<<"$out")" 3
	title "What passes"
	behind "ttrpc proxy --in-place --pcap calls.pcapng --to unix:greenhouse.sock --proto example/greenhouse.proto >calls.txt 2>notes.txt"
	proxy=$!
	await "the proxy says that it listens" grep -qs '\^C puts the socket back' "$dir/notes.txt"
	show 'greenhouse client greenhouse.sock measure watch error'
	ends 0
	shown '# ^C, or this, puts the socket back.'
	show 'kill $!' "kill $proxy"
	wait "$proxy" || die "the proxy ended with $?"
	show 'cat calls.txt'
	sees "^\[[0-9]+\] → [0-9]+ /$service/Measure \{\"bed\":\"" "^\[[0-9]+\] → [0-9]+ /$service/Watch " '^\[[0-9]+\] ← [0-9]+ NotFound '
	title "The record"
	show 'ttrpc dump --failed --proto example/greenhouse.proto calls.pcapng'
	ends 0
	sees '^\[[0-9]+\] ← [0-9]+ NotFound '
	not_sees ' OK '
	show "tshark -r calls.pcapng -X lua_script:dissector/ttrpc.lua -Y ttrpc 2>/dev/null"
	ends 0
	sees "Response [0-9]+ $service/Measure: NotFound" "Data [0-9]+ $service/Watch"
	title "A load"
	show "ttrpc bench $to $service/Measure -d '{\"bed\": \"tomatoes\"}' -n 20000"
	ends 0
	sees '^  calls +20000$' '^  CPU a call, server +[0-9.]+ µs$'
	kill "$server"
	wait "$server" || die "the server ended with $?"
	echo "	$transcript: ok"
}

# plain_release does the same with a server that serves all kinds of calls by v1.2.10.
plain_release() {
	local server proxy to='--proto demo.proto unix:greeter.sock'
	transcript=$TRANSCRIPTS/server-v1.2.10.txt
	dir=$run/demo-plain
	mkdir "$dir"
	cp "$repo/cmd/ttrpc/testdata/proto/demo.proto" "$dir"
	cat >"$transcript" <<-END
		A server of v1.2.10

		Made by "make containerd-tools". ttrpc is cmd/ttrpc, greeter its internal/testpeer/released, and demo.proto is
		in its testdata.
	END
	title "What listens, and what it has"
	mkfifo "$dir/input" # it ends when its input does
	behind 'greeter greeter.sock <>input >server.txt'
	server=$!
	await "the server listens" test -S "$dir/greeter.sock"
	show "ttrpc ps --all | grep greeter"
	ends 0
	sees "^- +- +$server +unix:greeter.sock "
	show 'ttrpc ping unix:greeter.sock'
	ends 0
	sees '^It seems to be ttrpc v1\.2\.$'
	show "ttrpc list $to"
	ends 0
	sees '^demo\.Greeter$'
	title "Calls"
	show "ttrpc describe --template $to demo.Greeter/Wrap"
	ends 0
	sees '^  "name": "",$'
	show "ttrpc call --compact $to demo.Greeter/Wrap -d '{\"name\": \"Ada\"}'"
	ends 0
	same_text "$out" '{"content":{"@type":"type.googleapis.com/demo.GreetReply","text":"Hello, Ada!"}}'
	title "What passes"
	behind "ttrpc proxy --in-place --pcap calls.pcapng --to unix:greeter.sock --proto demo.proto >calls.txt 2>notes.txt"
	proxy=$!
	await "the proxy says that it listens" grep -qs '\^C puts the socket back' "$dir/notes.txt"
	show "ttrpc call --compact $to demo.Greeter/Chat -d '{\"name\": \"Ada\"} {\"name\": \"Alan\"}'"
	ends 0
	same_text "$out" $'{"text":"Hello, Ada!"}\n{"text":"Hello, Alan!"}'
	show 'kill $!' "kill $proxy"
	wait "$proxy" || die "the proxy ended with $?"
	show 'cat calls.txt'
	sees '^\[1\] → [0-9]+ /demo\.Greeter/Chat stream$' '^\[1\]   → [0-9]+ \{"name":"Alan"\}$' '^\[1\]   ← [0-9]+ \{"text":"Hello, Alan!"\}$'
	title "The record"
	show 'ttrpc dump --proto demo.proto calls.pcapng | tee dump.txt'
	ends 0
	same_calls
	title "A load"
	show "ttrpc bench $to demo.Greeter/Greet -d '{\"name\": \"Ada\"}' -n 20000"
	ends 0
	sees '^  calls +20000$' '^  CPU a call, server +[0-9.]+ µs$'
	kill "$server"
	wait "$server" || true # by the signal
	echo "	$transcript: ok"
}

# restart_daemon VERSION has the daemon make its connections to shims anew.
restart_daemon() {
	stop_daemon
	start_daemon "$1" "$1"
	printf '\n[The daemon was stopped and started again. It keeps one connection to each shim; the shim lives on.]\n\n' >>"$transcript"
}

# title TEXT heads a part of the transcript, shown LINE adds what is typed.
title() { printf '\n## %s\n\n' "$1" >>"$transcript"; }
shown() { usual <<<"\$ $1" >>"$transcript"; }

# show LINE [COMMAND] runs what is typed, or what stands for it, as a user does, and
# keeps in $out what it prints and in $code how it ends.
show() {
	shown "$1"
	code=0
	out=$(cd "$dir" && eval "$(here_names "${2:-$1}")" 2>&1) || code=$?
	[[ -z $out ]] || usual <<<"$out" >>"$transcript"
	((!code)) || usual <<<"[exit code $code]" >>"$transcript"
}

# behind LINE runs what is typed in the background.
behind() {
	shown "$1 &"
	(cd "$dir" && eval "exec $(here_names "$1")" 9>&-) &
}

# usual gives directories the names that they have in the transcript, here_names back.
usual() { sed -e "s#$run#/run/demo#g" -e "s#$repo/##g"; }
here_names() { sed -E -e "s#/run/demo#$run#g" -e "s#(dissector|example)/#$repo/&#g" <<<"$1"; }

# wrong TEXT tells what the last command should have done.
wrong() {
	tail -n 60 "$transcript" | sed 's/^/	| /'
	die "$1"
}

ends() { ((code == $1)) || wrong "exit code $code, not $1"; }

# sees PATTERN... : each is in a line of what the last command printed. not_sees PATTERN: in none.
sees() {
	local pattern
	for pattern in "$@"; do
		grep -qE -e "$pattern" <<<"$out" || wrong "no line has: $pattern"
	done
}
not_sees() { ! grep -E -e "$1" <<<"$out" || wrong "a line has: $1"; }

# same_calls: dump.txt has the calls of calls.txt. A capture has times by another clock, and
# two that came at once may stand either way round.
same_calls() {
	calls_of() { grep -v ' closed: ' "$dir/$1" | sed -E 's/^([^ ]+ +← [0-9]+ [A-Za-z]+) [^ ]+/\1/' | sort; }
	[[ -s $dir/dump.txt ]] || wrong "nothing was dumped"
	out=$(diff <(calls_of calls.txt) <(calls_of dump.txt)) || wrong "dump differs: $out"
}

same_text() { [[ $1 == "$2" ]] || wrong "got <$1>, want <$2>"; }
