# Copyright The ttrpc Authors.
# SPDX-License-Identifier: Apache-2.0

# The commands are in .ci/run, which continuous integration runs as a whole.

steps := lint budget vet-cross lowest-go generate check-generate demo fuzz nested test

.PHONY: ci $(steps)

ci: ; .ci/run

$(steps): ; .ci/run $@
