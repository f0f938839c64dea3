// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/libchan"
	"github.com/containerd/ttrpc/libchan/js"
	"github.com/containerd/ttrpc/transport/websocket"
)

//go:embed page
var page embed.FS

// A house has a room, and two doors to it: an HTTP server with the page, and a unix socket.
type house struct {
	sessions *ttrpc.Server
	web      *http.Server
	mux      *http.ServeMux
	dir      string
	Page     string // the URL of the page
	Socket   string // the address of the websocket
	Unix     string // and of the unix socket
}

// open opens a house whose page is at a TCP address.
func open(address string) (*house, error) {
	sessions, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		return nil, err
	}
	r := &room{members: make(map[string]chan<- Event)}
	if err := libchan.Register(sessions, libchan.WithCodec(libchan.JSON), libchan.WithHandler(r.enter)); err != nil {
		return nil, err
	}
	tcp, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "chat")
	if err != nil {
		return nil, err
	}
	unix, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return nil, err
	}
	files, err := fs.Sub(page, "page")
	if err != nil {
		return nil, err
	}
	pages := new(websocket.Listener)
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServerFS(files))
	mux.Handle("/libchan/", http.StripPrefix("/libchan/", http.FileServerFS(js.Files)))
	mux.Handle("/session", pages)
	h := &house{
		sessions: sessions,
		web:      &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second},
		mux:      mux,
		dir:      dir,
		Page:     fmt.Sprintf("http://%s/", tcp.Addr()),
		Socket:   fmt.Sprintf("ws://%s/session", tcp.Addr()),
		Unix:     "unix:" + unix.Addr().String(),
	}
	go sessions.Serve(context.Background(), pages)
	go sessions.Serve(context.Background(), unix)
	go h.web.Serve(tcp)
	return h, nil
}

// close closes both doors, and puts everybody out.
func (h *house) close() error {
	return errors.Join(h.sessions.Close(), h.web.Close(), os.RemoveAll(h.dir))
}

// serve has a house be open until ctx ends.
func serve(ctx context.Context, address string, out io.Writer) error {
	h, err := open(address)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The page is at %s. From a terminal, join with:\n\n    go run -C example/chat . join %s NAME\n", h.Page, h.Unix)
	<-ctx.Done()
	return h.close()
}
