# shellcheck shell=bash
# Copyright The ttrpc Authors.
# SPDX-License-Identifier: Apache-2.0

# Results are lines of $run/results, of fields between tabs: what, how often,
# column (released or ours), label, outcome. An outcome that begins with FAILED
# is one; WORSE says that it did not fail with the release. A note is a line below
# the table.

record() {
	local IFS=$'\t'
	echo "$*" >>"$run/results"
}

note() { echo "- $*" | tee -a "$run/notes"; }

# table prints the rows, in the order in which they came. Its exit code tells
# whether anything failed with ours that did not fail with the release.
table() {
	awk -F '\t' '
	!($1 in often) { row[++rows] = $1; often[$1] = $2 }
	{
		key = $1 SUBSEP $3
		if (!(key in text)) text[key] = $5
		else if (text[key] != $5) differ[key] = 1
		all[key] = all[key] (all[key] ? "; " : "") $4 ": " $5
		count[key]++
		if ($5 ~ /^FAILED/) failed[key] = 1
		if ($5 ~ /^WORSE/) bad = 1
	}
	function cell(key) {
		if (!(key in text)) return "–"
		if (key in differ) return all[key]
		return text[key] (count[key] > 1 ? ", " count[key] " pairs" : "")
	}
	END {
		print "| what | how often | released | ours |"
		print "|---|---|---|---|"
		for (i = 1; i <= rows; i++) {
			r = row[i] SUBSEP "released"; o = row[i] SUBSEP "ours"
			printf "| %s | %s | %s | %s |\n", row[i], often[row[i]], cell(r), cell(o)
			if ((o in failed) && !(r in failed)) bad = 1
		}
		exit bad
	}' "$run/results"
}
