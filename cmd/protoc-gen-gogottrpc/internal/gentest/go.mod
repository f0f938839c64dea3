module github.com/containerd/ttrpc/cmd/protoc-gen-gogottrpc/internal/gentest

go 1.25.0

require (
	github.com/containerd/ttrpc v0.0.0
	github.com/gogo/protobuf v1.3.2
)

require (
	github.com/containerd/ttrpc/cmd/protoc-gen-gogottrpc v0.0.0 // indirect
	golang.org/x/sys v0.21.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20240318140521-94a12d6c2237 // indirect
	google.golang.org/grpc v1.64.1 // indirect
	google.golang.org/protobuf v1.36.9 // indirect
)

tool github.com/containerd/ttrpc/cmd/protoc-gen-gogottrpc

replace (
	github.com/containerd/ttrpc => ../../../..
	github.com/containerd/ttrpc/cmd/protoc-gen-gogottrpc => ../..
)
