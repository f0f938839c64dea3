module github.com/containerd/ttrpc/cmd/protoc-gen-gogottrpc/internal/gentest

go 1.25.0

require (
	github.com/containerd/ttrpc v0.0.0
	github.com/gogo/protobuf v1.3.2
	google.golang.org/protobuf v1.36.11
)

require (
	github.com/containerd/ttrpc/cmd/protoc-gen-gogottrpc v0.0.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260526163538-3dc84a4a5aaa // indirect
	google.golang.org/grpc v1.83.2 // indirect
)

tool github.com/containerd/ttrpc/cmd/protoc-gen-gogottrpc

replace (
	github.com/containerd/ttrpc => ../../../..
	github.com/containerd/ttrpc/cmd/protoc-gen-gogottrpc => ../..
)
