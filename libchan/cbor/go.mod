module github.com/containerd/ttrpc/libchan/cbor

go 1.25.0

require (
	github.com/containerd/ttrpc v0.0.0
	github.com/fxamacker/cbor/v2 v2.9.4
	google.golang.org/protobuf v1.36.11
)

require (
	github.com/x448/float16 v0.8.4 // indirect
	golang.org/x/sys v0.47.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260526163538-3dc84a4a5aaa // indirect
	google.golang.org/grpc v1.83.2 // indirect
)

replace github.com/containerd/ttrpc => ../..
