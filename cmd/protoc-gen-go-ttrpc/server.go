// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// printServer prints what a server of s needs.
func (p *printer) printServer(s *service) {
	p.printServiceType(s)
	p.printRegisterFunc(s)
	for _, m := range s.methods {
		if m.isStream() {
			p.printServerStream(s, m)
		}
	}
}

func (p *printer) printServiceType(s *service) {
	intro := fmt.Sprintf("%s is the service %s, as servers implement it", s.serviceType, s.wireName)
	if s.clientType == s.serviceType {
		intro += " and clients call it"
	}
	p.p("")
	p.comment(intro+".", s.Comments, s.deprecated())
	p.p("type %s interface {", s.serviceType)
	for _, m := range s.methods {
		p.comment("", m.Comments, m.deprecated())
		p.p("%s%s", m.goName, p.serverSignature(m))
	}
	p.p("}")
}

// serverSignature returns the parameters and results of m in the interface that
// servers implement.
func (p *printer) serverSignature(m *method) string {
	in, out := p.message(m.Input), p.message(m.Output)
	switch {
	case m.clientStreams() && m.serverStreams():
		return fmt.Sprintf("(%s, %s) error", p.context(), m.serverType)
	case m.clientStreams():
		return fmt.Sprintf("(%s, %s) (*%s, error)", p.context(), m.serverType, out)
	case m.serverStreams():
		return fmt.Sprintf("(%s, *%s, %s) error", p.context(), in, m.serverType)
	default:
		return fmt.Sprintf("(%s, *%s) (*%s, error)", p.context(), in, out)
	}
}

func (p *printer) printRegisterFunc(s *service) {
	p.p("")
	intro := fmt.Sprintf("%s registers svc with srv as the service %s.", s.registerFunc, s.wireName)
	p.comment(intro, noComments, s.deprecated())
	p.p("func %s($srv *%s, $svc %s) {", s.registerFunc, p.ttrpc("Server"), s.serviceType)
	p.p("$srv.RegisterService(%q, &%s{", s.wireName, p.ttrpc("ServiceDesc"))
	if s.hasUnary() {
		p.p("Methods: map[string]%s{", p.ttrpc("Method"))
		for _, m := range s.methods {
			if !m.isStream() {
				p.printMethodHandler(m)
			}
		}
		p.p("},")
	}
	if s.hasStreams() {
		p.p("Streams: map[string]%s{", p.ttrpc("Stream"))
		for _, m := range s.methods {
			if m.isStream() {
				p.printStreamHandler(m)
			}
		}
		p.p("},")
	}
	p.p("})")
	p.p("}")
}

// printMethodHandler prints the entry of the unary m in a ServiceDesc's Methods.
func (p *printer) printMethodHandler(m *method) {
	p.p("%q: func($ctx %s, $unmarshal func(any) error) (any, error) {", m.wireName, p.context())
	p.p("$req := new(%s)", p.message(m.Input))
	p.p("if $err := $unmarshal($req); $err != nil {")
	p.p("return nil, $err")
	p.p("}")
	p.p("return $svc.%s($ctx, $req)", m.goName)
	p.p("},")
}

// printStreamHandler prints the entry of the streaming m in a ServiceDesc's Streams.
func (p *printer) printStreamHandler(m *method) {
	p.p("%q: {", m.wireName)
	p.p("Handler: func($ctx %s, $stream %s) (any, error) {", p.context(), p.ttrpc("StreamServer"))
	switch {
	case m.clientStreams() && m.serverStreams():
		p.p("return nil, $svc.%s($ctx, &%s{$stream})", m.goName, m.serverStruct)
	case m.clientStreams():
		p.p("return $svc.%s($ctx, &%s{$stream})", m.goName, m.serverStruct)
	default:
		p.p("$req := new(%s)", p.message(m.Input))
		p.p("if $err := $stream.RecvMsg($req); $err != nil {")
		p.p("return nil, $err")
		p.p("}")
		p.p("return nil, $svc.%s($ctx, $req, &%s{$stream})", m.goName, m.serverStruct)
	}
	p.p("},")
	p.printStreamingFields(m)
	p.p("},")
}

// printStreamingFields prints the fields that a Stream and a StreamDesc have in
// common, a line each.
func (p *printer) printStreamingFields(m *method) {
	if m.clientStreams() {
		p.p("StreamingClient: true,")
	}
	if m.serverStreams() {
		p.p("StreamingServer: true,")
	}
}

// printServerStream prints the server's end of a stream of m.
func (p *printer) printServerStream(s *service, m *method) {
	in, out := p.message(m.Input), p.message(m.Output)
	p.p("")
	p.p("// %s is the server's end of a stream of %s.%s.", m.serverType, s.wireName, m.wireName)
	p.p("type %s interface {", m.serverType)
	if m.serverStreams() {
		p.p("Send(*%s) error", out)
	}
	if m.clientStreams() {
		p.p("Recv() (*%s, error)", in)
	}
	p.p("%s", p.ttrpc("StreamServer"))
	p.p("}")
	p.p("")
	p.p("type %s struct {", m.serverStruct)
	p.p("%s", p.ttrpc("StreamServer"))
	p.p("}")
	if m.serverStreams() {
		p.printSend(m.serverStruct, out)
	}
	if m.clientStreams() {
		p.printReceive(receiveMethod{receiver: m.serverStruct, name: "Recv", message: in})
	}
}
