module github.com/containerd/ttrpc/conformance

go 1.25.0

require (
	github.com/containerd/ttrpc v0.0.0
	google.golang.org/protobuf v1.36.12
)

require (
	golang.org/x/sys v0.47.0
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260526163538-3dc84a4a5aaa // indirect
	google.golang.org/grpc v1.83.2 // indirect
)

replace github.com/containerd/ttrpc => ..
