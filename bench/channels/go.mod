module github.com/containerd/ttrpc/bench/channels

go 1.26.0

require (
	github.com/containerd/ttrpc v1.2.10
	github.com/containerd/ttrpc/bench/measure v0.0.0
	github.com/hashicorp/yamux v0.1.2
)

require (
	golang.org/x/sys v0.47.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260526163538-3dc84a4a5aaa // indirect
	google.golang.org/grpc v1.83.2 // indirect
	google.golang.org/protobuf v1.36.11 // indirect
)

replace (
	github.com/containerd/ttrpc => ../..
	github.com/containerd/ttrpc/bench/measure => ../measure
)
