// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/testpeer/demo"
	"github.com/containerd/ttrpc/internal/leak"
	"github.com/containerd/ttrpc/internal/reflectionpb"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

func parse(t *testing.T, text string) (*Script, *message.Format, error) {
	t.Helper()
	flags := schema.Flags{Proto: []string{"demo.proto"}, ImportPaths: []string{"../../testdata/proto"}}
	described, err := flags.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	format := &message.Format{Types: described.Types()}
	s, err := Parse(t.Context(), []byte(text), described, format)
	return s, format, err
}

// connect returns a client of a server.
func connect(t *testing.T, server *ttrpc.Server) *ttrpc.Client {
	t.Helper()
	near, far := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- server.ServeConn(context.Background(), far) }()
	client := ttrpc.NewClient(near)
	t.Cleanup(func() {
		client.Close()
		server.Close()
		<-served
	})
	return client
}

// serve returns a client of a server with a script, and what is logged.
func serve(t *testing.T, text string) (*ttrpc.Client, *bytes.Buffer) {
	t.Helper()
	s, format, err := parse(t, text)
	if err != nil {
		t.Fatal(err)
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	log := new(bytes.Buffer)
	s.Register(server, NewLog(log, format))
	return connect(t, server), log
}

func greet(t *testing.T, client *ttrpc.Client, request *demo.GreetRequest) string {
	t.Helper()
	reply := new(demo.GreetReply)
	if err := client.Call(t.Context(), "demo.Greeter", "Greet", request, reply); err != nil {
		return status.Code(err).String() + ": " + status.Convert(err).Message()
	}
	return reply.Text
}

// TestUnary holds that the first rule that matches is used, and no oftener than it says.
func TestUnary(t *testing.T) { // B155
	client, log := serve(t, `{"/demo.Greeter/Greet": [
		{"when": {"name": "Ada", "style": "STYLE_LOUD"}, "answer": {"text": "ADA"}},
		{"when": {"name": ""}, "error": {"code": "INVALID_ARGUMENT", "message": "no name"}},
		{"when": {"labels": {"a": "1"}}, "answer": {"text": "labelled"}},
		{"times": 2, "error": {"code": 14, "message": "not yet"}},
		{"wait": "1ms", "answer": {"text": "else"}}
	]}`)
	for i, tt := range []struct {
		request *demo.GreetRequest
		want    string
	}{
		{&demo.GreetRequest{Name: "Ada", Style: demo.Style_STYLE_LOUD, Labels: map[string]string{"more": "is no matter"}}, "ADA"},
		{&demo.GreetRequest{}, "InvalidArgument: no name"},
		{&demo.GreetRequest{Name: "x", Labels: map[string]string{"a": "1"}}, "labelled"},
		{&demo.GreetRequest{Name: "x", Labels: map[string]string{"a": "1", "b": "2"}}, "Unavailable: not yet"},
		{&demo.GreetRequest{Name: "Ada"}, "Unavailable: not yet"},
		{&demo.GreetRequest{Name: "Ada"}, "else"},
		{&demo.GreetRequest{Name: "Bob"}, "else"},
	} {
		if got := greet(t, client, tt.request); got != tt.want {
			t.Errorf("B155: call %d is answered %q, want %q", i+1, got, tt.want)
		}
	}
	err := client.Call(t.Context(), "demo.Greeter", "Hang", new(emptypb.Empty), new(emptypb.Empty))
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "the script has no rules for demo.Greeter/Hang") {
		t.Errorf("B155: a method without rules: %v", err)
	}
	want := `{"call":2,"method":"demo.Greeter/Greet"}
{"call":2,"method":"demo.Greeter/Greet","received":{}}
{"call":2,"method":"demo.Greeter/Greet","code":"InvalidArgument","message":"no name"}
`
	if !strings.Contains(log.String(), want) {
		t.Errorf("B155: the log does not have\n%s\nbut is\n%s", want, log)
	}
	if want = `{"call":1,"method":"demo.Greeter/Greet","sent":{"text":"ADA"}}` + "\n"; !strings.Contains(log.String(), want) {
		t.Errorf("B155: the log does not have\n%s\nbut is\n%s", want, log)
	}
}

// TestErrorDetails has an error with details of containerd's kind, and metadata in the log.
func TestErrorDetails(t *testing.T) { // B155
	client, log := serve(t, `{"demo.Greeter.Greet": {"error": {"code": "ABORTED", "message": "m", "details": [{"@type": "demo.GreetReply", "text": "d"}]}}}`)
	ctx := ttrpc.WithMetadata(t.Context(), ttrpc.MD{"key": {"value"}})
	err := client.Call(ctx, "demo.Greeter", "Greet", new(demo.GreetRequest), new(demo.GreetReply))
	details := status.Convert(err).Proto().GetDetails()
	reply := new(demo.GreetReply)
	if len(details) != 1 || proto.Unmarshal(details[0].Value, reply) != nil || reply.Text != "d" {
		t.Errorf("B155: the error is %v with %v", err, details)
	}
	if want := `{"call":1,"method":"demo.Greeter/Greet","metadata":{"key":["value"]}}`; !strings.Contains(log.String(), want) {
		t.Errorf("B155: the log does not have\n%s\nbut is\n%s", want, log)
	}
}

// talk sends requests on a stream and returns what comes, and how it ends.
func talk[Answer any, P interface {
	*Answer
	proto.Message
}](t *testing.T, client *ttrpc.Client, desc *ttrpc.StreamDesc, method string, requests []proto.Message, show func(P) string) string {
	t.Helper()
	var first any
	if !desc.StreamingClient {
		first = requests[0]
	}
	stream, err := client.NewStream(t.Context(), desc, "demo.Greeter", method, first)
	if err != nil {
		t.Fatal(err)
	}
	if desc.StreamingClient {
		for _, request := range requests {
			if err := stream.SendMsg(request); err != nil {
				t.Fatal(err)
			}
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
	}
	var all []string
	for {
		answer := P(new(Answer))
		err := stream.RecvMsg(answer)
		if err == io.EOF {
			return strings.Join(append(all, "end"), " ")
		} else if err != nil {
			return strings.Join(append(all, status.Code(err).String()), " ")
		}
		if all = append(all, show(answer)); !desc.StreamingServer {
			return strings.Join(all, " ")
		}
	}
}

func number(n *demo.Number) string   { return fmt.Sprint(n.Value) }
func text(r *demo.GreetReply) string { return r.Text }

func numbers(all ...int64) (requests []proto.Message) {
	for _, n := range all {
		requests = append(requests, &demo.Number{Value: n})
	}
	return requests
}

func names(all ...string) (requests []proto.Message) {
	for _, name := range all {
		requests = append(requests, &demo.GreetRequest{Name: name})
	}
	return requests
}

// TestStreams holds what rules mean for each kind of stream.
func TestStreams(t *testing.T) { // B155
	client, log := serve(t, `{
		"demo.Greeter/Count": [
			{"when": {"value": 2}, "answers": [{"value": "1"}, {"value": 2}]},
			{"when": {"value": 3}, "answer": {"value": 1}, "error": {"code": "DATA_LOSS"}},
			{"when": {"value": 4}, "end": true}
		],
		"demo.Greeter/Sum": [
			{"when": {"value": 3}, "answer": {"value": 6}},
			{"at": "message", "when": {"value": 9}, "error": {"code": "OUT_OF_RANGE"}}
		],
		"demo.Greeter/Chat": [
			{"at": "start", "answer": {"text": "Welcome"}},
			{"when": {"name": "bye"}, "answer": {"text": "Bye"}, "end": true},
			{"times": 2, "answers": [{"text": "Hello"}, {"text": "there"}]},
			{"at": "end", "answer": {"text": "Gone?"}}
		]
	}`)
	server, sum, both := &ttrpc.StreamDesc{StreamingServer: true}, &ttrpc.StreamDesc{StreamingClient: true}, &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}
	for want, got := range map[string]string{
		"1 2 end":                                talk(t, client, server, "Count", numbers(2), number),
		"1 DataLoss":                             talk(t, client, server, "Count", numbers(3), number),
		"end":                                    talk(t, client, server, "Count", numbers(4), number),
		"FailedPrecondition":                     talk(t, client, server, "Count", numbers(5), number),
		"6":                                      talk(t, client, sum, "Sum", numbers(1, 2, 3), number),
		"OutOfRange":                             talk(t, client, sum, "Sum", numbers(9), number),
		"Welcome Hello there Bye end":            talk(t, client, both, "Chat", names("x", "bye"), text),
		"Welcome Gone? end":                      talk(t, client, both, "Chat", nil, text),
		"Welcome Hello there FailedPrecondition": talk(t, client, both, "Chat", names("y", "z"), text),
	} {
		if got != want {
			t.Errorf("B155: a stream is answered %q, want %q", got, want)
		}
	}
	if got := talk(t, client, sum, "Sum", numbers(1, 2), number); got != "FailedPrecondition" {
		t.Errorf("B155: a stream that no rule matches is answered %q", got)
	}
	if want := `"method":"demo.Greeter/Count","sent":{"value":"2"}}`; !strings.Contains(log.String(), want) {
		t.Errorf("B155: the log does not have\n%s\nbut is\n%s", want, log)
	}
	client, _ = serve(t, `{"demo.Greeter/Sum": {"at": "message", "when": {"value": 9}, "answer": {"value": 1}}}`)
	if got := talk(t, client, sum, "Sum", numbers(1, 9), number); got != "1" {
		t.Errorf("B155: a stream that is answered early is answered %q", got)
	}
	if got := talk(t, client, sum, "Sum", numbers(1, 2), number); got != "FailedPrecondition" {
		t.Errorf("B155: a stream that has no rule for its end is answered %q", got)
	}
}

// TestWhen holds what is compared of messages within messages.
func TestWhen(t *testing.T) { // B155
	s := &Script{format: &message.Format{Types: protoregistry.GlobalTypes}}
	inner := func(name string, number int32) *reflectionpb.ServerReflectionRequest {
		return &reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingExtension{
			FileContainingExtension: &reflectionpb.ExtensionRequest{ContainingType: name, ExtensionNumber: number}}}
	}
	desc := inner("", 0).ProtoReflect().Descriptor()
	for _, tt := range []struct {
		when    string
		message *reflectionpb.ServerReflectionRequest
		want    bool
	}{
		{`{}`, inner("a", 1), true},
		{`{"fileContainingExtension": {"extensionNumber": 1}}`, inner("a", 1), true},
		{`{"file_containing_extension": {"extension_number": 1}}`, inner("a", 1), true},
		{`{"fileContainingExtension": {"extensionNumber": 2}}`, inner("a", 1), false},
		{`{"fileContainingExtension": {"extensionNumber": 0}}`, inner("a", 0), true},
		{`{"fileContainingExtension": {"extensionNumber": 0}}`, inner("a", 1), false},
		{`{"fileContainingExtension": {"extensionNumber": 0}}`, new(reflectionpb.ServerReflectionRequest), false},
		{`{"fileContainingExtension": {}, "host": ""}`, inner("a", 1), true},
		{`{"fileContainingExtension": {}, "host": "h"}`, inner("a", 1), false},
	} {
		w, err := s.parseWant(desc, []byte(tt.when))
		if err != nil {
			t.Fatal(err)
		}
		m := dynamicpb.NewMessage(desc)
		proto.Merge(m, tt.message)
		if got := w.matches(m); got != tt.want {
			t.Errorf("B155: %s matches %v: %t, want %t", tt.when, tt.message, got, tt.want)
		}
	}
}

// TestMistakes holds that each mistake in a script is told, with where it is.
func TestMistakes(t *testing.T) { // B155
	greet := func(rule string) string { return `{"demo.Greeter/Greet": [{"answer": {}}, ` + rule + `]}` }
	on := func(method, rule string) string { return `{"demo.Greeter/` + method + `": ` + rule + `}` }
	for script, want := range map[string]string{
		``:                               "it ends before its JSON does",
		"{\n \"demo.Greeter/Greet\": x}": "line 2, column 24: invalid character 'x'",
		`[]`:                             "it is not an object whose keys are methods, but begins with [",
		`{}`:                             "it has no methods",
		`{} {}`:                          "line 1, column 4: invalid character '{' after top-level value",
		`{"demo.Greeter/No": {}}`:        `service demo.Greeter has no method "No"`,
		`{"demo.Greeter/Greet": {"answer": {}}, "demo.Greeter.Greet": {"answer": {}}}`: "line 1, method demo.Greeter.Greet: it stands there twice",
		on("Greet", `[]`):                            "line 1, method demo.Greeter/Greet: it has no rules",
		greet(`{"anser": {}}`):                       `line 1, method demo.Greeter/Greet: rule 2: unknown field "anser"`,
		greet(`{"answer": {"txt": ""}}`):             `rule 2: answer 1: unknown field "txt"`,
		greet(`{"answer": {}, "answers": [{}]}`):     "answers: there are 2, and the method has one",
		greet(`{"answer": {}, "error": {"code":5}}`): "it has an answer or an error",
		greet(`{"wait": "1s"}`):                      "it has neither an answer nor an error",
		greet(`{"answer": {}, "wait": "1"}`):         `wait: "1" is no duration such as "10ms" or "2s"`,
		greet(`{"answer": {}, "times": 0}`):          "times: it is 0, and must be 1 or more",
		"{\n\n\"demo.Greeter/Greet\":\n{}}":          "line 4, method demo.Greeter/Greet: rule 1: it has neither",
		`{"demo.Greeter/Greet": {"answer": {}}, "demo.Greeter/Greet": {"answer": {}}}`: "it stands there twice",
		`{"demo.Greeter/Greet": {"answer": {}}`:                                        "it ends before its JSON does",
		`{"Greet": {"answer": {}}}`:                                                    `method Greet: "Greet" is not the name of a method`,
		greet(`"x"`):                                                                   "rule 2: it is no object, but a string",
		greet(`{"times": "x"}`):                                                        "rule 2: times: it may not be a string",
		greet(`{"answer": {}, "at": "dusk"}`):                                          `at: it is "dusk", and may be start, message or end`,
		greet(`{"answer": {}, "at": "end"}`):                                           "at: the client sends one message",
		greet(`{"answer": {}, "at": "start"}`):                                         "at: the call comes with its message",
		greet(`{"answer": {}, "end": true}`):                                           "end: the method does not stream",
		greet(`{"answer": {}, "when": {"nam": 1}}`):                                    "when: ",
		greet(`{"answer": {}, "when": []}`):                                            "when: ",
		greet(`{"error": {}}`):                                                         `error: code: it is neither a name such as "NOT_FOUND" nor a number`,
		greet(`{"error": {"code": "NOTFOUND"}}`):                                       `error: code: there is no "NOTFOUND", only CANCELLED, UNKNOWN,`,
		greet(`{"error": {"code": "OK"}}`):                                             "error: code: OK is no error",
		greet(`{"error": {"code": 5, "details": [{"@type": "no.Such", "x": 1}]}}`):     "error: detail 1: ",
		on("Chat", `{}`):                                                               "it says nothing to do",
		on("Chat", `{"end": true, "error": {"code": 5}}`):                              "only one can be",
		on("Chat", `{"at": "start", "when": {}, "answer": {}}`):                        "when: at the start no message has come",
	} {
		if _, _, err := parse(t, script); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("B155: the script %s: %v, want %q", script, err, want)
		}
	}
}

// TestEcho sends back whatever comes.
func TestEcho(t *testing.T) { // B155
	_, format, err := parse(t, `{"demo.Greeter/Greet": {"answer": {}}}`)
	if err != nil {
		t.Fatal(err)
	}
	flags := schema.Flags{Proto: []string{"demo.proto"}, ImportPaths: []string{"../../testdata/proto"}}
	described, err := flags.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	log := new(bytes.Buffer)
	server, err := ttrpc.NewServer(ttrpc.WithUnknownServiceHandler(Echo(described, NewLog(log, format))))
	if err != nil {
		t.Fatal(err)
	}
	client := connect(t, server)
	m := new(demo.Number)
	if err := client.Call(t.Context(), "made.Up", "Method", &demo.Number{Value: 7}, m); err != nil || m.Value != 7 {
		t.Errorf("B155: a call is answered %v, %v", m, err)
	}
	both, sum := &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, &ttrpc.StreamDesc{StreamingClient: true}
	for want, got := range map[string]string{
		"1 2 end": talk(t, client, both, "MadeUp", numbers(1, 2), number),
		"4":       talk(t, client, sum, "Sum", numbers(3, 4), number),
		"5 end":   talk(t, client, &ttrpc.StreamDesc{StreamingServer: true}, "Count", numbers(5), number),
	} {
		if got != want {
			t.Errorf("B155: a stream is sent back as %q, want %q", got, want)
		}
	}
	if want := `{"call":1,"method":"made.Up/Method","bytes":2}`; !strings.Contains(log.String(), want) {
		t.Errorf("B155: the log does not have\n%s\nbut is\n%s", want, log)
	}
}

// TestCallerGone holds that a call that waits ends with its caller's deadline.
func TestCallerGone(t *testing.T) { // B155
	client, log := serve(t, `{"demo.Greeter/Count": {"answers": [{"value": 1}, {"value": 2}], "wait": "1h"}}`)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := client.NewStream(ctx, &ttrpc.StreamDesc{StreamingServer: true}, "demo.Greeter", "Count", new(demo.Number))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := stream.RecvMsg(new(demo.Number)); !errors.Is(err, context.Canceled) {
		t.Errorf("B155: a call that was given up: %v", err)
	}
	_ = log
}
