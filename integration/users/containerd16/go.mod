module github.com/containerd/ttrpc/integration/users/containerd16

go 1.25.0

require (
	github.com/containerd/containerd v1.6.36
	github.com/containerd/ttrpc v1.1.2
	github.com/containerd/typeurl v1.0.2
	github.com/gogo/protobuf v1.3.2
	google.golang.org/grpc v1.83.2
)

require (
	github.com/containerd/ttrpc/integration/users/stubs v0.0.0
	github.com/opencontainers/go-digest v1.0.0 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	golang.org/x/sys v0.47.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260526163538-3dc84a4a5aaa // indirect
	google.golang.org/protobuf v1.36.11 // indirect
)

replace github.com/containerd/ttrpc => ../../..

replace github.com/containerd/ttrpc/integration/users/stubs => ../stubs
