// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/address"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/watch"
)

// A watcher tells on standard error what -v and --ext ask for. Its methods may be called
// concurrently.
type watcher struct {
	level    int
	extended bool
	client   *ttrpc.Client // set before calls are made

	once sync.Once
	mu   sync.Mutex // for w
	w    io.Writer
}

func (f *Flags) watcher() *watcher {
	w := &watcher{level: f.Verbose, extended: f.Extended, w: io.Discard}
	if f.cmd != nil {
		w.w = f.cmd.ErrOrStderr()
	}
	return w
}

// print writes a line, which a mark sets off from the command's own errors.
func (w *watcher) print(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(w.w, "* "+format+"\n", args...)
}

func (w *watcher) connected(a *address.Address, conn net.Conn) {
	if w.level == 0 {
		return
	}
	w.print("connected to %v", a)
	if peer, err := ttrpc.PeerCredentialsOf(conn); err == nil {
		w.print("the server's process is %d, or was when it began to listen, of user %d and group %d", peer.PID, peer.UID, peer.GID)
	}
}

func (w *watcher) metadata(what string, md ttrpc.MD) {
	if w.level == 0 {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(md)) {
		w.print("%s metadata %s: %s", what, key, strings.Join(md[key], ", "))
	}
}

// answer returns a context for a call, and a function that tells, once the context has ended,
// which metadata the answer had.
func (w *watcher) answer(ctx context.Context) (context.Context, func()) {
	if w.level == 0 {
		return ctx, func() {}
	}
	ctx, answer := ttrpc.WithResponseMetadata(ctx)
	return ctx, func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		if md, err := answer.Header(over); err == nil {
			w.metadata("answer's", md)
		}
		w.metadata("trailing", answer.Trailer())
	}
}

func (w *watcher) options() []ttrpc.ClientOpts {
	var opts []ttrpc.ClientOpts
	if w.extended {
		opts = append(opts, ttrpc.WithExtensions(), ttrpc.WithChainUnaryClientInterceptor(w.unary),
			ttrpc.WithChainStreamClientInterceptor(w.stream))
	}
	trace := new(ttrpc.Trace)
	if w.level > 0 {
		trace.Call = w.call
	}
	if w.level > 1 {
		trace.Frame = w.frame
	}
	if w.level > 0 {
		opts = append(opts, ttrpc.WithClientTrace(trace))
	}
	return opts
}

// unary and stream run when it is known what the server has answered to the question for the
// extended mode.

func (w *watcher) unary(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, _ *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
	w.agreed()
	return invoke(ctx, req, resp)
}

func (w *watcher) stream(ctx context.Context, desc *ttrpc.StreamDesc, fullMethod string, open ttrpc.Streamer) (ttrpc.ClientStream, error) {
	w.agreed()
	return open(ctx, desc, fullMethod)
}

// agreed tells once whether the server has agreed to the extended mode.
func (w *watcher) agreed() {
	w.once.Do(func() {
		switch snapshot := w.client.Snapshot(); {
		case snapshot.Extended && snapshot.Files:
			w.print("the server has agreed to the extended mode, with files")
		case snapshot.Extended:
			w.print("the server has agreed to the extended mode")
		case snapshot.State != "closed":
			w.print("the server does not know the extended mode, or was not told to agree: this is a classic connection")
		}
	})
}

func (w *watcher) call(info ttrpc.CallInfo) func(error) {
	begin := time.Now()
	w.print("call %d %s", info.StreamID, info.FullMethod)
	return func(err error) {
		w.print("call %d has ended with %v after %v", info.StreamID, status.Code(err), time.Since(begin).Round(time.Microsecond))
	}
}

func (w *watcher) frame(info ttrpc.FrameInfo) {
	line := watch.Words(info)
	if w.level > 2 && len(info.Data) > 0 {
		line += "\n" + strings.TrimRight(hex.Dump(info.Data), "\n")
	}
	w.print("%s", line)
}
