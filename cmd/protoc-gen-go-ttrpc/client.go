// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"google.golang.org/protobuf/compiler/protogen"
)

// noComments is for declarations that the .proto has no comments of.
var noComments protogen.CommentSet

// printClient prints the client of s.
func (p *printer) printClient(s *service) {
	if s.hasStreams() {
		p.printClientType(s)
	}
	p.printNewFunc(s)
	for _, m := range s.methods {
		if m.isStream() {
			p.printStreamCall(s, m)
			p.printClientStream(s, m)
		} else {
			p.printCall(s, m)
		}
	}
}

func (p *printer) printClientType(s *service) {
	p.p("")
	intro := fmt.Sprintf("%s is the service %s, as clients call it.", s.clientType, s.wireName)
	p.comment(intro, s.Comments, s.deprecated())
	p.p("type %s interface {", s.clientType)
	for _, m := range s.methods {
		p.comment("", m.Comments, m.deprecated())
		p.p("%s%s", m.goName, p.clientSignature(m))
	}
	p.p("}")
}

// clientSignature returns the parameters and results of m in the interface of
// clients.
func (p *printer) clientSignature(m *method) string {
	in, out := p.message(m.Input), p.message(m.Output)
	switch {
	case m.clientStreams():
		return fmt.Sprintf("(%s) (%s, error)", p.context(), m.clientType)
	case m.serverStreams():
		return fmt.Sprintf("(%s, *%s) (%s, error)", p.context(), in, m.clientType)
	default:
		return fmt.Sprintf("(%s, *%s) (*%s, error)", p.context(), in, out)
	}
}

func (p *printer) printNewFunc(s *service) {
	client := p.ttrpc("Client")
	if len(s.methods) == 0 {
		// Nothing would use the field.
		p.p("")
		p.p("type %s struct{}", s.clientStruct)
		p.printNewFuncComment(s)
		p.p("func %s(*%s) %s {", s.newFunc, client, s.clientType)
		p.p("return %s{}", s.clientStruct)
		p.p("}")
		return
	}
	p.p("")
	p.p("type %s struct {", s.clientStruct)
	p.p("client *%s", client)
	p.p("}")
	p.printNewFuncComment(s)
	p.p("func %s($client *%s) %s {", s.newFunc, client, s.clientType)
	p.p("return &%s{$client}", s.clientStruct)
	p.p("}")
}

func (p *printer) printNewFuncComment(s *service) {
	p.p("")
	intro := fmt.Sprintf("%s returns a client of the service %s.", s.newFunc, s.wireName)
	p.comment(intro, noComments, s.deprecated())
}

// printCall prints the client's method for the unary m.
func (p *printer) printCall(s *service, m *method) {
	in, out := p.message(m.Input), p.message(m.Output)
	p.p("")
	p.p("func ($c *%s) %s($ctx %s, $req *%s) (*%s, error) {",
		s.clientStruct, m.goName, p.context(), in, out)
	p.p("$resp := new(%s)", out)
	p.p("if $err := $c.client.Call($ctx, %q, %q, $req, $resp); $err != nil {", s.wireName, m.wireName)
	p.p("return nil, $err")
	p.p("}")
	p.p("return $resp, nil")
	p.p("}")
}

// printStreamCall prints the client's method for the streaming m.
func (p *printer) printStreamCall(s *service, m *method) {
	p.p("")
	req := "nil"
	if m.clientStreams() {
		p.p("func ($c *%s) %s($ctx %s) (%s, error) {",
			s.clientStruct, m.goName, p.context(), m.clientType)
	} else {
		req = "$req"
		p.p("func ($c *%s) %s($ctx %s, $req *%s) (%s, error) {",
			s.clientStruct, m.goName, p.context(), p.message(m.Input), m.clientType)
	}
	p.p("$desc := &%s{", p.ttrpc("StreamDesc"))
	p.printStreamingFields(m)
	p.p("}")
	p.p("$stream, $err := $c.client.NewStream($ctx, $desc, %q, %q, "+req+")", s.wireName, m.wireName)
	p.p("if $err != nil {")
	p.p("return nil, $err")
	p.p("}")
	p.p("return &%s{$stream}, nil", m.clientStruct)
	p.p("}")
}

// printClientStream prints the client's end of a stream of m.
func (p *printer) printClientStream(s *service, m *method) {
	in, out := p.message(m.Input), p.message(m.Output)
	receive := receiveMethod{receiver: m.clientStruct, name: "Recv", message: out}
	if !m.serverStreams() {
		receive.name = "CloseAndRecv"
		receive.closeFirst = true
	}
	p.p("")
	p.p("// %s is the client's end of a stream of %s.%s.", m.clientType, s.wireName, m.wireName)
	p.p("type %s interface {", m.clientType)
	if m.clientStreams() {
		p.p("Send(*%s) error", in)
	}
	p.p("%s() (*%s, error)", receive.name, out)
	p.p("%s", p.ttrpc("ClientStream"))
	p.p("}")
	p.p("")
	p.p("type %s struct {", m.clientStruct)
	p.p("%s", p.ttrpc("ClientStream"))
	p.p("}")
	if m.clientStreams() {
		p.printSend(m.clientStruct, in)
	}
	p.printReceive(receive)
}

// printSend prints the method Send of receiver, one of either end of a stream.
func (p *printer) printSend(receiver, message string) {
	p.p("")
	p.p("func ($s *%s) Send($m *%s) error {", receiver, message)
	p.p("return $s.SendMsg($m)")
	p.p("}")
}

// receiveMethod is a method, of either end of a stream, which receives a message.
type receiveMethod struct {
	receiver string
	name     string
	message  string
	// closeFirst is whether it half-closes the stream before it receives.
	closeFirst bool
}

func (p *printer) printReceive(r receiveMethod) {
	p.p("")
	p.p("func ($s *%s) %s() (*%s, error) {", r.receiver, r.name, r.message)
	if r.closeFirst {
		p.p("if $err := $s.CloseSend(); $err != nil {")
		p.p("return nil, $err")
		p.p("}")
	}
	p.p("$m := new(%s)", r.message)
	p.p("if $err := $s.RecvMsg($m); $err != nil {")
	p.p("return nil, $err")
	p.p("}")
	p.p("return $m, nil")
	p.p("}")
}
