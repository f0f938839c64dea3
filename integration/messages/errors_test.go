// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package messages

import (
	"context"
	"strings"
	"testing"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/integration/messages/gen/gogofast"
	"github.com/containerd/ttrpc/integration/messages/gen/gogoplain"
	"github.com/containerd/ttrpc/integration/messages/gen/golang"
	"github.com/containerd/ttrpc/integration/messages/gen/opaque"
	"github.com/containerd/ttrpc/integration/messages/gen/open"
	"github.com/containerd/ttrpc/integration/messages/gen/required"
	"github.com/containerd/ttrpc/integration/messages/gen/vt"
)

const service = "messages.errors"

// fixture answers with what a test chooses, and decodes into what it chooses.
func fixture(request, response any) *ttrpc.ServiceDesc {
	return &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"Call": func(_ context.Context, unmarshal func(any) error) (any, error) {
				if err := unmarshal(request); err != nil {
					return nil, err
				}
				return response, nil
			},
		},
		Streams: map[string]ttrpc.Stream{
			"Receive": {StreamingClient: true, StreamingServer: true, Handler: func(_ context.Context, s ttrpc.StreamServer) (any, error) {
				return nil, s.RecvMsg(request)
			}},
			"Send": {StreamingServer: true, Handler: func(_ context.Context, s ttrpc.StreamServer) (any, error) {
				return nil, s.SendMsg(response)
			}},
		},
	}
}

func call(c *ttrpc.Client, req, resp any) error {
	return c.Call(context.Background(), service, "Call", req, resp)
}

func stream(t *testing.T, c *ttrpc.Client, method string, clientStreams bool, req any) ttrpc.ClientStream {
	t.Helper()
	desc := &ttrpc.StreamDesc{StreamingClient: clientStreams, StreamingServer: true}
	s, err := c.NewStream(context.Background(), desc, service, method, req)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// notMessage is a struct as a program may pass by mistake.
type notMessage struct{ Name string }

// TestUnknownTypes passes what is no message, everywhere.
func TestUnknownTypes(t *testing.T) {
	tests := []struct {
		value any
		name  string
	}{
		{"text", "string"},
		{new(string), "*string"},
		{&notMessage{}, "*messages.notMessage"},
		{open.Sample_RED, "open.Sample_Color"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			marshal := "ttrpc: cannot marshal unknown type: " + test.name
			unmarshal := "ttrpc: cannot unmarshal into unknown type: " + test.name
			badRequest := "ttrpc: error unsupported request type: " + test.name
			badResponse := "ttrpc: error unsupported response type: " + test.name
			good := &open.Sample{Name: "good"}
			c := connect(t, service, fixture(test.value, test.value))

			wantText(t, "the request of Call", call(c, test.value, good), marshal)
			s := stream(t, c, "Receive", true, nil)
			wantText(t, "SendMsg", s.SendMsg(test.value), marshal)
			_, err := c.NewStream(context.Background(), &ttrpc.StreamDesc{StreamingServer: true}, service, "Send", test.value)
			wantText(t, "the request of NewStream", err, marshal)

			// The stream is as it was, and the handler still waits.
			if err := s.SendMsg(good); err != nil {
				t.Fatal(err)
			}
			wantStatus(t, "the server's RecvMsg", s.RecvMsg(good), codes.Internal, badRequest)
			wantStatus(t, "the server's unmarshal", call(c, good, good), codes.Internal, badRequest)
			wantStatus(t, "the server's SendMsg", stream(t, c, "Send", false, good).RecvMsg(good), codes.Internal, badResponse)

			c = connect(t, service, fixture(&open.Sample{}, test.value))
			wantStatus(t, "the handler's response", call(c, good, good), codes.Internal, badResponse)

			c = connect(t, service, fixture(&open.Sample{}, good))
			wantText(t, "the response of Call", call(c, good, test.value), unmarshal)
			wantText(t, "RecvMsg", stream(t, c, "Send", false, good).RecvMsg(test.value), unmarshal)
			if err := call(c, good, good); err != nil {
				t.Errorf("B44: the connection after all that: %v", err)
			}
		})
	}
}

func wantText(t *testing.T, what string, err error, want string) {
	t.Helper()
	if err == nil || err.Error() != want {
		t.Errorf("B44: %s: %v, want %s", what, err, want)
	}
}

func wantStatus(t *testing.T, what string, err error, code codes.Code, want string) {
	t.Helper()
	if st, ok := status.FromError(err); !ok || st.Code() != code || st.Message() != want {
		t.Errorf("B10, B44: %s: %v, want %v: %s", what, err, code, want)
	}
}

// wantPart checks that an error has a code, or is no status if that is OK, and that
// its text begins and goes on in some way; protobuf's own texts vary in their blanks.
func wantPart(t *testing.T, what string, err error, code codes.Code, begin, part string) {
	t.Helper()
	text := ""
	if st, ok := status.FromError(err); ok && err != nil {
		text = st.Message()
		if st.Code() != code {
			t.Errorf("B10, B44: %s: %v, want %v", what, err, code)
		}
	} else if err != nil && code == codes.OK {
		text = err.Error()
	}
	if !strings.HasPrefix(text, begin) || !strings.Contains(text, part) {
		t.Errorf("B10, B44: %s: %v, want %s…%s", what, err, begin, part)
	}
}

// TestRequired leaves out a field that proto2 requires.
func TestRequired(t *testing.T) {
	const missing = "required field"
	incomplete, complete := &required.Required{}, &required.Required{Name: new(string)}
	c := connect(t, service, fixture(&required.Required{}, incomplete))
	wantPart(t, "the request", call(c, incomplete, complete), codes.OK, "", missing)
	wantPart(t, "the decoded request", call(c, &open.Sample{}, complete), codes.Internal, "ttrpc: error unmarshalling payload: ", missing)
	wantPart(t, "the response", call(c, complete, complete), codes.Internal, "ttrpc: error marshaling payload: ", missing)
	wantPart(t, "the server's SendMsg", stream(t, c, "Send", false, complete).RecvMsg(complete), codes.Internal, "ttrpc: error marshaling payload: ", missing)

	c = connect(t, service, fixture(&open.Sample{}, &open.Sample{}))
	wantPart(t, "the decoded response", call(c, complete, &required.Required{}), codes.OK, "", missing)

	c = connect(t, service, fixture(&required.Required{}, complete))
	got := &required.Required{}
	if err := call(c, complete, got); err != nil || got.Name == nil || got.GetNumber() != 7 {
		t.Errorf("B44: %v, %v, want a name and the default number", got, err)
	}
}

// TestInvalidUTF8 has text that is none, which some kinds refuse to encode and others
// let pass: vtprotobuf's if its methods are asked for, and some of gogo/protobuf's.
func TestInvalidUTF8(t *testing.T) {
	const bad, invalid = "\xff", "invalid UTF-8"
	opaqueSample := new(opaque.Sample)
	opaqueSample.SetName(bad)
	refused := []any{&open.Sample{Name: bad}, opaqueSample, &vt.Sample{Name: bad}, &gogoplain.Sample{Name: bad}, &golang.Sample{Name: bad}}
	for _, m := range refused {
		c := connect(t, service, fixture(&open.Sample{}, m))
		wantPart(t, "the request", call(c, m, &open.Sample{}), codes.OK, "", invalid)
		wantPart(t, "the response", call(c, &open.Sample{}, &open.Sample{}), codes.Internal, "ttrpc: error marshaling payload: ", invalid)
	}
	for _, m := range []any{&vt.Sample{Name: bad}, &gogofast.Sample{Name: bad}} {
		c := connectWith(t, service, fixture(&open.Sample{}, m), []ttrpc.ServerOpt{ttrpc.WithServerVTProto()}, []ttrpc.ClientOpts{ttrpc.WithVTProto()})
		wantPart(t, "the decoded request", call(c, m, &open.Sample{}), codes.Internal, "ttrpc: error unmarshalling payload: ", invalid)
		wantPart(t, "the decoded response", call(c, &open.Sample{}, &open.Sample{}), codes.OK, "", invalid)
		wantPart(t, "RecvMsg", stream(t, c, "Send", false, nil).RecvMsg(&open.Sample{}), codes.OK, "", invalid)
	}
}
