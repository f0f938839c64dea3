// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"strings"
)

// MD is the metadata of a call: keys and, for each, values in their order.
//
// The methods fold the key that they are given to lower case. Keys that came
// over the wire stand in the map as the peer sent them. Like any map an MD
// must not be changed by one goroutine while another uses it.
type MD map[string][]string

// Get returns the values of key, or nil and false if there are none. The
// slice is the map's own.
func (m MD) Get(key string) ([]string, bool) {
	values := m[strings.ToLower(key)]
	if len(values) == 0 {
		return nil, false
	}
	return values, true
}

// Set replaces the values of key; without values it deletes the key.
func (m MD) Set(key string, values ...string) {
	key = strings.ToLower(key)
	if len(values) == 0 {
		delete(m, key)
		return
	}
	m[key] = append([]string(nil), values...)
}

// Append adds values to those of key.
func (m MD) Append(key string, values ...string) {
	if len(values) == 0 {
		return
	}
	key = strings.ToLower(key)
	m[key] = append(m[key], values...)
}

// Clone returns a deep copy; that of nil is nil.
func (m MD) Clone() MD {
	if m == nil {
		return nil
	}
	c := make(MD, len(m))
	for key, values := range m {
		c[key] = append([]string(nil), values...)
	}
	return c
}

type metadataKey struct{}

// GetMetadata returns the metadata of ctx: in a handler what the caller sent,
// elsewhere what WithMetadata attached. The map must not be changed; Clone it.
func GetMetadata(ctx context.Context) (MD, bool) {
	md, ok := ctx.Value(metadataKey{}).(MD)
	return md, ok
}

// GetMetadataValue returns the first value of name in the metadata of ctx.
func GetMetadataValue(ctx context.Context, name string) (string, bool) {
	md, _ := GetMetadata(ctx)
	values, ok := md.Get(name)
	if !ok {
		return "", false
	}
	return values[0], true
}

// WithMetadata returns a context whose calls and streams carry a copy of md,
// made now, in place of any metadata that ctx had.
func WithMetadata(ctx context.Context, md MD) context.Context {
	return context.WithValue(ctx, metadataKey{}, md.Clone())
}
