// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

// A handler reads a file that its caller has open, and answers with one that it has open
// itself.
func ExampleWithFiles() {
	dir, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions(), ttrpc.WithServerLimits(ttrpc.Limits{Files: 16}))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Register("example.Shout", map[string]ttrpc.Method{
		"Shout": func(ctx context.Context, _ func(any) error) (any, error) {
			files, err := ttrpc.FilesFromContext(ctx)
			if err != nil {
				return nil, err
			}
			var text strings.Builder
			for _, f := range files.Claim() { // what is not claimed is closed
				defer f.Close()
				if _, err := io.Copy(&text, f); err != nil {
					return nil, err
				}
			}
			r, w, err := os.Pipe()
			if err != nil {
				return nil, err
			}
			defer r.Close() // Attach duplicates
			defer w.Close()
			if _, err := io.WriteString(w, strings.ToUpper(text.String())); err != nil {
				return nil, err
			}
			return wrapperspb.String("loud"), files.Attach(r)
		},
	})
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(context.Background(), l)

	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	client := ttrpc.NewClient(conn, ttrpc.WithExtensions(), ttrpc.WithClientLimits(ttrpc.Limits{Files: 16}))
	defer client.Close()
	name := filepath.Join(dir, "greeting")
	if err := os.WriteFile(name, []byte("hello"), 0o600); err != nil {
		log.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()

	ctx, files := ttrpc.WithFiles(context.Background()) // for one call
	if err := files.Attach(file); err != nil {
		log.Fatal(err)
	}
	answer := new(wrapperspb.StringValue)
	if err := client.Call(ctx, "example.Shout", "Shout", wrapperspb.String(""), answer); err != nil {
		log.Fatal(err)
	}
	for _, f := range files.Claim() {
		text, err := io.ReadAll(f)
		f.Close()
		fmt.Println(answer.Value, string(text), err)
	}
	// Output: loud HELLO <nil>
}

// Each message of a stream has files of its own.
func ExampleFileMessage() {
	dir, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions(), ttrpc.WithServerLimits(ttrpc.Limits{Files: 16}))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.RegisterService("example.Logs", &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{
		"Open": {StreamingServer: true, Handler: func(_ context.Context, stream ttrpc.StreamServer) (any, error) {
			if err := stream.RecvMsg(new(wrapperspb.StringValue)); err != nil {
				return nil, err
			}
			for _, name := range []string{"first.log", "second.log"} {
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, []byte("the "+name), 0o600); err != nil {
					return nil, err
				}
				f, err := os.Open(path)
				if err != nil {
					return nil, err
				}
				err = stream.SendMsg(&ttrpc.FileMessage{Message: wrapperspb.String(name), Files: []*os.File{f}})
				f.Close() // SendMsg duplicates
				if err != nil {
					return nil, err
				}
			}
			return nil, nil
		}},
	}})
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(context.Background(), l)

	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	client := ttrpc.NewClient(conn, ttrpc.WithExtensions(), ttrpc.WithClientLimits(ttrpc.Limits{Files: 16}))
	defer client.Close()
	stream, err := client.NewStream(context.Background(), &ttrpc.StreamDesc{StreamingServer: true},
		"example.Logs", "Open", wrapperspb.String(""))
	if err != nil {
		log.Fatal(err)
	}
	for {
		name := new(wrapperspb.StringValue)
		m := &ttrpc.FileMessage{Message: name}
		if err := stream.RecvMsg(m); err != nil {
			fmt.Println(err)
			break
		}
		for _, f := range m.Files { // which are the receiver's to close
			text, err := io.ReadAll(f)
			f.Close()
			fmt.Printf("%s: %s %v\n", name.Value, text, err)
		}
	}
	// Output:
	// first.log: the first.log <nil>
	// second.log: the second.log <nil>
	// EOF
}
