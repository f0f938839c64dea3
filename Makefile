# Copyright The ttrpc Authors.
# SPDX-License-Identifier: Apache-2.0

# The commands are in .ci/run, which continuous integration runs as a whole.

steps := lint budget vet-cross lowest-go generate check-generate demo fuzz soak nested test test-386 thorough

.PHONY: ci $(steps) bench dist containerd containerd-tools containerd-versions programs proof reliability seeded mutants soak-hour soak-grpc

ci: ; .ci/run

$(steps): ; .ci/run $@

# Measures for 25 minutes, on a machine that should do nothing else.
bench: ; go -C bench run .

# Binaries of the command ttrpc for all systems, in dist/. VERSION=v1.3.0 says which version.
dist: ; cmd/ttrpc/dist.sh

# What takes too long for continuous integration: see RELIABILITY.md.

containerd: ; integration/containerd/run.sh

# The command ttrpc with containerd and a container; transcripts go to docs/transcripts.
containerd-tools: ; RELEASE=v1.2.10 TRANSCRIPTS=$(CURDIR)/docs/transcripts integration/containerd/run.sh tools

containerd-versions:
	for version in v1.7.35 v2.2.9 v2.4.2 nri@v0.12.5; do \
		CONTAINERD=$$version integration/containerd/run.sh units || exit; \
	done

programs: ; TTRPC_TIMES=200 go test -race -timeout 60m -run TestPrograms .

reliability: ; go -C integration/reliability run .

seeded: ; go -C internal/seeded run .

# A quarter of an hour of an idle machine for two hundred: make mutants N=100 SEED=7
mutants: ; go -C internal/seeded run . -random $(or $(N),200) -seed $(or $(SEED),1)

soak-hour: ; go -C integration/soak run . -for 1h

# Ten minutes, or more on a busy machine.
soak-grpc: ; TTRPC_TIMES=60 go -C integration/grpc test -v -timeout 60m -run TestSoak .

# All that RELIABILITY.md tells of, but for minutes of fuzzing: some two hours.
proof: ci reliability programs seeded containerd containerd-versions soak-hour soak-grpc
