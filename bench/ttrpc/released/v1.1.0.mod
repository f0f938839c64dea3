module github.com/containerd/ttrpc/bench/ttrpc

go 1.25.0

require (
	github.com/containerd/ttrpc v1.1.0
	github.com/containerd/ttrpc/bench/measure v0.0.0
	github.com/gogo/protobuf v1.3.2
	github.com/golang/protobuf v1.5.0
	golang.org/x/sys v0.21.0
	google.golang.org/grpc v1.27.1
)

require (
	github.com/sirupsen/logrus v1.8.1 // indirect
	google.golang.org/genproto v0.0.0-20200224152610-e50cd9704f63 // indirect
)

replace (
	github.com/containerd/ttrpc/bench/measure => ../measure
	github.com/golang/protobuf => github.com/golang/protobuf v1.3.5
)
