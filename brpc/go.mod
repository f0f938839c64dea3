module github.com/containerd/ttrpc/brpc

go 1.25.0

require (
	github.com/containerd/ttrpc v0.0.0
	github.com/containerd/ttrpc/transport/quic v0.0.0
	github.com/quic-go/quic-go v0.61.0
	golang.org/x/net v0.58.0
	google.golang.org/grpc v1.84.0
	google.golang.org/protobuf v1.36.12
)

require (
	golang.org/x/crypto v0.55.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	golang.org/x/text v0.41.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260825221802-da73d73af1c5 // indirect
	google.golang.org/grpc/cmd/protoc-gen-go-grpc v1.6.2 // indirect
)

replace (
	github.com/containerd/ttrpc => ..
	github.com/containerd/ttrpc/transport/quic => ../transport/quic
)

tool (
	google.golang.org/grpc/cmd/protoc-gen-go-grpc
	google.golang.org/protobuf/cmd/protoc-gen-go
)
