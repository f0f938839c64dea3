// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build gogo

package message

import "github.com/gogo/protobuf/types"

// A Message has bytes.
type Message = types.BytesValue
