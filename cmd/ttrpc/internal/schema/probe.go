// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// noMethod is a name that no method can have.
const noMethod = "-"

// Probe returns those of the services that are described here, by flags or built in, which a
// server has that does not serve reflection. It calls a method of each that cannot exist:
// servers in Go tell whether it is the service that they do not have, or the method. told says
// whether the server is one that tells. The error is that of the connection.
func (s *Schema) Probe(ctx context.Context, client *ttrpc.Client) (names []string, told bool, err error) {
	all := slices.Concat(s.given.services(), builtin().services())
	slices.Sort(all)
	for _, service := range slices.Compact(all) {
		err := client.Call(ctx, service, noMethod, new(ttrpc.RawMessage), new(ttrpc.RawMessage))
		if errors.Is(err, ttrpc.ErrClosed) || ctx.Err() != nil {
			return names, told, err
		}
		st := status.Convert(err)
		if st.Code() != codes.Unimplemented {
			continue
		}
		switch st.Message() {
		case "method " + noMethod:
			names, told = append(names, service), true
		case "service " + service:
			told = true
		}
	}
	return names, told, nil
}
