module github.com/containerd/ttrpc/integration/grpc

go 1.25.0

require (
	github.com/containerd/ttrpc v0.0.0
	github.com/containerd/ttrpc/brpc v0.0.0
	github.com/containerd/ttrpc/grpcttrpc v0.0.0
	github.com/containerd/ttrpc/transport/quic v0.0.0
	github.com/containerd/ttrpc/transport/websocket v0.0.0
	github.com/fullstorydev/grpchan v1.1.2
	github.com/jhump/protoreflect v1.18.1
	github.com/quic-go/quic-go v0.61.0
	google.golang.org/grpc v1.84.0
	google.golang.org/protobuf v1.36.12
)

require (
	cloud.google.com/go/compute/metadata v0.9.0 // indirect
	github.com/cncf/xds/go v0.0.0-20260202195803-dba9d589def2 // indirect
	github.com/coder/websocket v1.8.15 // indirect
	github.com/envoyproxy/protoc-gen-validate v1.3.3 // indirect
	github.com/golang/protobuf v1.5.4 // indirect
	github.com/jhump/protoreflect/v2 v2.0.0-beta.1 // indirect
	golang.org/x/crypto v0.55.0 // indirect
	golang.org/x/net v0.58.0 // indirect
	golang.org/x/oauth2 v0.36.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	golang.org/x/text v0.41.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260825221802-da73d73af1c5 // indirect
)

replace (
	github.com/containerd/ttrpc => ../..
	github.com/containerd/ttrpc/brpc => ../../brpc
	github.com/containerd/ttrpc/grpcttrpc => ../../grpcttrpc
	github.com/containerd/ttrpc/transport/quic => ../../transport/quic
	github.com/containerd/ttrpc/transport/websocket => ../../transport/websocket
)
