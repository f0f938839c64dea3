module github.com/containerd/ttrpc/cmd/ttrpc

go 1.25.0

require (
	github.com/HdrHistogram/hdrhistogram-go v1.4.0
	github.com/Microsoft/go-winio v0.6.2
	github.com/bufbuild/protocompile v0.14.1
	github.com/containerd/ttrpc v0.0.0
	github.com/containerd/ttrpc/grpcttrpc v0.0.0-00010101000000-000000000000
	github.com/rogpeppe/go-internal v1.15.0
	github.com/spf13/cobra v1.10.2
	github.com/spf13/pflag v1.0.9
	golang.org/x/term v0.45.0
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260825221802-da73d73af1c5
	google.golang.org/grpc v1.84.0
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	golang.org/x/net v0.58.0 // indirect
	golang.org/x/sync v0.22.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	golang.org/x/text v0.41.0 // indirect
	golang.org/x/tools v0.48.0 // indirect
)

replace (
	github.com/containerd/ttrpc => ../..
	github.com/containerd/ttrpc/grpcttrpc => ../../grpcttrpc
)

tool google.golang.org/protobuf/cmd/protoc-gen-go
