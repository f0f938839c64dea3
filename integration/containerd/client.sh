# shellcheck shell=bash
# Copyright The ttrpc Authors.
# SPDX-License-Identifier: Apache-2.0

# containerd's own tests of its client, which start a daemon and run containers.
# They get namespaces of their own: what they leave ends with these. Their images
# come from a registry on this machine that serves ours under every name, so some
# tests, which want another image, fail with the release too.

client=integration/client

# client_tests compares them for both versions.
client_tests() {
	local version registry
	if [[ ! -e $run/containers-run ]]; then
		note "The tests of $client were not run: they run containers."
		return
	fi
	go -C "$repo" build -o "$run/registry" ./integration/containerd/registry
	mkfifo "$run/port"
	"$run/registry" "$run/image/oci" >"$run/port" 9>&- &
	registry=$!
	redirect "$(head -n 1 "$run/port")"
	for version in "${versions[@]}"; do
		with "$version" test -c -overlay "$run/overlay.json" -o "$run/bin/$version/client.test" "./$client"
		isolated "$version" >"$run/client-$version.log" 2>&1 || true
		go tool test2json -p "$client" <"$run/client-$version.log" >"$run/$version.json"
		ends "$version" >"$run/tests-$version"
	done
	kill "$registry"
	compare "$client" "containerd's tests of its client, with its daemon, shims and containers" 1
}

# redirect PORT makes an overlay in which the tests' images come from the port.
redirect() {
	local list=$src/integration/images/image_list.go
	sed -E "s#\"(ghcr.io|registry.k8s.io)/#\"localhost:$1/#" "$list" >"$run/images.go"
	printf '{"Replace":{"%s":"%s"}}' "$list" "$run/images.go" >"$run/overlay.json"
}

# isolated VERSION runs the tests with the daemon and shims of a version, where
# /run, /opt and /var/lib are empty and all processes end with the tests.
isolated() {
	# shellcheck disable=SC2016 # the inner shell expands this
	PATH=$run/bin/$1:$PATH limit 600 unshare --mount --pid --fork --kill-child --mount-proc sh -euc '
		for dir in /run /opt /var/lib; do mount -t tmpfs tmpfs $dir; done
		mkdir /run/tmp
		export TMPDIR=/run/tmp
		cd "$1"
		"$2" -test.root -test.v=test2json -test.timeout 9m -no-criu || exit # and reaps orphans
	' - "$src/$client" "$run/bin/$1/client.test" 9>&-
	find /sys/fs/cgroup -depth -type d -path '*/testing*' -exec rmdir {} \; 2>/dev/null || true
}
