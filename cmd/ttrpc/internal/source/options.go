// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// options writes those of what is in braces.
func (p *printer) options(d protoreflect.Descriptor) {
	for _, option := range optionsOf(d) {
		p.line("option %s;", option)
	}
}

// fieldOptions returns those of a field or of an enum's value, in brackets behind it.
func fieldOptions(d protoreflect.Descriptor) string {
	options := optionsOf(d)
	if field, ok := d.(protoreflect.FieldDescriptor); ok {
		if field.HasDefault() {
			options = append([]string{"default = " + defaultOf(field)}, options...)
		}
		if field.HasJSONName() && !field.IsExtension() && field.JSONName() != camel(string(field.Name())) {
			options = append(options, fmt.Sprintf("json_name = %q", field.JSONName()))
		}
	}
	if len(options) == 0 {
		return ""
	}
	return " [" + strings.Join(options, ", ") + "]"
}

// optionsOf returns the options that are set, as "name = value". Those that nothing describes
// are left out.
func optionsOf(d protoreflect.Descriptor) (all []string) {
	options := d.Options()
	if options == nil || !options.ProtoReflect().IsValid() {
		return nil
	}
	byName := map[string][]string{}
	options.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := string(field.Name())
		switch {
		case field.IsExtension():
			name = "(" + string(field.FullName()) + ")"
		case name == "map_entry":
			return true
		}
		if !field.IsList() {
			byName[name] = []string{name + " = " + valueOf(field, v)}
			return true
		}
		for i := range v.List().Len() {
			byName[name] = append(byName[name], name+" = "+valueOf(field, v.List().Get(i)))
		}
		return true
	})
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		all = append(all, byName[name]...)
	}
	return all
}

// valueOf returns a value as source.
func valueOf(field protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch {
	case field.Message() != nil:
		return "{ " + strings.ReplaceAll(prototext.MarshalOptions{}.Format(v.Message().Interface()), "  ", " ") + " }"
	case field.Enum() != nil:
		if value := field.Enum().Values().ByNumber(v.Enum()); value != nil {
			return string(value.Name())
		}
	case field.Kind() == protoreflect.StringKind:
		return quote(v.String())
	case field.Kind() == protoreflect.BytesKind:
		return strconv.Quote(string(v.Bytes()))
	case field.Kind() == protoreflect.FloatKind || field.Kind() == protoreflect.DoubleKind:
		return number(v.Float())
	}
	return v.String()
}

func number(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f):
		return "nan"
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

func defaultOf(field protoreflect.FieldDescriptor) string {
	if value := field.DefaultEnumValue(); value != nil {
		return string(value.Name())
	}
	return valueOf(field, field.Default())
}

// quote quotes text with what it has of other scripts.
func quote(s string) string {
	quoted, err := json.Marshal(s)
	if err != nil {
		return strconv.Quote(s)
	}
	return string(quoted)
}

// camel returns the name that a field has in JSON unless it says otherwise.
func camel(name string) string {
	var b strings.Builder
	upper := false
	for _, c := range []byte(name) {
		switch {
		case c == '_':
			upper = true
			continue
		case upper && 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		}
		upper = false
		b.WriteByte(c)
	}
	return b.String()
}
