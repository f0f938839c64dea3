// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"sync"
	"time"
)

// A notation is a Codec that walks through Go values and writes down what it meets. How
// a type is walked is the same for all notations (codec_plan.go); how a number, a string
// or a reference looks in bytes is the matter of its writer and reader.
type notation struct {
	name     string
	textual  bool // bytes are strings, times too, and keys of maps always are
	encoders sync.Pool
	decoders sync.Pool
}

func newNotation(name string, textual bool, w func() writer, r func() reader) *notation {
	n := &notation{name: name, textual: textual}
	n.encoders.New = func() any { return &encoder{writer: w(), textual: textual} }
	n.decoders.New = func() any { return &decoder{reader: r(), textual: textual} }
	return n
}

// A writer appends tokens to bytes. A list or map is its head, that many elements, and
// its end; an element of a map is a key and a value.
type writer interface {
	reset(b []byte)
	null()
	boolean(v bool)
	signed(v int64)
	unsigned(v uint64)
	float(v float64, bits int) error
	text(v string) error
	bytes(v []byte)
	time(v time.Time) error
	ref(index int)
	list(n int)
	endList()
	dict(n int)
	key(v string) error // a key that is a string; others are values
	endDict()
	done() ([]byte, error)
}

// A reader finds tokens in bytes. The bytes of a token are good until the next one.
type reader interface {
	reset(data []byte) error
	read(t *token) error
	// more tells whether the list or map with that head has an element after its first i.
	more(h head, i int) (bool, error)
	key(t *token) error
	done() error // refuses what follows the value
}

// A kind is what a token is.
type kind uint8

const (
	isNull kind = iota
	isBool
	isInt  // a whole number up to math.MaxInt64, in i
	isUint // one above that, in u
	isFloat
	isText // from isBool to here what can be a key
	isBytes
	isTime
	isList
	isDict
	isRef
	isOther // an extension that is not known
)

var kindNames = [...]string{
	isNull: "nil", isBool: "a boolean", isInt: "a number", isUint: "a number", isFloat: "a number with a fraction",
	isText: "a string", isBytes: "bytes", isTime: "a time", isList: "a list", isDict: "a map",
	isRef: "a reference to what travels beside the message", isOther: "an extension that is not known",
}

func (k kind) String() string { return kindNames[k] }

// isKey tells whether the key of a map may be one.
func (k kind) isKey() bool { return k >= isBool && k <= isText }

// A token is a scalar, or the head of a list or map.
type token struct {
	head
	i int64
	u uint64
	f float64
	s []byte
	t time.Time
}

// A head is what is known of a list or map before its elements.
type head struct {
	kind kind
	n    int // the elements, -1 if that is not known; of a reference the index
}

// setBool makes t the boolean v.
func (t *token) setBool(v bool) {
	if t.kind, t.i = isBool, 0; v {
		t.i = 1
	}
}

// setUint makes t the number v.
func (t *token) setUint(v uint64) {
	if t.kind, t.u = isUint, v; v <= 1<<63-1 {
		t.kind, t.i = isInt, int64(v)
	}
}

// setRef makes t the reference with that index.
func (t *token) setRef(index uint64) error {
	if index > math.MaxInt32 {
		return fmt.Errorf("a reference with the index %d", index)
	}
	t.kind, t.n = isRef, int(index)
	return nil
}

// maxDepth is how deep a value may nest, pointers counted: far less than
// what a stack holds.
const maxDepth = 500

var errDepth = fmt.Errorf("the value nests more than %d deep", maxDepth)

// An encoder walks through one value.
type encoder struct {
	writer
	textual bool
	refs    Refs
	plans   lastPlan
	depth   int
}

// A decoder fills one value. A coder finds the first token of what it decodes in tok.
type decoder struct {
	reader
	textual bool
	refs    Refs
	plans   lastPlan
	depth   int
	tok     token
}

func (e *encoder) planOf(t reflect.Type) *plan { return e.plans.of(t, e.refs) }

func (d *decoder) planOf(t reflect.Type) *plan { return d.plans.of(t, d.refs) }

// next reads the next token.
func (d *decoder) next() error { return d.read(&d.tok) }

// list walks through the list whose head is the current token: elem is called for each
// element, whose first token is the current one then.
func (d *decoder) list(elem func(i int) error) error {
	if d.depth++; d.depth > maxDepth {
		return errDepth
	}
	h := d.tok.head
	for i := 0; ; i++ {
		if more, err := d.more(h, i); err != nil {
			return err
		} else if !more {
			d.depth--
			return nil
		}
		if err := d.next(); err != nil {
			return withinIndex(i, err)
		}
		if err := elem(i); err != nil {
			return withinIndex(i, err)
		}
	}
}

// dict walks through the map whose head is the current token: for each element key is
// called, and the current token is the key, then elem with the value's first one.
func (d *decoder) dict(key func() error, elem func(i int) error) error {
	if d.depth++; d.depth > maxDepth {
		return errDepth
	}
	h := d.tok.head
	for i := 0; ; i++ {
		if more, err := d.more(h, i); err != nil {
			return err
		} else if !more {
			d.depth--
			return nil
		}
		if err := d.key(&d.tok); err != nil {
			return err
		}
		if !d.tok.kind.isKey() {
			return fmt.Errorf("a key: %w", d.wanted("a string, a number or a boolean"))
		}
		if err := key(); err != nil {
			return fmt.Errorf("a key: %w", err)
		}
		if err := d.next(); err != nil {
			return err
		}
		if err := elem(i); err != nil {
			return err
		}
	}
}

// wanted is the error about a token that does not fit.
func (d *decoder) wanted(what string) error {
	return fmt.Errorf("%s where %s is wanted", d.tok.kind, what)
}

// Name returns the codec's name.
func (n *notation) Name() string { return n.name }

// Marshal appends the encoding of v to b.
func (n *notation) Marshal(b []byte, v any, refs Refs) ([]byte, error) {
	e := n.encoders.Get().(*encoder)
	defer func() {
		e.reset(nil)
		e.refs = nil
		n.encoders.Put(e)
	}()
	e.reset(b)
	e.refs, e.depth = orNone(refs), 0
	err := e.any(reflect.ValueOf(v))
	if err == nil {
		var out []byte
		if out, err = e.done(); err == nil {
			return out, nil
		}
	}
	return b, located(reflect.TypeOf(v), n.name, err)
}

// Unmarshal decodes data into what v points to.
func (n *notation) Unmarshal(data []byte, v any, refs Refs) error {
	target, err := targetOf(v)
	if err != nil {
		return fmt.Errorf("libchan: %w", err)
	}
	d := n.decoders.Get().(*decoder)
	defer func() {
		d.reset(nil)
		d.refs, d.tok = nil, token{}
		n.decoders.Put(d)
	}()
	d.refs, d.depth = orNone(refs), 0
	if err = d.reset(data); err == nil {
		err = d.next()
	}
	if err == nil {
		err = d.planOf(target.Type()).decode(d, target)
	}
	if err == nil {
		err = d.done()
	}
	if err != nil {
		return located(target.Type(), n.name, err)
	}
	return nil
}

// targetOf returns what v points to.
func targetOf(v any) (reflect.Value, error) {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer {
		return reflect.Value{}, fmt.Errorf("a message is received into a pointer, not into %T", v)
	}
	if p.IsNil() {
		return reflect.Value{}, fmt.Errorf("a message cannot be received into a nil %T", v)
	}
	return p.Elem(), nil
}

// noRefs is the table of a message that can have nothing beside it.
type noRefs struct{}

func orNone(refs Refs) Refs {
	if refs == nil {
		return noRefs{}
	}
	return refs
}

func (noRefs) Add(reflect.Value) (int, bool, error) { return 0, false, nil }

func (noRefs) Carries(reflect.Type) bool { return false }

func (noRefs) Get(int, reflect.Type) (reflect.Value, error) {
	return reflect.Value{}, errors.New("the message has nothing beside it")
}
