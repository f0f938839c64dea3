// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"reflect"
	"testing"
)

// TestMD holds what the methods of metadata do with keys of any case and without values.
func TestMD(t *testing.T) {
	m := MD{}
	m.Append("none")
	m.Set("None")
	if len(m) != 0 {
		t.Errorf("B34: without values there is %v", m)
	}
	values := []string{"1", "2"}
	m.Set("Key", values...)
	values[0] = "changed"
	m.Append("KEY", "3")
	m.Append("other", "4")
	if want := (MD{"key": {"1", "2", "3"}, "other": {"4"}}); !reflect.DeepEqual(m, want) {
		t.Errorf("B34: %v, want %v", m, want)
	}
	if got, ok := m.Get("kEY"); !ok || len(got) != 3 {
		t.Errorf("B34: Get: %v, %v", got, ok)
	}
	m.Set("Other")
	if got, ok := m.Get("other"); ok || got != nil || len(m) != 1 {
		t.Errorf("B34: %v is left", m)
	}
	c := m.Clone()
	c["key"][0], c["more"] = "x", nil
	if m["key"][0] != "1" || len(m) != 1 || MD(nil).Clone() != nil {
		t.Errorf("B34: a change of the clone is one of %v", m)
	}
	ctx := WithMetadata(t.Context(), m)
	if got, ok := GetMetadata(ctx); !ok || !reflect.DeepEqual(got, m) {
		t.Errorf("B34: %v, %v from the context", got, ok)
	}
	if got, ok := GetMetadata(context.Background()); ok || got != nil {
		t.Errorf("B34: %v, %v from a context without", got, ok)
	}
	if v, ok := GetMetadataValue(ctx, "Key"); !ok || v != "1" {
		t.Errorf("B34: %q, %v", v, ok)
	}
	if v, ok := GetMetadataValue(ctx, "other"); ok || v != "" {
		t.Errorf("B34: %q, %v of a key that is not there", v, ok)
	}
}
