module github.com/containerd/ttrpc/conformance

go 1.25.0

require (
	github.com/containerd/ttrpc v0.0.0
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3
	golang.org/x/sys v0.47.0
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260825221802-da73d73af1c5
	google.golang.org/grpc v1.84.0
	google.golang.org/protobuf v1.36.12
)

require golang.org/x/text v0.41.0 // indirect

replace github.com/containerd/ttrpc => ..
