module github.com/containerd/ttrpc/integration/messages

go 1.25.0

require github.com/golang/protobuf v1.3.5
