# Copyright The ttrpc Authors.
# SPDX-License-Identifier: Apache-2.0

# The commands are in .ci/run, which continuous integration runs as a whole.

steps := lint budget vet-cross lowest-go generate check-generate demo fuzz soak nested test

.PHONY: ci $(steps) containerd reliability seeded

ci: ; .ci/run

$(steps): ; .ci/run $@

# What takes too long for continuous integration: see RELIABILITY.md.

containerd: ; integration/containerd/run.sh

reliability: ; go -C integration/reliability run .

seeded: ; go -C internal/seeded run .
