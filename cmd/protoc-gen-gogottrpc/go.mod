module github.com/containerd/ttrpc/cmd/protoc-gen-gogottrpc

go 1.25.0

require github.com/gogo/protobuf v1.3.2
