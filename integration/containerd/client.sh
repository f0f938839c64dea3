# shellcheck shell=bash
# Copyright The ttrpc Authors.
# SPDX-License-Identifier: Apache-2.0

# containerd's own tests of its client, which start a daemon and run containers.
# They get namespaces of their own: what they leave ends with these. Their images
# come from a registry on this machine that serves ours under every name, so some
# tests, which want another image, fail with the release too.

client=integration/client

# hangs are the tests that never end with these images, whatever the ttrpc.
hangs='^TestBindLowPort'

# client_tests compares them for both versions. What they print stays in $cache.
client_tests() {
	local version registry
	if [[ ! -e $run/containers-run ]]; then
		note "The tests of $client were not run: they run containers."
		return
	fi
	rm -f "$cache"/client-*.log
	go -C "$repo" build -o "$run/registry" ./integration/containerd/registry
	mkfifo "$run/port"
	"$run/registry" "$run/image/oci" >"$run/port" 9>&- &
	registry=$!
	redirect "$(head -n 1 "$run/port")"
	for version in "${versions[@]}"; do
		with "$version" test -c -overlay "$run/overlay.json" -o "$run/bin/$version/client.test" "./$client"
		client_run "$version"
	done
	local what="containerd's tests of its client, with its daemon, shims and containers" again
	again=$(worse "$client" | grep -v '^(package)$' | paste -sd'|' || true)
	for version in "${versions[@]}"; do
		record "$what" 1 "$version" "$version" "$(count "$run/tests-$version" "$client")"
	done
	if [[ -n $again ]]; then
		# Some fail now and then with either.
		for version in "${versions[@]}"; do client_run "$version" -test.count=5 -test.run="^($again)\$"; done
		compare "$client" "those of them that failed with ours alone, again: ${again//|/, }" 5
	fi
	kill "$registry"
}

# client_run VERSION ARGS... runs the tests and tells how each ended.
client_run() {
	local version=$1
	isolated "$@" >"$run/client-$version.log" 2>&1 || true
	cat "$run/client-$version.log" >>"$cache/client-$version.log"
	go tool test2json -p "$client" <"$run/client-$version.log" >"$run/$version.json"
	ends "$version" >"$run/tests-$version"
}

# redirect PORT makes an overlay in which the tests' images come from the port.
redirect() {
	local list=$src/integration/images/image_list.go
	sed -E "s#\"(ghcr.io|registry.k8s.io)/#\"localhost:$1/#" "$list" >"$run/images.go"
	printf '{"Replace":{"%s":"%s"}}' "$list" "$run/images.go" >"$run/overlay.json"
}

# isolated VERSION ARGS... runs the tests with the daemon and shims of a version,
# where /run, /opt and /var/lib are empty and all processes end with the tests.
isolated() {
	# shellcheck disable=SC2016 # the inner shell expands this
	PATH=$run/bin/$1:$PATH hangs=$hangs limit 600 unshare --mount --pid --fork --kill-child --mount-proc sh -euc '
		for dir in /run /opt /var/lib; do mount -t tmpfs tmpfs $dir; done
		mkdir /run/tmp
		export TMPDIR=/run/tmp
		cd "$1"
		shift
		"$@" -test.root -test.v=test2json -test.skip "$hangs" -test.timeout 9m -no-criu || exit # and reaps orphans
	' - "$src/$client" "$run/bin/$1/client.test" "${@:2}" 9>&-
	find /sys/fs/cgroup -depth -type d -path '*/testing*' -exec rmdir {} \; 2>/dev/null || true
}
