// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package reflectionpb has the messages of gRPC's reflection service, registered under names of their own.
package reflectionpb
