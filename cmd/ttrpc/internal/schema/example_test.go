// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"context"
	"fmt"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
)

func ExampleFlags_Open() {
	s, err := new(schema.Flags).Open(context.Background(), nil) // without a server: what is built in
	if err != nil {
		fmt.Println(err)
		return
	}
	method, err := s.Method(context.Background(), "containerd.task.v2.Task/State")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(method.Input().FullName(), method.IsStreamingServer())
	// Output: containerd.task.v2.StateRequest false
}
