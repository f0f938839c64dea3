# shellcheck shell=bash
# Copyright The ttrpc Authors.
# SPDX-License-Identifier: Apache-2.0

# The module's own tests of the packages that import ttrpc.

# cannot lists the packages whose tests want more than a machine, and why.
declare -A cannot=(
	[integration]="its TestMain wants a daemon with the CRI plugin, CNI plugins and images of public registries"
	[integration/client]="they run containers, see below"
)

# importers prints the packages of containerd that import ttrpc themselves, and
# "tests" behind those that have any.
importers() {
	go -C "$src" list -f '{{.ImportPath}} {{if or .TestGoFiles .XTestGoFiles}}tests{{end}} {{.Imports}} {{.TestImports}} {{.XTestImports}}' ./... |
		grep -E '[[ ]github.com/containerd/ttrpc[] ]' | cut -d' ' -f1,2 | sed "s#^$module/##"
}

# outcomes VERSION PACKAGE... runs tests and prints how each ended, sorted. Each
# time is a process of its own, for not all of them can run twice in one.
outcomes() {
	local version=$1 n
	shift
	for ((n = 0; n < TIMES; n++)); do
		# A package that does not build has no outcome, and so is missing.
		with "$version" test -json -count=1 -timeout 10m "${@/#/./}" >>"$run/$version.json" 2>>"$run/$version.stderr" || true
	done
	ends "$version"
}

# ends VERSION prints how each test in the version's JSON ended, sorted.
ends() {
	sed -nE 's/^.*"Action":"(pass|fail|skip)","Package":"([^"]*)"(,"Test":"([^"]*)")?.*$/\2 \4 \1/p' "$run/$1.json" |
		sed "s#^$module/##" | sort
}

# count FILE PACKAGE prints how many tests of a package ended in which way.
count() {
	awk -v package="$2" '
	$1 == package && NF == 3 { n[$3]++ }
	$1 == package && NF == 2 { ended = $2 }
	END { printf "%s%d passed, %d failed, %d skipped", ended == "" ? "did not end; " : "", n["pass"], n["fail"], n["skip"] }' "$1"
}

units() {
	local package has version found=() run_these=()
	while read -r package has; do
		found+=("$package")
		if [[ -z $has ]]; then continue; fi
		if [[ -n ${cannot[$package]:-} ]]; then
			note "The tests of $package were not run: ${cannot[$package]}."
		else
			run_these+=("$package")
		fi
	done < <(importers)
	((${#run_these[@]})) || die "found no package with tests that imports ttrpc"
	note "${#found[@]} packages of $module import ttrpc: ${found[*]}; ${#run_these[@]} of them have tests that run anywhere."
	for version in "${versions[@]}"; do
		outcomes "$version" "${run_these[@]}" >"$run/tests-$version"
	done
	for package in "${run_these[@]}"; do compare "$package" "tests of $package" "$TIMES"; done
}

# compare PACKAGE NAME TIMES records a package's tests.
compare() {
	local package=$1 list
	list=$(worse "$package")
	record "$2" "$3" released released "$(count "$run/tests-released" "$package")"
	record "$2" "$3" ours ours "${list:+WORSE: ${list//$'\n'/, }; }$(count "$run/tests-ours" "$package")"
}

# worse PACKAGE prints the tests that failed with ours and not with the release, or
# did not even run.
worse() {
	comm -13 <(bad released "$1") <(bad ours "$1")
	comm -23 <(names released "$1") <(names ours "$1")
}

# names VERSION PACKAGE prints a package's tests, bad those that failed.
names() { awk -v package="$2" '$1 == package { print NF == 3 ? $2 : "(package)" }' "$run/tests-$1" | sort -u; }
bad() { awk -v package="$2" '$1 == package && $NF == "fail" { print NF == 3 ? $2 : "(package)" }' "$run/tests-$1" | sort -u; }
