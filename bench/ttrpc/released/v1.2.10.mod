module github.com/containerd/ttrpc/bench/ttrpc

go 1.25.0

require (
	github.com/containerd/ttrpc v1.2.10
	github.com/containerd/ttrpc/bench/measure v0.0.0
	github.com/gogo/protobuf v1.3.2
	github.com/planetscale/vtprotobuf v0.6.1-0.20240319094008-0393e58bdf10
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/containerd/log v0.1.0 // indirect
	github.com/sirupsen/logrus v1.9.4 // indirect
	golang.org/x/sys v0.46.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260226221140-a57be14db171 // indirect
	google.golang.org/grpc v1.81.1 // indirect
)

replace github.com/containerd/ttrpc/bench/measure => ../measure

tool (
	github.com/planetscale/vtprotobuf/cmd/protoc-gen-go-vtproto
	google.golang.org/protobuf/cmd/protoc-gen-go
)
