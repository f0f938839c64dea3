module github.com/containerd/ttrpc/integration/users/stubs

go 1.25.0

require github.com/containerd/ttrpc v1.1.2

require (
	golang.org/x/sys v0.21.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20240318140521-94a12d6c2237 // indirect
	google.golang.org/grpc v1.64.1 // indirect
	google.golang.org/protobuf v1.36.9 // indirect
)

replace github.com/containerd/ttrpc => ../../..
