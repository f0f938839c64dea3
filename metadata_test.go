// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/types/known/emptypb"
)

func TestMDGet(t *testing.T) {
	md := MD{"key": {"v1", "v2"}, "empty": {}, "nil": nil, "Upper": {"as sent"}}
	for key, want := range map[string][]string{
		"key": {"v1", "v2"}, "KEY": {"v1", "v2"}, "kEy": {"v1", "v2"},
		"absent": nil, "empty": nil, "nil": nil, "Upper": nil, "upper": nil,
	} {
		if got, ok := md.Get(key); ok != (want != nil) || !reflect.DeepEqual(got, want) {
			t.Errorf("B34: Get(%q) returns %#v, %v; want %#v, %v", key, got, ok, want, want != nil)
		}
	}
	if got, ok := MD(nil).Get("key"); ok || got != nil {
		t.Errorf("B34: Get on a nil map returns %v, %v", got, ok)
	}
}

func TestMDChange(t *testing.T) {
	for name, test := range map[string]struct {
		change func(md MD)
		want   MD
	}{
		"Set":            {func(md MD) { md.Set("New", "a", "b") }, MD{"key": {"v"}, "new": {"a", "b"}}},
		"Set again":      {func(md MD) { md.Set("KEY", "a") }, MD{"key": {"a"}}},
		"Set nothing":    {func(md MD) { md.Set("KEY") }, MD{}},
		"Set absent":     {func(md MD) { md.Set("absent") }, MD{"key": {"v"}}},
		"Append":         {func(md MD) { md.Append("KEY", "a", "b") }, MD{"key": {"v", "a", "b"}}},
		"Append new":     {func(md MD) { md.Append("New", "a") }, MD{"key": {"v"}, "new": {"a"}}},
		"Append nothing": {func(md MD) { md.Append("new") }, MD{"key": {"v"}}},
	} {
		md := MD{"key": {"v"}}
		if test.change(md); !reflect.DeepEqual(md, test.want) {
			t.Errorf("B34: after %s the map is %v, want %v", name, md, test.want)
		}
	}
}

func TestMDSetKeepsNoSlice(t *testing.T) {
	values, md := []string{"a", "b"}, MD{}
	md.Set("k", values...)
	values[0] = "changed"
	if got, _ := md.Get("k"); got[0] != "a" {
		t.Errorf("B34: the map has the caller's slice: %v", got)
	}
}

func TestMDClone(t *testing.T) {
	if got := MD(nil).Clone(); got != nil {
		t.Errorf("B34: the clone of nil is %#v", got)
	}
	if got := (MD{}).Clone(); got == nil || len(got) != 0 {
		t.Errorf("B34: the clone of an empty map is %#v", got)
	}
	md := MD{"k": append(make([]string, 0, 4), "v"), "Upper": {"w"}}
	clone := md.Clone()
	if !reflect.DeepEqual(clone, md) {
		t.Errorf("B34: the clone of %v is %v", md, clone)
	}
	clone.Append("k", "more")
	clone["Upper"][0] = "changed"
	clone.Set("new", "x")
	if want := (MD{"k": {"v"}, "Upper": {"w"}}); !reflect.DeepEqual(md, want) {
		t.Errorf("B34: the clone shares memory: after its change the map is %v, want %v", md, want)
	}
}

func TestMetadataContext(t *testing.T) {
	if md, ok := GetMetadata(t.Context()); ok || md != nil {
		t.Errorf("a bare context has metadata: %v", md)
	}
	md := MD{"k": {"v1", "v2"}, "empty": nil}
	ctx := WithMetadata(t.Context(), md)
	if got, ok := GetMetadata(ctx); !ok || !reflect.DeepEqual(got, md) {
		t.Errorf("GetMetadata returns %v, %v; want %v", got, ok, md)
	}
	for name, want := range map[string]string{"k": "v1", "K": "v1", "empty": "", "absent": ""} {
		if got, ok := GetMetadataValue(ctx, name); got != want || ok != (want != "") {
			t.Errorf("B34: GetMetadataValue(%q) returns %q, %v; want %q", name, got, ok, want)
		}
	}
	if got, ok := GetMetadata(WithMetadata(ctx, MD{"other": {"x"}})); !ok || !reflect.DeepEqual(got, MD{"other": {"x"}}) {
		t.Errorf("metadata does not replace that of the context before: %v", got)
	}
	if _, ok := GetMetadataValue(t.Context(), "k"); ok {
		t.Error("a bare context has a value")
	}
}

// TestMetadataOnTheWire follows metadata from the caller to the handler.
func TestMetadataOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got MD
		var ok bool
		client := fakeCalls(t, func(ctx context.Context, _ func(any) error) (any, error) {
			got, ok = GetMetadata(ctx)
			got = got.Clone()
			return new(emptypb.Empty), nil
		})
		sent := MD{"k": {"v2", "v1", "v2"}, "Upper": {"a"}, "upper": {"b"}, "": {"no key"}, "none": nil, "e": {""}}
		before := sent.Clone()
		ctx := WithMetadata(t.Context(), sent)
		sent.Append("k", "later")
		fakeCall(t, ctx, client)
		want := before.Clone()
		delete(want, "none") // a key without values has no entry on the wire
		if !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("B34, B15: sent %v, the handler sees %v, want %v", before, got, want)
		}
		if before.Append("k", "later"); !reflect.DeepEqual(sent, before) {
			t.Errorf("B15: the caller's map is now %v, want %v", sent, before)
		}
		fakeCall(t, t.Context(), client)
		if ok {
			t.Errorf("a call without metadata arrives with %v", got)
		}
	})
}

// TestMetadataOrder holds what a peer sees: keys are sorted, values are not.
func TestMetadataOrder(t *testing.T) {
	kvs := keyValues(MD{"b": {"2", "1", "2"}, "a": {"x"}, "C": {"y"}})
	var got []string
	for _, kv := range kvs {
		got = append(got, kv.Key+"="+kv.Value)
	}
	if want := []string{"C=y", "a=x", "b=2", "b=1", "b=2"}; !reflect.DeepEqual(got, want) {
		t.Errorf("B34: on the wire the metadata is %v, want %v", got, want)
	}
	if keyValues(nil) != nil || keyValues(MD{}) != nil {
		t.Error("B34: no metadata becomes entries on the wire")
	}
}
