// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package messages

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/containerd/ttrpc/integration/messages/gen/custom"
	"github.com/containerd/ttrpc/integration/messages/gen/customplain"
	"github.com/containerd/ttrpc/integration/messages/raw"
)

// TestCustom sends what gogo/protobuf makes of fields with Go types.
func TestCustom(t *testing.T) {
	c := connect(t, "messages.custom", echoService(func() any { return new(custom.Custom) }, nil))
	at := time.Date(2021, 3, 4, 5, 6, 7, 8, time.UTC)
	out := &custom.Custom{
		Time: at, MaybeTime: &at, Duration: time.Minute,
		Part: custom.Part{Name: "one"}, Parts: []custom.Part{{Name: "two"}, {}},
		Raw: raw.Raw("raw"),
	}
	in := &custom.Custom{Parts: []custom.Part{{Name: "old"}}, Raw: raw.Raw("old")}
	check := func(want *custom.Custom) {
		t.Helper()
		if in.String() != want.String() || !bytes.Equal(in.Raw, want.Raw) {
			t.Errorf("B44: decoded %v\nwant %v", in, want)
		}
	}
	if err := c.Call(context.Background(), "messages.custom", "Echo", out, in); err != nil {
		t.Fatal(err)
	}
	check(out)
	stream := openEcho(t, c, "messages.custom")
	exchange(t, stream, out, in)
	check(out)
	empty := &custom.Custom{Time: time.Unix(0, 0).UTC()}
	exchange(t, stream, empty, in)
	check(empty)
	finish(t, stream, in)
}

// TestCustomKeepsMemory has a custom type keep what it was decoded from while more
// messages arrive.
func TestCustomKeepsMemory(t *testing.T) {
	c := connect(t, "messages.custom", echoService(func() any { return new(custom.Custom) }, nil))
	stream := openEcho(t, c, "messages.custom")
	var kept []*custom.Custom
	for i := range 100 {
		content := bytes.Repeat([]byte{byte(i)}, 100)
		in, out := new(custom.Custom), &custom.Custom{Time: time.Unix(0, 0), Raw: content}
		if i%2 == 0 {
			exchange(t, stream, out, in)
		} else if err := c.Call(context.Background(), "messages.custom", "Echo", out, in); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, in)
	}
	for i, in := range kept {
		if want := bytes.Repeat([]byte{byte(i)}, 100); !bytes.Equal(in.Raw, want) {
			t.Fatalf("B44: message %d became %v", i, in.Raw)
		}
	}
	finish(t, stream, new(custom.Custom))
}

// TestCustomPlain sends the same where gogo/protobuf generated no methods for
// encoding: its own runtime has to do it, for no other knows these fields.
func TestCustomPlain(t *testing.T) {
	c := connect(t, "messages.custom", echoService(func() any { return new(customplain.Custom) }, nil))
	at := time.Date(2021, 3, 4, 5, 6, 7, 8, time.UTC)
	unix := time.Unix(0, 0).UTC()
	in := new(customplain.Custom)
	for _, out := range []*customplain.Custom{
		{Time: at},
		{Time: unix, MaybeTime: &at},
		{Time: unix, Duration: time.Minute},
		{Time: unix, Part: customplain.Part{Name: "one"}},
		{Time: unix, Parts: []customplain.Part{{Name: "two"}, {}}},
		{Time: unix, Raw: raw.Raw("raw")},
	} {
		err := c.Call(context.Background(), "messages.custom", "Echo", out, in)
		if err != nil || in.String() != out.String() || !bytes.Equal(in.Raw, out.Raw) {
			t.Errorf("B44: decoded %v, %v\nwant %v", in, err, out)
		}
	}
}
