// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"google.golang.org/grpc/metadata"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc/internal/meta"
)

// acceptEncoding is what an end says that its peer may compress with. It holds for one hop:
// the bridge's own ends say their own, or nothing.
const acceptEncoding = "grpc-accept-encoding"

// toTTRPC returns metadata that has come from gRPC as it is sent by ttrpc.
func toTTRPC(md metadata.MD) (ttrpc.MD, error) {
	if md[acceptEncoding] != nil {
		md = md.Copy()
		delete(md, acceptEncoding)
	}
	return meta.Outgoing(md)
}

// toGRPC returns metadata that has come from ttrpc as gRPC's.
func toGRPC(md ttrpc.MD) (metadata.MD, error) {
	got, err := meta.Incoming(md)
	delete(got, acceptEncoding)
	return got, err
}
