// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package calls

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/containerd/ttrpc"
)

func TestMDGet(t *testing.T) {
	md := ttrpc.MD{"key": {"v1", "v2"}, "empty": {}, "nil": nil, "Upper": {"as sent"}}
	for key, want := range map[string][]string{
		"key": {"v1", "v2"}, "KEY": {"v1", "v2"}, "kEy": {"v1", "v2"},
		"absent": nil, "empty": nil, "nil": nil, "Upper": nil, "upper": nil,
	} {
		if got, ok := md.Get(key); ok != (want != nil) || !reflect.DeepEqual(got, want) {
			t.Errorf("B34: Get(%q) returns %#v, %v; want %#v, %v", key, got, ok, want, want != nil)
		}
	}
	if got, ok := ttrpc.MD(nil).Get("key"); ok || got != nil {
		t.Errorf("B34: Get on a nil map returns %v, %v", got, ok)
	}
}

func TestMDChange(t *testing.T) {
	for name, test := range map[string]struct {
		change func(md ttrpc.MD)
		want   ttrpc.MD
	}{
		"Set":            {func(md ttrpc.MD) { md.Set("New", "a", "b") }, ttrpc.MD{"key": {"v"}, "new": {"a", "b"}}},
		"Set again":      {func(md ttrpc.MD) { md.Set("KEY", "a") }, ttrpc.MD{"key": {"a"}}},
		"Set nothing":    {func(md ttrpc.MD) { md.Set("KEY") }, ttrpc.MD{}},
		"Set absent":     {func(md ttrpc.MD) { md.Set("absent") }, ttrpc.MD{"key": {"v"}}},
		"Append":         {func(md ttrpc.MD) { md.Append("KEY", "a", "b") }, ttrpc.MD{"key": {"v", "a", "b"}}},
		"Append new":     {func(md ttrpc.MD) { md.Append("New", "a") }, ttrpc.MD{"key": {"v"}, "new": {"a"}}},
		"Append nothing": {func(md ttrpc.MD) { md.Append("new") }, ttrpc.MD{"key": {"v"}}},
	} {
		md := ttrpc.MD{"key": {"v"}}
		if test.change(md); !reflect.DeepEqual(md, test.want) {
			t.Errorf("B34: after %s the map is %v, want %v", name, md, test.want)
		}
	}
}

func TestMDSetKeepsNoSlice(t *testing.T) {
	values, md := []string{"a", "b"}, ttrpc.MD{}
	md.Set("k", values...)
	values[0] = "changed"
	if got, _ := md.Get("k"); got[0] != "a" {
		t.Errorf("B34: the map has the caller's slice: %v", got)
	}
}

func TestMDClone(t *testing.T) {
	if got := ttrpc.MD(nil).Clone(); got != nil {
		t.Errorf("B34: the clone of nil is %#v", got)
	}
	if got := (ttrpc.MD{}).Clone(); got == nil || len(got) != 0 {
		t.Errorf("B34: the clone of an empty map is %#v", got)
	}
	md := ttrpc.MD{"k": append(make([]string, 0, 4), "v"), "Upper": {"w"}}
	clone := md.Clone()
	if !reflect.DeepEqual(clone, md) {
		t.Errorf("B34: the clone of %v is %v", md, clone)
	}
	clone.Append("k", "more")
	clone["Upper"][0] = "changed"
	clone.Set("new", "x")
	if want := (ttrpc.MD{"k": {"v"}, "Upper": {"w"}}); !reflect.DeepEqual(md, want) {
		t.Errorf("B34: the clone shares memory: after its change the map is %v, want %v", md, want)
	}
}

func TestMetadataContext(t *testing.T) {
	if md, ok := ttrpc.GetMetadata(t.Context()); ok || md != nil {
		t.Errorf("a bare context has metadata: %v", md)
	}
	md := ttrpc.MD{"k": {"v1", "v2"}, "empty": nil}
	ctx := ttrpc.WithMetadata(t.Context(), md)
	if got, ok := ttrpc.GetMetadata(ctx); !ok || !reflect.DeepEqual(got, md) {
		t.Errorf("GetMetadata returns %v, %v; want %v", got, ok, md)
	}
	for name, want := range map[string]string{"k": "v1", "K": "v1", "empty": "", "absent": ""} {
		if got, ok := ttrpc.GetMetadataValue(ctx, name); got != want || ok != (want != "") {
			t.Errorf("B34: GetMetadataValue(%q) returns %q, %v; want %q", name, got, ok, want)
		}
	}
	if got, ok := ttrpc.GetMetadata(ttrpc.WithMetadata(ctx, ttrpc.MD{"other": {"x"}})); !ok || !reflect.DeepEqual(got, ttrpc.MD{"other": {"x"}}) {
		t.Errorf("metadata does not replace that of the context before: %v", got)
	}
	if _, ok := ttrpc.GetMetadataValue(t.Context(), "k"); ok {
		t.Error("a bare context has a value")
	}
}

// TestMetadataOnTheWire follows metadata from the caller to the handler.
func TestMetadataOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got ttrpc.MD
		var ok bool
		client := fakeCalls(t, func(ctx context.Context, _ func(any) error) (any, error) {
			got, ok = ttrpc.GetMetadata(ctx)
			got = got.Clone()
			return new(emptypb.Empty), nil
		})
		sent := ttrpc.MD{"k": {"v2", "v1", "v2"}, "Upper": {"a"}, "upper": {"b"}, "": {"no key"}, "none": nil, "e": {""}}
		before := sent.Clone()
		ctx := ttrpc.WithMetadata(t.Context(), sent)
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
	synctest.Test(t, func(t *testing.T) {
		var sent []*ttrpc.KeyValue
		client := fakeCalls(t, func(context.Context, func(any) error) (any, error) { return new(emptypb.Empty), nil },
			ttrpc.WithUnaryClientInterceptor(func(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, _ *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
				sent = req.Metadata
				return invoke(ctx, req, resp)
			}))
		for _, test := range []struct {
			md   ttrpc.MD
			want []string
		}{
			{ttrpc.MD{"b": {"2", "1", "2"}, "a": {"x"}, "C": {"y"}}, []string{"C=y", "a=x", "b=2", "b=1", "b=2"}},
			{ttrpc.MD{}, nil},
			{nil, nil},
		} {
			fakeCall(t, ttrpc.WithMetadata(t.Context(), test.md), client)
			var got []string
			for _, kv := range sent {
				got = append(got, kv.Key+"="+kv.Value)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("B34: on the wire the metadata is %v, want %v", got, test.want)
			}
		}
	})
}
