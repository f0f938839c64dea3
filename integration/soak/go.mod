module github.com/containerd/ttrpc/integration/soak

go 1.25.0

require (
	github.com/containerd/ttrpc v0.0.0
	google.golang.org/grpc v1.83.2
	google.golang.org/protobuf v1.36.11
)

require (
	golang.org/x/sys v0.47.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260526163538-3dc84a4a5aaa // indirect
)

replace github.com/containerd/ttrpc => ../..
