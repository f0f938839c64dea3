module github.com/containerd/ttrpc

go 1.23.0

require (
	golang.org/x/sys v0.21.0
	google.golang.org/genproto/googleapis/rpc v0.0.0-20240318140521-94a12d6c2237
	google.golang.org/grpc v1.64.1
	google.golang.org/protobuf v1.36.9
)
