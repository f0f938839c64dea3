module github.com/containerd/ttrpc/cmd/ttrpc

go 1.25.0

require (
	github.com/bufbuild/protocompile v0.14.1
	github.com/containerd/ttrpc v0.0.0
	github.com/spf13/cobra v1.10.2
	golang.org/x/term v0.45.0
	google.golang.org/grpc v1.84.0
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/spf13/pflag v1.0.9 // indirect
	golang.org/x/net v0.58.0 // indirect
	golang.org/x/sync v0.22.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260825221802-da73d73af1c5 // indirect
)

replace (
	github.com/containerd/ttrpc => ../..
	github.com/containerd/ttrpc/grpcttrpc => ../../grpcttrpc
)
