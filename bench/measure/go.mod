module github.com/containerd/ttrpc/bench/measure

go 1.25.0
