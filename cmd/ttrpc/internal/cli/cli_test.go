// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/program"
)

func TestMain(m *testing.M) { program.Main(m, interrupted) }

// interrupted is a program that runs until it is interrupted, and then ends or hangs.
func interrupted() {
	os.Exit(Run(System(), func(*Env) *cobra.Command {
		root := &cobra.Command{Use: "ttrpc"}
		root.AddCommand(&cobra.Command{Use: "end", RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Println("running")
			<-cmd.Context().Done()
			return CallExit(cmd.Context().Err())
		}}, &cobra.Command{Use: "hang", RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Println("running")
			<-cmd.Context().Done()
			fmt.Println("cancelled")
			time.Sleep(time.Hour)
			return nil
		}})
		return root
	}, os.Args[1:]))
}

// env returns an Env with variables, and what is printed there.
func env(variables map[string]string) (*Env, *bytes.Buffer, *bytes.Buffer) {
	var stdout, stderr bytes.Buffer
	return &Env{Stdin: new(bytes.Buffer), Stdout: &stdout, Stderr: &stderr, Getenv: func(name string) string { return variables[name] }}, &stdout, &stderr
}

// run runs a program whose command fails with err.
func run(err error, args ...string) (code int, stderr string) {
	e, _, out := env(nil)
	code = Run(e, func(*Env) *cobra.Command {
		root := &cobra.Command{Use: "ttrpc"}
		root.AddCommand(&cobra.Command{Use: "fail", RunE: func(*cobra.Command, []string) error { return err }})
		return root
	}, append([]string{"fail"}, args...))
	return code, out.String()
}

func TestCodes(t *testing.T) {
	withDetail, err := status.New(codes.NotFound, "no such thing").WithDetails(&errdetails.ErrorInfo{Reason: "GONE", Domain: "test"})
	if err != nil {
		t.Fatal(err)
	}
	unknown := &spb.Status{Code: 9, Message: "m", Details: []*anypb.Any{{TypeUrl: "x.y/Unknown", Value: []byte{8, 1}}}}
	for _, test := range []struct {
		err    error
		code   int
		status codes.Code
		text   string
	}{
		{nil, 0, 0, ""},
		{errors.New("wrong"), 1, codes.InvalidArgument, "ttrpc: wrong\n\"ttrpc fail --help\""},
		{Usage("try it", "bad %d", 1), 1, codes.InvalidArgument, "ttrpc: bad 1\ntry it\n"},
		{&Exit{Code: ExitConnect, Err: errors.New("ttrpc: nobody")}, 2, codes.Unavailable, "ttrpc: nobody\n"},
		{CallExit(fmt.Errorf("reading: %w", ttrpc.ErrClosed)), 3, codes.Unavailable, "ttrpc: reading: ttrpc: closed\n\"ttrpc ping\""},
		{Input("", "bad JSON"), 4, codes.InvalidArgument, "ttrpc: bad JSON\n"},
		{CallExit(withDetail.Err()), 69, codes.NotFound, "ttrpc: NotFound (5): no such thing\n  {"},
		{CallExit(status.ErrorProto(unknown)), 73, codes.FailedPrecondition, `{"@type":"x.y/Unknown","value":"CAE="}`},
		{CallExit(status.Error(codes.Unimplemented, "no")), 76, codes.Unimplemented, "ttrpc list"},
		{CallExit(context.DeadlineExceeded), 68, codes.DeadlineExceeded, "--timeout"},
		{CallExit(context.Canceled), 65, codes.Canceled, "context canceled"},
		{fmt.Errorf("outer: %w", CallExit(status.Error(codes.DataLoss, "inner"))), 79, codes.DataLoss, "inner"},
	} {
		code, text := run(test.err)
		if code != test.code || !strings.Contains(text, test.text) || (text == "") != (test.err == nil) {
			t.Errorf("B168: %v ends with %d and\n%s\nwant %d and %s", test.err, code, text, test.code, test.text)
		}
		if test.err == nil {
			continue
		}
		code, text = run(test.err, "--format-error", "json")
		var st struct {
			Code    int
			Message string
		}
		if err := json.Unmarshal([]byte(text), &st); err != nil || code != test.code || codes.Code(st.Code) != test.status || st.Message == "" {
			t.Errorf("B168: %v is %s with %d, %v; want code %v", test.err, text, code, err, test.status)
		}
		if strings.Contains(text, "x.y/Unknown") {
			continue // which only who knows it can read
		}
		if err := protojson.Unmarshal([]byte(text), new(spb.Status)); err != nil {
			t.Errorf("B168: %s is no google.rpc.Status: %v", text, err)
		}
	}
}

// TestDetails has a command format details itself.
func TestDetails(t *testing.T) {
	exit := &Exit{Code: ExitStatus + 5, Err: status.Error(codes.NotFound, "m"), Details: []json.RawMessage{[]byte(`{"own":1}`)}}
	for _, args := range [][]string{nil, {"--format-error=json"}} {
		if _, text := run(exit, args...); !strings.Contains(text, `{"own":1}`) {
			t.Errorf("B168: %s", text)
		}
	}
}

func TestColour(t *testing.T) {
	for _, test := range []struct {
		terminal  bool
		variables map[string]string
		want      string
	}{
		{true, nil, "\x1b[31mx\x1b[0m"},
		{false, nil, "x"},
		{true, map[string]string{"NO_COLOR": "1"}, "x"},
		{true, map[string]string{"TERM": "dumb"}, "x"},
	} {
		e, _, _ := env(test.variables)
		e.StdoutTerminal = test.terminal
		if got := e.Paint(Red, "x"); got != test.want {
			t.Errorf("B168: %+v: %q", test, got)
		}
	}
}

func TestProgress(t *testing.T) {
	e, stdout, stderr := env(nil)
	p := e.Progress("read", 4)
	p.Add(1)
	p.Done()
	if stdout.Len()+stderr.Len() != 0 {
		t.Errorf("B168: progress in a pipe: %q, %q", stdout, stderr)
	}
	e.StderrTerminal = true
	p = e.Progress("read", 4)
	p.Add(1)
	if want := "\r\x1b[Kread: 1 of 4 (25 %)"; stderr.String() != want || stdout.Len() != 0 {
		t.Errorf("B168: %q, want %q", stderr, want)
	}
	p.Add(1) // too soon to be shown
	p.Done()
	p.Add(1)
	if want := "\r\x1b[Kread: 1 of 4 (25 %)\r\x1b[K"; stderr.String() != want {
		t.Errorf("B168: %q, want %q", stderr, want)
	}
	stderr.Reset()
	p = e.Progress("read", 0)
	p.Add(7)
	if want := "\r\x1b[Kread: 7"; stderr.String() != want {
		t.Errorf("B168: %q, want %q", stderr, want)
	}
}

func TestVersion(t *testing.T) {
	for want, info := range map[string]debug.BuildInfo{
		"v1.3.0": {Main: debug.Module{Version: "v1.3.0"}},
		"devel":  {Main: debug.Module{Version: "(devel)"}},
		"devel-0123456789ab+changed": {Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}}},
	} {
		if got := buildVersion(&info); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
