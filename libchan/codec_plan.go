// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
)

// A coder walks through values of one type. It never changes once it is made.
type coder interface {
	encode(e *encoder, v reflect.Value) error
	// decode sets v, whose first token is in d.tok.
	decode(d *decoder, v reflect.Value) error
}

// A plan is the coder of a type; types that contain themselves have plans that do.
type plan struct{ coder }

// plans are those of all types met so far, for one kind of table: what that carries
// is part of a plan, and is asked once for each type.
type plans struct {
	made sync.Map // reflect.Type to *plan

	mu       sync.Mutex
	underWay map[reflect.Type]*plan // guarded by mu
}

var allPlans sync.Map // reflect.Type of a Refs to *plans

// plansFor returns the plans for a type of tables.
func plansFor(t reflect.Type) *plans {
	if p, ok := allPlans.Load(t); ok {
		return p.(*plans)
	}
	p, _ := allPlans.LoadOrStore(t, new(plans))
	return p.(*plans)
}

// A lastPlan is what was asked for last, which mostly is what is asked for next.
type lastPlan struct {
	tables, typ reflect.Type
	plan        *plan
}

// of returns the plan of a type for tables of the type of refs.
func (l *lastPlan) of(t reflect.Type, refs Refs) *plan {
	if tables := reflect.TypeOf(refs); l.typ != t || l.tables != tables {
		*l = lastPlan{tables, t, plansFor(tables).of(t, refs)}
	}
	return l.plan
}

// of returns the plan of a type.
func (ps *plans) of(t reflect.Type, refs Refs) *plan {
	if p, ok := ps.made.Load(t); ok {
		return p.(*plan)
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.underWay = make(map[reflect.Type]*plan)
	p := planner{ps, refs.Carries}.of(t)
	for t, p := range ps.underWay {
		ps.made.Store(t, p)
	}
	return p
}

// A planner makes the plans of a type and of all that is in it. Nobody uses one of them
// before all are made.
type planner struct {
	plans   *plans
	carries func(reflect.Type) bool
}

func (pl planner) of(t reflect.Type) *plan {
	if p, ok := pl.plans.made.Load(t); ok {
		return p.(*plan)
	}
	if p := pl.plans.underWay[t]; p != nil {
		return p
	}
	p := new(plan)
	pl.plans.underWay[t] = p
	p.coder = pl.coderOf(t)
	return p
}

var (
	timeType  = reflect.TypeFor[time.Time]()
	protoType = reflect.TypeFor[proto.Message]()
	withType  = reflect.TypeFor[Attached]()
	rawType   = reflect.TypeFor[Raw]()

	binaryMarshalerType   = reflect.TypeFor[encoding.BinaryMarshaler]()
	binaryUnmarshalerType = reflect.TypeFor[encoding.BinaryUnmarshaler]()
	textMarshalerType     = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshalerType   = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// coderOf decides how values of a type are walked: by what they do, else by what they
// are made of.
func (pl planner) coderOf(t reflect.Type) coder {
	switch {
	case t == timeType:
		return timeCoder{}
	case t == rawType:
		return refusedCoder{"a Raw is a message, and cannot be in one"}
	case t == withType:
		return refusedCoder{"a message With attachments needs the protobuf codec"}
	case t.Kind() == reflect.Interface:
		return &interfaceCoder{typ: t, empty: t.NumMethod() == 0, carried: pl.carries(t)}
	case t.Kind() == reflect.Pointer && does(t.Elem(), pl.carries):
		return pl.plainOf(t)
	case does(t, pl.carries):
		return &refCoder{typ: t, other: pl.plainOf(t)}
	case t.Kind() == reflect.Pointer: // what it points to knows better
		return pl.plainOf(t)
	case does(t, knowsProto):
		return protoCoder{}
	case does(t, knowsBinary), does(t, knowsText):
		return &marshalerCoder{binary: knowsBinary(t), text: knowsText(t)}
	}
	return pl.plainOf(t)
}

// plainOf returns the coder of a type that is walked by what it is made of.
func (pl planner) plainOf(t reflect.Type) coder {
	switch t.Kind() {
	case reflect.Bool:
		return boolCoder{}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return intCoder{}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return uintCoder{}
	case reflect.Float32, reflect.Float64:
		return floatCoder{bits: t.Bits()}
	case reflect.String:
		return stringCoder{}
	case reflect.Struct:
		if hidesAll(t) {
			return refusedCoder{t.String() + " has no exported fields" + leaveOut}
		}
		return pl.structOf(t)
	case reflect.Pointer:
		return &pointerCoder{elem: pl.of(t.Elem())}
	case reflect.Slice, reflect.Array:
		list := &listCoder{typ: t, elem: pl.of(t.Elem())}
		if isByte(t.Elem()) {
			return &bytesCoder{list}
		}
		return list
	case reflect.Map:
		return &mapCoder{typ: t, key: pl.keyOf(t.Key()), elem: pl.of(t.Elem())}
	}
	return refusedCoder{fmt.Sprintf("%s cannot travel in a message", t) + leaveOut}
}

const leaveOut = `: the tag libchan:"-" leaves a field out`

// hidesAll tells whether a struct has fields, and none that another package can see: to
// send nothing of it would lose what it is.
func hidesAll(t reflect.Type) bool {
	hides := false
	for _, f := range structFields(t) {
		if f.IsExported() || f.Anonymous {
			return false
		}
		hides = hides || f.Name != "_"
	}
	return hides
}

// isByte tells whether a list of t is bytes: not if its elements know better.
func isByte(t reflect.Type) bool {
	return t.Kind() == reflect.Uint8 && !knowsBinary(t) && !knowsText(t)
}

// does tells whether a type is what the function looks for. A struct that embeds what is,
// and thus has its methods, is none if it has other fields too: a message that embeds a
// time or a Sender does not travel as that alone.
func does(t reflect.Type, is func(reflect.Type) bool) bool {
	return is(t) && !(embeds(t, is) && isMessage(t))
}

// embeds tells whether a struct, or what a pointer to one points to, embeds what is.
func embeds(t reflect.Type, is func(reflect.Type) bool) bool {
	fields := structFields(t)
	return slices.ContainsFunc(fields, func(f reflect.StructField) bool { return f.Anonymous && is(f.Type) })
}

// isMessage tells whether a struct has more than one field that can travel.
func isMessage(t reflect.Type) bool {
	fields := structFields(t)
	n := 0
	for _, f := range fields {
		if f.IsExported() || f.Anonymous {
			n++
		}
	}
	return n > 1
}

// structFields returns the fields of a struct, or of what a pointer to one points to.
func structFields(t reflect.Type) []reflect.StructField {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	fields := make([]reflect.StructField, t.NumField())
	for i := range fields {
		fields[i] = t.Field(i)
	}
	return fields
}

// implements tells whether values of t, where they have an address, have the methods.
func implements(t, iface reflect.Type) bool {
	return t.Kind() != reflect.Interface && reflect.PointerTo(t).Implements(iface)
}

func knowsProto(t reflect.Type) bool { return implements(t, protoType) }

func knowsBinary(t reflect.Type) bool {
	return implements(t, binaryMarshalerType) && implements(t, binaryUnmarshalerType)
}

func knowsText(t reflect.Type) bool {
	return implements(t, textMarshalerType) && implements(t, textUnmarshalerType)
}

// A refusedCoder is that of types that cannot travel.
type refusedCoder struct{ why string }

func (c refusedCoder) encode(*encoder, reflect.Value) error { return errorString(c.why) }

func (c refusedCoder) decode(*decoder, reflect.Value) error { return errorString(c.why) }

type errorString string

func (e errorString) Error() string { return string(e) }
