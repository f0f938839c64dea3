// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package source writes what a descriptor describes as source of .proto files, and messages to
// start from.
package source

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Write returns the source of a service, method, message, enum, field, oneof, extension or whole
// file, with its comments, in lines. Types are named in full, so that each name can be
// looked for as it stands there.
func Write(d protoreflect.Descriptor) string {
	p := &printer{}
	p.declare(d)
	return p.out.String()
}

// A printer writes source.
type printer struct {
	out   strings.Builder
	level int
}

func (p *printer) line(format string, args ...any) {
	if format != "" {
		p.out.WriteString(strings.Repeat("  ", p.level))
		fmt.Fprintf(&p.out, format, args...)
	}
	p.out.WriteByte('\n')
}

func (p *printer) declare(d protoreflect.Descriptor) {
	p.comment(d)
	switch d := d.(type) {
	case protoreflect.ServiceDescriptor:
		p.block("service "+string(d.Name()), func() {
			p.options(d)
			each(p, d.Methods().Len(), d.Methods().Get)
		})
	case protoreflect.MethodDescriptor:
		p.method(d)
	case protoreflect.MessageDescriptor:
		p.block("message "+string(d.Name()), func() { p.message(d) })
	case protoreflect.EnumDescriptor:
		p.block("enum "+string(d.Name()), func() { p.enum(d) })
	case protoreflect.EnumValueDescriptor:
		p.line("%s = %d%s;", d.Name(), d.Number(), fieldOptions(d))
	case protoreflect.OneofDescriptor:
		p.block("oneof "+string(d.Name()), func() {
			p.options(d)
			each(p, d.Fields().Len(), d.Fields().Get)
		})
	case protoreflect.FieldDescriptor:
		p.fieldOrExtension(d)
	case protoreflect.FileDescriptor:
		p.file(d)
	}
}

// each declares what get returns.
func each[D protoreflect.Descriptor](p *printer, n int, get func(int) D) {
	for i := range n {
		p.declare(get(i))
	}
}

// block writes what is in braces.
func (p *printer) block(head string, body func()) {
	before := p.out.Len()
	p.line("%s {", head)
	begin := p.out.Len()
	p.level++
	body()
	p.level--
	if p.out.Len() > begin {
		p.line("}")
		return
	}
	written := p.out.String()[:before]
	p.out.Reset()
	p.out.WriteString(written)
	p.line("%s {}", head)
}

// comment writes the comment that stands before a declaration, or behind it.
func (p *printer) comment(d protoreflect.Descriptor) {
	at := d.ParentFile().SourceLocations().ByDescriptor(d)
	for _, comment := range []string{at.LeadingComments, at.TrailingComments} {
		if strings.TrimSpace(comment) == "" {
			continue
		}
		for line := range strings.SplitSeq(strings.TrimRight(comment, "\n"), "\n") {
			p.line("%s", strings.TrimRight("//"+line, " "))
		}
	}
}

func (p *printer) file(d protoreflect.FileDescriptor) {
	if d.Syntax() == protoreflect.Editions {
		p.line("edition = %q;", edition(d))
	} else {
		p.line("syntax = %q;", d.Syntax())
	}
	if d.Package() != "" {
		p.line("")
		p.line("package %s;", d.Package())
	}
	for i := range d.Imports().Len() {
		if i == 0 {
			p.line("")
		}
		imported := d.Imports().Get(i)
		public := ""
		if imported.IsPublic {
			public = "public "
		}
		p.line("import %s%q;", public, imported.Path())
	}
	p.apart(d.Services().Len(), func(i int) { p.declare(d.Services().Get(i)) })
	p.apart(d.Messages().Len(), func(i int) { p.declare(d.Messages().Get(i)) })
	p.apart(d.Enums().Len(), func(i int) { p.declare(d.Enums().Get(i)) })
	p.apart(d.Extensions().Len(), func(i int) { p.declare(d.Extensions().Get(i)) })
}

// edition returns the year of a file's edition.
func edition(d protoreflect.FileDescriptor) string {
	with, ok := d.(interface{ Edition() int32 })
	if !ok {
		return "unknown"
	}
	return strings.TrimPrefix(descriptorpb.Edition(with.Edition()).String(), "EDITION_")
}

// apart writes n things with an empty line before each.
func (p *printer) apart(n int, write func(i int)) {
	for i := range n {
		p.line("")
		write(i)
	}
}

func (p *printer) method(d protoreflect.MethodDescriptor) {
	head := "rpc " + string(d.Name()) + Signature(d)
	if len(optionsOf(d)) > 0 {
		p.block(head, func() { p.options(d) })
		return
	}
	p.line("%s;", head)
}

// Signature returns what stands behind the name of a method.
func Signature(d protoreflect.MethodDescriptor) string {
	stream := func(is bool) string {
		if is {
			return "stream "
		}
		return ""
	}
	return fmt.Sprintf("(%s%s) returns (%s%s)", stream(d.IsStreamingClient()), d.Input().FullName(), stream(d.IsStreamingServer()), d.Output().FullName())
}

func (p *printer) message(d protoreflect.MessageDescriptor) {
	p.options(d)
	var oneofs []protoreflect.OneofDescriptor
	for i := range d.Fields().Len() {
		field := d.Fields().Get(i)
		oneof := field.ContainingOneof()
		switch {
		case oneof == nil || oneof.IsSynthetic():
			p.declare(field)
		case !slices.Contains(oneofs, oneof):
			oneofs = append(oneofs, oneof)
			p.declare(oneof)
		}
	}
	for i := range d.ExtensionRanges().Len() {
		p.line("extensions %s;", span(int(d.ExtensionRanges().Get(i)[0]), int(d.ExtensionRanges().Get(i)[1])-1, 1<<29-1))
	}
	for i := range d.ReservedRanges().Len() {
		p.line("reserved %s;", span(int(d.ReservedRanges().Get(i)[0]), int(d.ReservedRanges().Get(i)[1])-1, 1<<29-1))
	}
	p.reservedNames(d.ReservedNames())
	for i := range d.Messages().Len() {
		if inner := d.Messages().Get(i); !inner.IsMapEntry() && !isGroup(d, inner) {
			p.declare(inner)
		}
	}
	each(p, d.Enums().Len(), d.Enums().Get)
	each(p, d.Extensions().Len(), d.Extensions().Get)
}

// isGroup tells whether a message in another is that of a group, which stands where the field does.
func isGroup(outer, inner protoreflect.MessageDescriptor) bool {
	for i := range outer.Fields().Len() {
		field := outer.Fields().Get(i)
		if field.Kind() == protoreflect.GroupKind && field.Message() == inner && outer.ParentFile().Syntax() == protoreflect.Proto2 {
			return true
		}
	}
	return false
}

// span writes a range of numbers.
func span(from, to, most int) string {
	switch to {
	case from:
		return strconv.Itoa(from)
	case most:
		return strconv.Itoa(from) + " to max"
	}
	return fmt.Sprintf("%d to %d", from, to)
}

func (p *printer) reservedNames(names protoreflect.Names) {
	for i := range names.Len() {
		p.line("reserved %q;", names.Get(i))
	}
}

func (p *printer) enum(d protoreflect.EnumDescriptor) {
	p.options(d)
	each(p, d.Values().Len(), d.Values().Get)
	for i := range d.ReservedRanges().Len() {
		r := d.ReservedRanges().Get(i)
		p.line("reserved %s;", span(int(r[0]), int(r[1]), 1<<31-1))
	}
	p.reservedNames(d.ReservedNames())
}

func (p *printer) fieldOrExtension(d protoreflect.FieldDescriptor) {
	if !d.IsExtension() {
		p.field(d)
		return
	}
	p.block("extend "+string(d.ContainingMessage().FullName()), func() { p.field(d) })
}

func (p *printer) field(d protoreflect.FieldDescriptor) {
	if d.Kind() == protoreflect.GroupKind && d.ParentFile().Syntax() == protoreflect.Proto2 {
		p.block(fmt.Sprintf("%sgroup %s = %d%s", label(d), d.Message().Name(), d.Number(), fieldOptions(d)), func() { p.message(d.Message()) })
		return
	}
	p.line("%s%s %s = %d%s;", label(d), typeName(d), d.Name(), d.Number(), fieldOptions(d))
}

// label returns what stands before a field's type.
func label(d protoreflect.FieldDescriptor) string {
	oneof := d.ContainingOneof()
	switch {
	case d.IsMap() || oneof != nil && !oneof.IsSynthetic():
		return ""
	case d.IsList():
		return "repeated "
	case d.ParentFile().Syntax() == protoreflect.Editions: // where a feature says it
		return ""
	case d.Cardinality() == protoreflect.Required:
		return "required "
	case d.HasOptionalKeyword() || d.ParentFile().Syntax() == protoreflect.Proto2:
		return "optional "
	}
	return ""
}

func typeName(d protoreflect.FieldDescriptor) string {
	switch {
	case d.IsMap():
		return fmt.Sprintf("map<%s, %s>", typeName(d.MapKey()), typeName(d.MapValue()))
	case d.Message() != nil:
		return string(d.Message().FullName())
	case d.Enum() != nil:
		return string(d.Enum().FullName())
	}
	return d.Kind().String()
}
