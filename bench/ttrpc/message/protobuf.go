// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !gogo && !vt

package message

import "google.golang.org/protobuf/types/known/wrapperspb"

// A Message has bytes.
type Message = wrapperspb.BytesValue
