// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package healthpb has the messages of gRPC's health service, registered under names of their own.
package healthpb
