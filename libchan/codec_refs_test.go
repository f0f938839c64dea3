// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A oddment travels beside messages of these tests.
type (
	oddment struct{ name string }
	thinger interface{ oddment() string }
)

func (t *oddment) oddment() string { return t.name }

var thingerType = reflect.TypeFor[thinger]()

// things is a table of them.
type things struct {
	list  []*oddment
	taken map[int]bool
}

func (*things) Carries(t reflect.Type) bool { return t.Implements(thingerType) }

func (r *things) Add(v reflect.Value) (int, bool, error) {
	th, ok := v.Interface().(*oddment)
	switch {
	case !ok || th == nil:
		return 0, false, nil
	case th.name == "stuck":
		return 0, false, errors.New("it is stuck")
	}
	r.list = append(r.list, th)
	return len(r.list) - 1, true, nil
}

func (r *things) Get(i int, t reflect.Type) (reflect.Value, error) {
	switch {
	case i >= len(r.list):
		return reflect.Value{}, fmt.Errorf("no oddment %d", i)
	case r.taken[i]:
		return reflect.Value{}, fmt.Errorf("oddment %d twice", i)
	}
	if r.taken == nil {
		r.taken = make(map[int]bool)
	}
	r.taken[i] = true
	return reflect.ValueOf(r.list[i]), nil // whatever t is: the codec looks
}

type wanted struct {
	P     *oddment
	I     thinger
	Any   any
	L     []*oddment
	M     map[string]thinger
	A     [2]any
	PP    **oddment
	Deep  *wanted
	Empty *oddment `libchan:",omitempty"`
	Plain string
	thingHolder
}

type thingHolder struct{ Held thinger }

func TestReferencesArrive(t *testing.T) {
	th := func(name string) *oddment { return &oddment{name} }
	v := wanted{P: th("p"), I: th("i"), Any: th("any"), L: []*oddment{th("l0"), nil, th("l2")}, M: map[string]thinger{"k": th("k"), "nil": nil},
		A: [2]any{th("a0"), map[string]any{"x": th("a1")}}, PP: ptr(th("pp")), Deep: &wanted{P: th("deep")}, Plain: "s",
		thingHolder: thingHolder{th("held")}}
	for _, c := range notations {
		refs := new(things)
		data, err := c.Marshal(nil, v, refs)
		must(t, err)
		if len(refs.list) != 11 {
			t.Errorf("L2: %s: %d things are in the table", c.Name(), len(refs.list))
		}
		var got wanted
		must(t, c.Unmarshal(data, &got, refs))
		if !reflect.DeepEqual(got, v) {
			t.Errorf("L2: %s: received %+v", c.Name(), got)
		}
		if len(refs.taken) != 11 {
			t.Errorf("L2: %s: %d things were taken", c.Name(), len(refs.taken))
		}
		var some struct{ Plain string } // the others are passed over
		must(t, c.Unmarshal(data, &some, &things{list: refs.list}))
		var all any
		must(t, c.Unmarshal(data, &all, &things{list: refs.list}))
		if m := all.(map[string]any); m["P"] != v.P || m["L"].([]any)[2] != v.L[2] || m["L"].([]any)[1] != nil || m["A"].([]any)[0] != v.A[0] {
			t.Errorf("L2: %s: received %v into an any", c.Name(), all)
		}
	}
}

// A reference where none fits, or that is none, is an error that names the field.
func TestReferencesThatDoNotFit(t *testing.T) {
	one := []*oddment{{"one"}}
	type m = map[string]any
	tests := []struct {
		v    any
		into any
		want string
	}{
		{m{"A": Ref(0)}, new(struct{ A int }), ".A: a reference to what travels beside the message where a whole number is wanted"},
		{m{"A": Ref(0)}, new(struct{ A string }), ".A: a reference to what travels beside the message where a string is wanted"},
		{m{"A": Ref(0)}, new(struct{ A []byte }), ".A: a reference"},
		{m{"A": Ref(0)}, new(struct{ A []int }), ".A: a reference"},
		{m{"A": Ref(0)}, new(struct{ A map[string]any }), ".A: a reference"},
		{m{"A": Ref(0)}, new(struct{ A struct{} }), ".A: a reference"},
		{m{"A": Ref(0)}, new(struct{ A error }), ".A: a reference to what travels beside the message where error is wanted"},
		{m{"A": Ref(0)}, new(struct{ A level }), ".A: a reference"},
		{m{"A": Ref(0)}, new(struct{ A *otherThing }), ".A: what travels beside the message cannot be *libchan.otherThing"},
		{m{"A": Ref(1)}, new(struct{ A *oddment }), ".A: no oddment 1"},
		{m{"A": Ref(1 << 30)}, new(struct{ A any }), ".A: no oddment 1073741824"},
		{m{"A": []any{Ref(0), Ref(0)}}, new(struct{ A []thinger }), ".A[1]: oddment 0 twice"},
		{m{"A": []any{Ref(0), Ref(0)}}, new(any), `message["A"][1]: oddment 0 twice`},
		{m{"A": "x"}, new(struct{ A *oddment }), ".A: a string where *libchan.oddment is wanted"},
		{m{"A": 3}, new(struct{ A thinger }), ".A: a number where libchan.thinger is wanted"},
		{m{"A": m{}}, new(struct{ A thinger }), ".A: a map where libchan.thinger is wanted"},
	}
	for _, c := range notations {
		for _, test := range tests {
			data, err := c.Marshal(nil, test.v, plainRefs{})
			must(t, err)
			fails(t, c.Unmarshal(data, test.into, &things{list: one}), test.want)
			fails(t, c.Unmarshal(data, test.into, nil), "")
		}
		data, err := c.Marshal(nil, m{"A": Ref(0)}, plainRefs{})
		must(t, err)
		fails(t, c.Unmarshal(data, new(any), nil), `message["A"]: the message has nothing beside it`)
		_, err = c.Marshal(nil, wanted{L: []*oddment{{"stuck"}}}, new(things))
		fails(t, err, "wanted.L[0]: it is stuck")
		_, err = c.Marshal(nil, Ref(-1), plainRefs{})
		fails(t, err, "a reference with the index -1")
		if got := sent(t, c, Ref(3), nil); got != Ref(3) {
			t.Errorf("L1: a Ref in a message of channels is a number, and %v was received", got)
		}
	}
}

type otherThing struct{}

func (*otherThing) oddment() string { return "other" }

// Keys in JSON that look like a reference are keys.
func TestJSONReferences(t *testing.T) {
	one := []*oddment{{"one"}}
	for text, want := range map[string]any{
		`{"$libchan":0}`:               one[0],
		"{ \"$libchan\" :\n0 }":        one[0],
		`{"\u0024libchan":0}`:          one[0],
		`{"$$libchan":0}`:              map[string]any{"$libchan": int64(0)},
		`{"$$$libchan":0}`:             map[string]any{"$$libchan": int64(0)},
		`{"libchan":0}`:                map[string]any{"libchan": int64(0)},
		`{"$libchanx":0}`:              map[string]any{"$libchanx": int64(0)},
		`{"$":0}`:                      map[string]any{"$": int64(0)},
		`{"$$libchan":{"$libchan":0}}`: map[string]any{"$libchan": one[0]},
		`[{},{"a":{}}]`:                []any{map[string]any{}, map[string]any{"a": map[string]any{}}},
		`{"a":1,"$$libchan":2}`:        map[string]any{"a": int64(1), "$libchan": int64(2)},
	} {
		var got any
		if err := JSON.Unmarshal([]byte(text), &got, &things{list: one}); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("L2: %s is %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		`{"$libchan":0,"a":1}`:              "a reference with more than its index",
		`{"a":1,"$libchan":0}`:              "a reference with more than its index",
		`{"$libchan":"0"}`:                  "a reference without an index",
		`{"$libchan":-1}`:                   "a reference without an index",
		`{"$libchan":null}`:                 "a reference without an index",
		`{"$libchan":0.0}`:                  "a reference whose index is no whole number",
		`{"$libchan":1e0}`:                  "a reference whose index is no whole number",
		`{"$libchan":2147483648}`:           "a reference with the index 2147483648",
		`{"$libchan":99999999999999999999}`: "a reference whose index is no whole number",
		`{"$libchan":00}`:                   "no number",
		`{"$libchan"`:                       "",
		`{"$libchan":0`:                     "",
		`{"$libchan":`:                      "",
	} {
		var got any
		fails(t, JSON.Unmarshal([]byte(text), &got, &things{list: one}), want)
		fails(t, JSON.Unmarshal([]byte(`{"x":`+text+`}`), new(struct{}), &things{list: one}), want)
	}
}

// Ends of channels, typed and not, in every place and with every codec, over a session.
func TestEndsWithEveryCodec(t *testing.T) {
	type job struct {
		S     Sender
		R     Receiver
		TS    SendChan[string]
		PTS   *SendChan[string]
		Any   any
		Map   map[string]any
		List  []Sender
		None  Sender
		NoTS  SendChan[int]
		NoPTS *SendChan[int]
		NoAny any
		NoW   Wrapped
		Conn  ContextSender
		Wrapped
		Inner *struct{ RecvChan[int] }
		Name  string
	}
	for _, c := range notations {
		t.Run(c.Name(), func(t *testing.T) {
			within(t, func(t *testing.T) {
				near, far := sessions(t, WithCodec(c))
				s, r := top(t, near, far)
				var answers []Receiver
				made := func() Sender {
					a, b := Pipe()
					answers = append(answers, a)
					return b
				}
				typed := func() SendChan[string] { return Of[string](made()) }
				input, feed := Pipe()
				numbers, count := Make[int](1)
				v := job{S: made(), TS: typed(), PTS: ptr(typed()), Any: made(), Map: map[string]any{"a": made()},
					List: []Sender{nil, made()}, Conn: made().(ContextSender), Wrapped: Wrapped{made()}, R: input,
					Inner: &struct{ RecvChan[int] }{numbers}, Name: "all"}
				must(t, s.Send(v))
				got := job{None: made()}
				_, got.NoTS = Make[int](1)
				answers = answers[:len(answers)-1]
				must(t, r.Receive(&got))
				if got.None != nil || got.NoTS.Sender() != nil || got.NoPTS != nil || got.NoAny != nil || got.NoW.Sender != nil || got.List[0] != nil || got.Name != "all" {
					t.Errorf("L2: what was nil is not: %+v", got)
				}
				ends := []Sender{got.S, got.TS.Sender(), got.PTS.Sender(), got.Any.(Sender), got.Map["a"].(Sender),
					got.List[1], got.Conn, got.Wrapped.Sender}
				for i, e := range ends {
					must(t, e.Send(fmt.Sprint("answer ", i)))
					receives(t, answers[i], fmt.Sprint("answer ", i))
				}
				must(t, feed.Send("input"))
				receives(t, got.R, "input")
				must(t, count.Send(ctx, 5))
				if n, err := got.Inner.Receive(ctx); n != 5 || err != nil {
					t.Errorf("L2: received %d, %v", n, err)
				}
				if err := v.TS.Send(ctx, ""); !errors.Is(err, ErrGivenAway) {
					t.Errorf("L2: what was sent away returns %v", err)
				}
			})
		})
	}
}

// Wrapped embeds an end beside nothing else.
type Wrapped struct{ Sender }

func TestEndsThatDoNotFit(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		s, r := top(t, near, far)
		for _, test := range []struct {
			into any
			want string
		}{
			{new(struct{ A Receiver }), ".A: a sending end does not fit into libchan.Receiver"},
			{new(struct{ A RecvChan[int] }), ".A: a sending end does not fit into libchan.RecvChan[int]"},
			{new(struct{ A int }), ".A: a reference to what travels beside the message where a whole number is wanted"},
		} {
			answers, ret := Pipe()
			must(t, s.Send(map[string]any{"A": ret}))
			fails(t, r.Receive(test.into), test.want)
			if err := answers.Receive(new(any)); !errors.Is(err, ErrDropped) {
				t.Errorf("L2: what no field took ends with %v", err)
			}
		}
		must(t, s.Send(map[string]any{"A": 5}))
		fails(t, r.Receive(new(struct{ A Sender })), ".A: a number where libchan.Sender is wanted")
		must(t, s.Send(map[string]any{"A": 5}))
		fails(t, r.Receive(new(struct{ A SendChan[int] })), ".A: a number where libchan.SendChan[int] is wanted")
	})
}

// A Raw by its value is the message, too.
func TestRawByValue(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		s, r := top(t, near, far)
		answers, ret := Pipe()
		must(t, s.Send(map[string]any{"A": ret}))
		var raw Raw
		must(t, r.Receive(&raw))
		back, there := Make[Raw](1)
		must(t, there.Send(ctx, raw))
		again, err := back.Receive(ctx)
		must(t, err)
		if again.Len() != 1 || again.Codec != "msgpack" {
			t.Errorf("L5: received %+v", again)
		}
		must(t, s.Send(again))
		var got struct{ A Sender }
		must(t, r.Receive(&got))
		must(t, got.A.Send("through"))
		receives(t, answers, "through")
		fails(t, s.Send(struct{ A *Raw }{&again}), "a Raw is a message")
	})
}

func TestProtobufCodec(t *testing.T) {
	one, two := &oddment{"one"}, &oddment{"two"}
	refs := new(things)
	data, err := Protobuf.Marshal([]byte("before"), With(wrapperspb.String("m"), one, nil, (*oddment)(nil), two), refs)
	must(t, err)
	data = data[len("before"):]
	var m wrapperspb.StringValue
	var a, d *oddment
	b, c := &oddment{"was"}, any("was")
	must(t, Protobuf.Unmarshal(data, With(&m, &a, &b, &c, &d, &data), refs))
	if m.Value != "m" || a != one || b != nil || c != nil || d != two {
		t.Errorf("L2: received %v with %v, %v, %v, %v", &m, a, b, c, d)
	}
	for range 2 { // a message with nothing beside, to one with variables, and the other way round
		must(t, Protobuf.Unmarshal([]byte("\x0a\x01x"), With(&m, &a), refs))
		must(t, Protobuf.Unmarshal(data, &m, refs))
	}
	var p *wrapperspb.StringValue
	if err := Protobuf.Unmarshal(data, &p, nil); err != nil || p.Value != "m" || a != one {
		t.Errorf("L1: received %v, %v", p, err)
	}
	known := &wrapperspb.StringValue{}
	must(t, Protobuf.Unmarshal(data, With(known), nil))
	for _, test := range []struct {
		v    any
		want string
	}{
		{5, "int is no protobuf message"},
		{nil, "<nil> is no protobuf message"},
		{struct{}{}, "struct {} is no protobuf message"},
		{(*wrapperspb.StringValue)(nil), "nil *wrapperspb.StringValue"},
		{With(nil, one), "<nil> is no protobuf message"},
		{(*Attached)(nil), "*libchan.Attached is no protobuf message"},
		{With(wrapperspb.String(""), 5), "StringValue[0]: int is nothing that travels beside a message"},
		{With(wrapperspb.String(""), one, &oddment{"stuck"}), "StringValue[1]: it is stuck"},
		{wrapperspb.String("\xff"), "StringValue: "},
	} {
		b, err := Protobuf.Marshal([]byte("b"), test.v, new(things))
		if fails(t, err, "libchan: protobuf: "+test.want); string(b) != "b" {
			t.Errorf("L1: and %q", b)
		}
	}
	var wrong *otherThing
	var s string
	for _, test := range []struct {
		data []byte
		v    any
		want string
	}{
		{data, With(&m, &wrong), "StringValue[0]: what travels beside the message cannot be *libchan.otherThing"},
		{data, With(&m, &s), "StringValue[0]: what travels beside the message cannot be string"},
		{data, With(&m, one), "StringValue[0]: what travels beside the message cannot be libchan.oddment"},
		{data, With(&m, 5), "StringValue[0]: a message is received into a pointer, not into int"},
		{data, &s, "*string is no protobuf message"},
		{data, new(any), "*interface {} is no protobuf message"},
		{data[:len(data)-1], &m, "StringValue: "},
		{append(data[:len(data):len(data)], "\x12\x01x"...), &m, "not bytes at the end of the message"},
		{[]byte("\xf8\xff\xff\xff\x0f\x01"), &m, "not bytes at the end of the message"},
		{[]byte("\xfa\xff\xff\xff\x0f\x01\x80"), With(&m, &a), "StringValue[0]: "},
		{[]byte("\xfa\xff\xff\xff\x0f\x02\x01\x01"), With(&m, &a, &b), "StringValue[1]: oddment 0 twice"},
		{[]byte("\xfa\xff\xff\xff\x0f\x01\x07"), With(&m, &a), "StringValue[0]: no oddment 6"},
		{[]byte("\xfa\xff\xff\xff\x0f\x05\xff\xff\xff\xff\x0f"), With(&m, &a), "a reference with the index 4294967294"},
	} {
		fails(t, Protobuf.Unmarshal(test.data, test.v, &things{list: []*oddment{one, two}}), test.want)
	}
	m.ProtoReflect().SetUnknown([]byte("\xfa\xff\xff\xff\x0f\x01\x07")) // as one that was received elsewhere may have
	_, err = Protobuf.Marshal(nil, &m, nil)
	fails(t, err, "unknown field 536870911")
}

// Messages of protobuf over a session, with ends beside them.
func TestProtobufSession(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t, WithCodec(Protobuf))
		s, r := top(t, near, far)
		answers, ret := Make[*wrapperspb.StringValue](1)
		fails(t, s.Send("text"), "string is no protobuf message")
		must(t, s.Send(With(wrapperspb.Int32(7), ret)))
		must(t, s.Send(wrapperspb.Int32(8)))
		must(t, s.Close())
		var n wrapperspb.Int32Value
		var to SendChan[*wrapperspb.StringValue]
		must(t, r.Receive(With(&n, &to)))
		must(t, to.Send(ctx, wrapperspb.String(strings.Repeat("x", int(n.Value)))))
		if v, err := answers.Receive(ctx); err != nil || v.Value != "xxxxxxx" {
			t.Errorf("L2: received %v, %v", v, err)
		}
		must(t, r.Receive(&n))
		if err := r.Receive(&n); n.Value != 8 || err != io.EOF {
			t.Errorf("L1: received %v, then %v", &n, err)
		}
	})
}
