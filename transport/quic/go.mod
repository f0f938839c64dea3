module github.com/containerd/ttrpc/transport/quic

go 1.25.0

require (
	github.com/containerd/ttrpc v0.0.0
	github.com/quic-go/quic-go v0.61.0
	google.golang.org/protobuf v1.36.11
)

require (
	golang.org/x/crypto v0.55.0 // indirect
	golang.org/x/net v0.58.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260526163538-3dc84a4a5aaa // indirect
	google.golang.org/grpc v1.83.2 // indirect
)

replace github.com/containerd/ttrpc => ../..
