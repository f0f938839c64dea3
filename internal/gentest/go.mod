module github.com/containerd/ttrpc/internal/gentest

go 1.23.0

require (
	github.com/bufbuild/protocompile v0.14.1
	github.com/containerd/ttrpc v0.0.0
	google.golang.org/protobuf v1.36.9
)

require (
	golang.org/x/sync v0.8.0 // indirect
	golang.org/x/sys v0.21.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20240318140521-94a12d6c2237 // indirect
	google.golang.org/grpc v1.64.1 // indirect
)

replace github.com/containerd/ttrpc => ../..
