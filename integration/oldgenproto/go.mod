module github.com/containerd/ttrpc/integration/oldgenproto

go 1.25.0

require (
	github.com/containerd/ttrpc v0.0.0
	google.golang.org/grpc v1.64.1
	google.golang.org/protobuf v1.36.9
)

require (
	golang.org/x/sys v0.21.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20240318140521-94a12d6c2237 // indirect
)

replace github.com/containerd/ttrpc => ../..
