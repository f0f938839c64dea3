module github.com/containerd/ttrpc/integration/compat

go 1.23.0

require (
	github.com/containerd/ttrpc v1.2.2
	golang.org/x/sys v0.21.0
	google.golang.org/grpc v1.64.1
	google.golang.org/protobuf v1.36.9
)

require (
	github.com/sirupsen/logrus v1.8.1 // indirect
	google.golang.org/genproto v0.0.0-20240227224415-6ceb2ff114de // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20240318140521-94a12d6c2237 // indirect
)
