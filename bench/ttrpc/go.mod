module github.com/containerd/ttrpc/bench/ttrpc

go 1.25.0

require (
	github.com/containerd/ttrpc v1.2.10
	github.com/containerd/ttrpc/bench/measure v0.0.0
	github.com/gogo/protobuf v1.3.2
	github.com/planetscale/vtprotobuf v0.6.1-0.20250313105119-ba97887b0a25
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260526163538-3dc84a4a5aaa
	google.golang.org/grpc v1.83.2
	google.golang.org/protobuf v1.36.12
)

require golang.org/x/sys v0.47.0 // indirect

replace (
	github.com/containerd/ttrpc => ../..
	github.com/containerd/ttrpc/bench/measure => ../measure
)

tool (
	github.com/planetscale/vtprotobuf/cmd/protoc-gen-go-vtproto
	google.golang.org/protobuf/cmd/protoc-gen-go
)
