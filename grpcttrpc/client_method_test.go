// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc

import (
	"testing"

	"google.golang.org/grpc"
)

// TestJoinOptions holds that calls do not write their options behind those of all calls, where another
// call reads its own.
func TestJoinOptions(t *testing.T) {
	defaults := make([]grpc.CallOption, 1, 4)
	joined := joinOptions(defaults, []grpc.CallOption{grpc.StaticMethod()})
	if len(joined) != 2 || joined[1] == nil || defaults[:2][1] != nil {
		t.Errorf("B128: the options of a call are %v, and behind those of all calls is %v", joined, defaults[:2][1])
	}
}
