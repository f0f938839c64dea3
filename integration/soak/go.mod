module github.com/containerd/ttrpc/integration/soak

go 1.25.0

require (
	github.com/containerd/ttrpc v0.0.0
	github.com/prometheus/client_golang v1.22.0
	go.opentelemetry.io/otel/sdk v1.44.0
	go.opentelemetry.io/otel/sdk/metric v1.44.0
	google.golang.org/grpc v1.84.0
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/go-logr/logr v1.4.3 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/prometheus/client_model v0.6.1 // indirect
	github.com/prometheus/common v0.62.0 // indirect
	github.com/prometheus/procfs v0.15.1 // indirect
	go.opentelemetry.io/auto/sdk v1.2.1 // indirect
	go.opentelemetry.io/otel v1.44.0 // indirect
	go.opentelemetry.io/otel/metric v1.44.0 // indirect
	go.opentelemetry.io/otel/trace v1.44.0 // indirect
)

require (
	github.com/containerd/ttrpc/ttrpcotel v0.0.0
	github.com/containerd/ttrpc/ttrpcotel/ttrpcprom v0.0.0
	golang.org/x/sys v0.47.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260825221802-da73d73af1c5 // indirect
)

replace github.com/containerd/ttrpc => ../..

replace github.com/containerd/ttrpc/ttrpcotel => ../../ttrpcotel

replace github.com/containerd/ttrpc/ttrpcotel/ttrpcprom => ../../ttrpcotel/ttrpcprom
