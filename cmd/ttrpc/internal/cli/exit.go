// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/containerd/ttrpc"
)

// The codes that the program ends with, beside 64 plus a status code.
const (
	ExitOK      = 0
	ExitUsage   = 1 // called in a wrong way
	ExitConnect = 2 // no connection, or the handshake was refused
	ExitLost    = 3 // the connection was lost
	ExitInput   = 4 // bad input, or descriptors that are missing or wrong
	ExitStatus  = 64

	ExitNotServing = 5 // of health: what was asked for does not serve

	// CodeDeadline is that of a server that does not answer in time.
	CodeDeadline = ExitStatus + int(codes.DeadlineExceeded)
)

// An Exit is an error with the code that the program ends with.
type Exit struct {
	Code int
	Err  error
	Hint string // what to try next; may be empty

	// Details are those of a status, as JSON. If it is nil they are made of Err, as far as
	// the program knows their types.
	Details []json.RawMessage
}

// Error implements error.
func (x *Exit) Error() string { return x.Err.Error() }

// Unwrap returns the error without its code.
func (x *Exit) Unwrap() error { return x.Err }

// Usage returns an error of who called the program.
func Usage(hint, format string, args ...any) *Exit {
	return &Exit{Code: ExitUsage, Err: fmt.Errorf(format, args...), Hint: hint}
}

// Input returns an error of what was to be read.
func Input(hint, format string, args ...any) *Exit {
	return &Exit{Code: ExitInput, Err: fmt.Errorf(format, args...), Hint: hint}
}

// CallExit returns the Exit for the error of a call: by its status, or that the connection was
// lost. It returns nil for nil, and what is an Exit already as it is.
func CallExit(err error) error {
	exit := new(Exit)
	if err == nil || errors.As(err, &exit) {
		return err
	}
	if IsRefused(err) {
		if !errors.Is(err, ttrpc.ErrClosed) {
			err = fmt.Errorf("no connection: %s", status.Convert(err).Message())
		}
		return &Exit{Code: ExitConnect, Err: err, Hint: "The server takes other users only, or other processes."}
	}
	if errors.Is(err, ttrpc.ErrClosed) {
		return &Exit{Code: ExitLost, Err: err, Hint: `"ttrpc ping" tells whether the server still answers, and whether it speaks ttrpc.`}
	}
	st := asStatus(err)
	return &Exit{Code: ExitStatus + int(st.Code()), Err: err, Hint: hintFor(st.Code())}
}

// IsRefused tells whether the error of a call says that the server has refused the connection. In the
// extended mode that is the cause of its end, else the answer to the first call.
func IsRefused(err error) bool {
	const refused = "ttrpc: the peer refuses the connection"
	if errors.Is(err, ttrpc.ErrClosed) {
		return strings.Contains(err.Error(), refused)
	}
	st, ok := status.FromError(err)
	return ok && st.Code() == codes.PermissionDenied && strings.HasPrefix(st.Message(), refused)
}

// asStatus returns the status of an error of a call. An error that is none has not come from
// the server.
func asStatus(err error) *status.Status {
	st, ok := status.FromError(err)
	switch {
	case ok:
		p := st.Proto() // whose text, if something wraps the status, tells the code once more
		p.Message = strings.Replace(p.GetMessage(), fmt.Sprintf("rpc error: code = %v desc = ", st.Code()), "", 1)
		return status.FromProto(p)
	case errors.Is(err, context.Canceled):
		return status.New(codes.Canceled, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return status.New(codes.DeadlineExceeded, err.Error())
	}
	return status.New(codes.Internal, err.Error())
}

// hintFor says what to try after a status.
func hintFor(code codes.Code) string {
	switch code {
	case codes.Unimplemented:
		return `The server does not have that method. "ttrpc list ADDRESS" shows what it has, if it tells; or it is the wrong server.`
	case codes.DeadlineExceeded:
		return `--timeout sets another deadline. "ttrpc ping ADDRESS" tells whether the server answers at all.`
	}
	return ""
}

// end tells of the error of a command, and returns the code for it.
func (e *Env) end(cmd *cobra.Command, err error) int {
	if err == nil {
		return ExitOK
	}
	exit := &Exit{Code: ExitUsage, Err: err, Hint: fmt.Sprintf(`"%s --help" shows how it is called.`, cmd.CommandPath())}
	errors.As(err, &exit)
	if e.JSONErrors {
		fmt.Fprintf(e.Stderr, "%s\n", exit.json())
	} else {
		fmt.Fprint(e.Stderr, exit.text())
	}
	return exit.Code
}

// text is what people read.
func (x *Exit) text() string {
	var b strings.Builder
	if _, ok := status.FromError(x.Err); ok && x.Code >= ExitStatus {
		st := asStatus(x.Err)
		fmt.Fprintf(&b, "ttrpc: %v (%d): %s\n", st.Code(), st.Code(), st.Message())
	} else {
		fmt.Fprintf(&b, "ttrpc: %s\n", strings.TrimPrefix(x.Err.Error(), "ttrpc: "))
	}
	for _, d := range x.details() {
		fmt.Fprintf(&b, "  %s\n", d)
	}
	if x.Hint != "" {
		fmt.Fprintln(&b, x.Hint)
	}
	return b.String()
}

// details returns those of the status.
func (x *Exit) details() []json.RawMessage {
	st, ok := status.FromError(x.Err)
	if x.Details != nil || !ok || x.Code < ExitStatus {
		return x.Details
	}
	var all []json.RawMessage
	for _, d := range st.Proto().GetDetails() {
		text, err := protojson.Marshal(d)
		if err != nil { // of a type that nobody here knows
			text, _ = json.Marshal(map[string]any{"@type": d.TypeUrl, "value": d.Value})
		}
		all = append(all, text)
	}
	return all
}

// json is what programs read: google.rpc.Status. What is no status of the server's has a
// google.rpc.ErrorInfo of the domain "ttrpc". What to try next is a google.rpc.Help.
func (x *Exit) json() []byte {
	st := &spb.Status{Code: int32(x.Code - ExitStatus), Message: asStatus(x.Err).Message()}
	details := x.details()
	add := func(m proto.Message) {
		text, _ := protojson.Marshal(m)
		all := map[string]json.RawMessage{}
		json.Unmarshal(text, &all)
		all["@type"], _ = json.Marshal("type.googleapis.com/" + string(m.ProtoReflect().Descriptor().FullName()))
		text, _ = json.Marshal(all)
		details = append(details, text)
	}
	if x.Code < ExitStatus {
		reason := reasons[x.Code]
		st = &spb.Status{Code: int32(reason.code), Message: x.Err.Error()}
		add(&errdetails.ErrorInfo{Reason: reason.name, Domain: "ttrpc"})
	}
	if x.Hint != "" {
		add(&errdetails.Help{Links: []*errdetails.Help_Link{{Description: x.Hint}}})
	}
	text, _ := json.Marshal(struct {
		Code    int32             `json:"code"`
		Message string            `json:"message"`
		Details []json.RawMessage `json:"details,omitempty"`
	}{st.Code, st.Message, details})
	return text
}

// reasons are what JSON says for the codes that are no status's.
var reasons = map[int]struct {
	name string
	code codes.Code
}{
	ExitUsage:   {"USAGE", codes.InvalidArgument},
	ExitConnect: {"CONNECT", codes.Unavailable},
	ExitLost:    {"LOST", codes.Unavailable},
	ExitInput:   {"INPUT", codes.InvalidArgument},

	ExitNotServing: {"NOT_SERVING", codes.Unavailable},
}
