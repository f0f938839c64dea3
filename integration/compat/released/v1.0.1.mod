module github.com/containerd/ttrpc/integration/compat

go 1.23.0

require (
	github.com/containerd/ttrpc v1.0.1
	github.com/gogo/protobuf v1.3.2
	github.com/golang/protobuf v1.3.5
	golang.org/x/sys v0.21.0
	google.golang.org/grpc v1.26.0
)

require (
	github.com/pkg/errors v0.9.1 // indirect
	github.com/sirupsen/logrus v1.4.2 // indirect
	google.golang.org/genproto v0.0.0-20200117163144-32f20d992d24 // indirect
)

replace github.com/golang/protobuf => github.com/golang/protobuf v1.3.5
