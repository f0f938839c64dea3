// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && linux

package ttrpc

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/testkit"
)

// numberedFiles returns n files, which their contents tell apart. They are closed at the end.
func numberedFiles(t *testing.T, n int) (files []*os.File) {
	t.Helper()
	for i := range n {
		fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), "memfd")
		files = append(files, f)
		if _, err := f.WriteString(strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { closeFiles(files) })
	return files
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// manyFiles is how many files connections of tests may hold.
const manyFiles = 2000

// wantNumbered requires files to be those with these numbers, to be closed on exec, and
// closes them.
func wantNumbered(t *testing.T, rule string, files []*os.File, want ...int) {
	t.Helper()
	var got []int
	for _, f := range files {
		b := make([]byte, 10)
		n, err := f.ReadAt(b, 0)
		i, convErr := strconv.Atoi(string(b[:n]))
		if err != io.EOF || convErr != nil {
			t.Fatalf("%s: %v, %v", rule, err, convErr)
		}
		got = append(got, i)
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s: file %d is not closed on exec: %#x, %v", rule, i, flags, err)
		}
		f.Close()
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: the files are %v, want %v", rule, got, want)
	}
}

// upTo returns 0 to n-1.
func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// A watchedFile is a file of which closed tells that nobody has it open any more.
type watchedFile struct {
	*os.File
	reader *os.File
}

func newWatchedFile(t *testing.T) watchedFile {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return watchedFile{w, r}
}

// wantClosed closes the file and requires that all who got it do.
func (f watchedFile) wantClosed(t *testing.T, rule string) {
	t.Helper()
	f.Close()
	f.reader.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := f.reader.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%s: a file stays open: %v", rule, err)
	}
}

// openFiles is how many descriptors the process has, once nothing is to be closed.
func openFiles(t *testing.T) int {
	t.Helper()
	for idle := false; !idle; runtime.Gosched() {
		closing.mu.Lock()
		idle = closing.running == 0 && len(closing.queue) == 0
		closing.mu.Unlock()
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// wantNoMoreFiles waits until the process has no more descriptors than before.
func wantNoMoreFiles(t *testing.T, rule string, before int) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for openFiles(t) > before {
		if time.Now().After(end) {
			t.Fatalf("%s: %d descriptors before and %d after", rule, before, openFiles(t))
		}
	}
}

// reverseWith answers so, with the files that came.
func reverseWith(answer any) Method {
	return func(ctx context.Context, _ func(any) error) (any, error) {
		files, err := FilesFromContext(ctx)
		if err != nil {
			return nil, err
		}
		all := files.Claim()
		defer closeFiles(all)
		slices.Reverse(all)
		return answer, files.Attach(all...)
	}
}

// fileService has what passes files.
func fileService() *ServiceDesc {
	return &ServiceDesc{
		Methods: map[string]Method{
			"Reverse": reverseWith(wrapperspb.String("")),
			"Enlarge": reverseWith(wrapperspb.String(string(make([]byte, 2<<20)))), // more than a socket holds
			"Ignore":  func(context.Context, func(any) error) (any, error) { return wrapperspb.String(""), nil },
			"Fail": func(ctx context.Context, _ func(any) error) (any, error) {
				files, err := FilesFromContext(ctx)
				return nil, errors.Join(err, files.Attach(os.Stdin), status.Error(codes.Aborted, "no"))
			},
		},
		Streams: map[string]Stream{
			"Reverses": {StreamingClient: true, StreamingServer: true, Handler: func(_ context.Context, ss StreamServer) (any, error) {
				for {
					m := &FileMessage{Message: new(wrapperspb.StringValue)}
					if err := ss.RecvMsg(m); err != nil {
						return nil, endOfStream(err)
					}
					slices.Reverse(m.Files)
					err := ss.SendMsg(m)
					closeFiles(m.Files)
					if err != nil {
						return nil, err
					}
				}
			}},
			"Ignores": {StreamingClient: true, Handler: func(_ context.Context, ss StreamServer) (any, error) {
				m := new(wrapperspb.StringValue)
				return m, ss.RecvMsg(m)
			}},
		},
	}
}

// newFilePair is newExtendedPair with fileService at both ends.
func newFilePair(t *testing.T) *extendedPair {
	t.Helper()
	p := newExtendedPair(t, []ServerOpt{WithServerLimits(Limits{Files: manyFiles})}, WithClientLimits(Limits{Files: manyFiles}))
	p.server.RegisterService("files", fileService())
	p.services.RegisterService("files", fileService())
	return p
}

// bothClients are the clients of both ends.
func (p *extendedPair) bothClients() map[string]*Client {
	return map[string]*Client{"client": p.client, "server": p.serverConn().client()}
}

// TestFilesOfCalls holds the order and the most of what a request and an answer carry.
func TestFilesOfCalls(t *testing.T) {
	p := newFilePair(t)
	for name, c := range p.bothClients() {
		for _, n := range []int{0, 1, 2, maxFiles} {
			before := openFiles(t)
			files := numberedFiles(t, n)
			ctx, passed := WithFiles(t.Context())
			if err := passed.Attach(files...); err != nil {
				t.Fatal(err)
			}
			closeFiles(files)
			if err := c.Call(ctx, "files", "Reverse", wrapperspb.String("x"), new(wrapperspb.StringValue)); err != nil {
				t.Fatalf("B51: %s, %d files: %v", name, n, err)
			}
			want := upTo(n)
			slices.Reverse(want)
			wantNumbered(t, "B51: "+name, passed.Claim(), want...)
			if again := passed.Claim(); len(again) != 0 {
				t.Errorf("B51: Claim gives %d files a second time", len(again))
			}
			if after := openFiles(t); after > before {
				t.Errorf("B51: %s, %d files: %d descriptors before and %d after", name, n, before, after)
			}
		}
	}
}

// TestFilesOfStreams holds the same for messages.
func TestFilesOfStreams(t *testing.T) {
	p := newFilePair(t)
	for name, c := range p.bothClients() {
		s, err := c.NewStream(t.Context(), bidi, "files", "Reverses", nil)
		if err != nil {
			t.Fatal(err)
		}
		files := numberedFiles(t, maxFiles)
		for _, n := range []int{1, 0, maxFiles, 3} {
			for _, size := range []int{0, 10, 3 * partSize} { // the last leaves in parts
				text := string(make([]byte, size))
				if err := s.SendMsg(&FileMessage{wrapperspb.String(text), files[:n]}); err != nil {
					t.Fatalf("B51: %s: %v", name, err)
				}
				got := &FileMessage{Message: new(wrapperspb.StringValue)}
				if err := s.RecvMsg(got); err != nil || got.Message.(*wrapperspb.StringValue).Value != text {
					t.Fatalf("B51: %s: %v", name, err)
				}
				want := upTo(n)
				slices.Reverse(want)
				wantNumbered(t, "B51: "+name, got.Files, want...)
			}
		}
		if err := errors.Join(s.CloseSend(), endOfStream(s.RecvMsg(new(wrapperspb.StringValue)))); err != nil {
			t.Error(err)
		}
	}
}

// TestFileMessageUsedAgain holds that a message which is received into again has the files of
// what came last, be it none, or what cannot be decoded.
func TestFileMessageUsedAgain(t *testing.T) {
	p := newFilePair(t)
	s, err := p.client.NewStream(t.Context(), bidi, "files", "Reverses", nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &FileMessage{Message: new(wrapperspb.StringValue)}
	for _, n := range []int{2, 0, 1} {
		files := numberedFiles(t, n)
		if err := s.SendMsg(&FileMessage{Message: wrapperspb.String("x"), Files: files}); err != nil {
			t.Fatal(err)
		}
		closeFiles(files)
		if err := s.RecvMsg(m); err != nil || len(m.Files) != n {
			t.Errorf("B51: %d files with a message, want %d: %v", len(m.Files), n, err)
		}
		closeFiles(m.Files)
	}
	f := newWatchedFile(t)
	if err := s.SendMsg(&FileMessage{Message: wrapperspb.String("x"), Files: []*os.File{f.File}}); err != nil {
		t.Fatal(err)
	}
	m.Message = new(int)
	if err := s.RecvMsg(m); err == nil || m.Files != nil {
		t.Errorf("B51: %d files with what cannot be decoded: %v", len(m.Files), err)
	}
	f.wantClosed(t, "B51: of what cannot be decoded")
}

// TestFilesTooMany holds that 254 are refused, and nothing is attached or sent.
func TestFilesTooMany(t *testing.T) {
	p := newFilePair(t)
	one := numberedFiles(t, 1)
	many := slices.Repeat(one, maxFiles+1)
	before := openFiles(t)
	_, files := WithFiles(t.Context())
	if err := files.Attach(many...); err == nil {
		t.Error("B51: 254 files are attached")
	}
	if err := files.Attach(many[:maxFiles]...); err != nil {
		t.Errorf("B51: 253 files: %v", err)
	}
	if err := files.Attach(one...); err == nil {
		t.Error("B51: one more is attached")
	}
	files.take(nil).drop()
	s, err := p.client.NewStream(t.Context(), bidi, "files", "Reverses", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SendMsg(&FileMessage{wrapperspb.String("x"), many}); err == nil {
		t.Error("B51: a message with 254 files is sent")
	}
	closed := one[0]
	closed.Close()
	if err := files.Attach(closed); err == nil {
		t.Error("B51: a closed file is attached")
	}
	if after := openFiles(t); after > before {
		t.Errorf("B51: %d descriptors before and %d after", before, after)
	}
	if err := s.CloseSend(); err != nil {
		t.Error(err)
	}
}

// TestFilesUnclaimed holds that what nobody wants is closed.
func TestFilesUnclaimed(t *testing.T) {
	p := newFilePair(t)
	call := func(method string) func(*testing.T, *Client, *os.File) {
		return func(t *testing.T, c *Client, f *os.File) {
			ctx, files := WithFiles(t.Context())
			if err := files.Attach(f); err != nil {
				t.Fatal(err)
			}
			c.Call(ctx, "files", method, wrapperspb.String("x"), new(wrapperspb.StringValue))
		}
	}
	stream := func(method string, close bool) func(*testing.T, *Client, *os.File) {
		return func(t *testing.T, c *Client, f *os.File) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s, err := c.NewStream(ctx, bidi, "files", method, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.SendMsg(&FileMessage{wrapperspb.String("x"), []*os.File{f}}); err != nil {
				t.Error(err)
			}
			if close {
				s.RecvMsg(new(wrapperspb.StringValue)) // without files
			}
		}
	}
	for name, send := range map[string]func(*testing.T, *Client, *os.File){
		"a handler that does not ask": call("Ignore"), "a handler that fails": call("Fail"), "an unknown method": call("None"),
		"a stream's handler": stream("Ignores", true), "a stream's caller": stream("Reverses", true), "a stream given up": stream("Reverses", false),
	} {
		t.Run(name, func(t *testing.T) {
			for who, c := range p.bothClients() {
				f := newWatchedFile(t)
				send(t, c, f.File)
				f.wantClosed(t, "B51: "+name+", by the "+who)
			}
		})
	}
}

// TestFilesOfAnswerUnclaimed holds it for a call that was not made with WithFiles.
func TestFilesOfAnswerUnclaimed(t *testing.T) {
	p := newFilePair(t)
	f := newWatchedFile(t)
	p.server.Register("give", map[string]Method{"Give": func(ctx context.Context, _ func(any) error) (any, error) {
		files, err := FilesFromContext(ctx)
		return wrapperspb.String(""), errors.Join(err, files.Attach(f.File))
	}})
	if err := p.client.Call(t.Context(), "give", "Give", wrapperspb.String(""), new(wrapperspb.StringValue)); err != nil {
		t.Error(err)
	}
	f.wantClosed(t, "B51: an answer's files that nobody asked for")
}

// TestFilesOfRefusedCalls holds that the files of a call for which there is no connection, or
// none any more, are closed when it returns.
func TestFilesOfRefusedCalls(t *testing.T) {
	for what, end := range map[string]func(p *extendedPair){
		"closed": func(p *extendedPair) { p.client.Close() },
		"draining": func(p *extendedPair) {
			go p.client.Call(t.Context(), "test", "Block", wrapperspb.String(""), new(wrapperspb.StringValue))
			await(t, "B51", func() bool { return len(p.client.Snapshot().Streams) > 0 })
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			p.client.Shutdown(ctx)
		},
	} {
		p := newFilePair(t)
		if err := p.echo(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		end(p)
		f := newWatchedFile(t)
		ctx, files := WithFiles(t.Context())
		if err := files.Attach(f.File); err != nil {
			t.Fatal(err)
		}
		if err := p.client.Call(ctx, "files", "Ignore", wrapperspb.String(""), new(wrapperspb.StringValue)); !errors.Is(err, ErrClosed) {
			t.Errorf("B51: a call on a %s connection: %v", what, err)
		}
		f.wantClosed(t, "B51: of a call on a "+what+" connection")
		runtime.KeepAlive(files)
		runtime.KeepAlive(ctx)
	}
}

// wantNoFiles requires that neither a request of a call nor of a stream takes files, which
// are closed.
func wantNoFiles(t *testing.T, c *Client) {
	t.Helper()
	f := newWatchedFile(t)
	for _, desc := range []*StreamDesc{nil, bidi} {
		ctx, files := WithFiles(t.Context())
		if err := files.Attach(f.File); err != nil {
			t.Fatal(err)
		}
		var err error
		if desc == nil {
			err = c.Call(ctx, "test", "Echo", wrapperspb.String(""), new(wrapperspb.StringValue))
		} else {
			_, err = c.NewStream(ctx, desc, "test", "Stream", nil)
		}
		if !errors.Is(err, ErrNoFiles) {
			t.Errorf("B51: %v", err)
		}
	}
	f.wantClosed(t, "B51: what was attached")
}

// TestFilesCannotPass holds that where they cannot, it is an error before a byte is sent.
func TestFilesCannotPass(t *testing.T) {
	t.Run("in memory", func(t *testing.T) {
		h := peerHello()
		h.Files = true
		onEitherEndWith(t, h, StreamQueue{}, 0, func(t *testing.T, e *extendedEnd) {
			wantNoFiles(t, e.client)
			e.peer.wantNothing("B51: nothing is sent")
			s := open(t, t.Context(), e.client, bidi, nil)
			e.peer.next("")
			f := newWatchedFile(t)
			if err := s.SendMsg(&FileMessage{wrapperspb.String(""), []*os.File{f.File}}); !errors.Is(err, ErrNoFiles) {
				t.Errorf("B51: %v", err)
			}
			e.peer.wantNothing("B51: nothing is sent")
			if err := s.SendMsg(&FileMessage{Message: wrapperspb.String("x")}); err != nil {
				t.Errorf("B51: a FileMessage without files: %v", err)
			}
			e.peer.want("B51", e.ours(0), messageTypeData, 0, encode(t, wrapperspb.String("x")))
			e.peer.respond(e.ours(0), nil, nil)
			e.ts.RegisterService("files", fileService())
			e.peer.send(e.theirs(0), messageTypeRequest, 0, encode(t, &Request{Service: "files", Method: "Fail"}))
			e.peer.wantStatus("B51: an answer with files", e.theirs(0), codes.Unknown, ErrNoFiles.Error()+": this side has not asked for them, by Limits.Files")
		})
	})
	t.Run("classic", func(t *testing.T) {
		onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
			wantNoFiles(t, c)
			p.wantNothing("B51: nothing is sent")
		})
	})
	t.Run("TCP", func(t *testing.T) {
		a, b := testkit.TCPPair(t)
		s := newExtendedServers(t, nil)
		s.server.accept(t.Context(), b)
		s.connect(t, a, nil)
		wantNoFiles(t, s.client)
	})
	if _, err := FilesFromContext(context.Background()); err == nil {
		t.Error("B51: a context of nobody's has files")
	}
}

// TestFilesWithMetadata holds that a context may have both, in either order (B58).
func TestFilesWithMetadata(t *testing.T) {
	p := newFilePair(t)
	p.server.Register("both", map[string]Method{"Give": func(ctx context.Context, _ func(any) error) (any, error) {
		files, err := FilesFromContext(ctx)
		in := files.Claim()
		defer closeFiles(in)
		return wrapperspb.String(""), errors.Join(err, files.Attach(in...), SetHeader(ctx, MD{"h": {"1"}}), SetTrailer(ctx, MD{"t": {"1"}}))
	}})
	for name, both := range map[string]func() (context.Context, *CallFiles, *ResponseMetadata){
		"files first": func() (context.Context, *CallFiles, *ResponseMetadata) {
			ctx, files := WithFiles(t.Context())
			ctx, md := WithResponseMetadata(ctx)
			return ctx, files, md
		},
		"metadata first": func() (context.Context, *CallFiles, *ResponseMetadata) {
			ctx, md := WithResponseMetadata(t.Context())
			ctx, _ = WithFiles(ctx) // which the next takes the place of
			ctx, files := WithFiles(ctx)
			return ctx, files, md
		},
	} {
		ctx, files, md := both()
		if err := files.Attach(numberedFiles(t, 2)...); err != nil {
			t.Fatal(err)
		}
		if err := p.client.Call(ctx, "both", "Give", wrapperspb.String(""), new(wrapperspb.StringValue)); err != nil {
			t.Fatal(err)
		}
		wantMetadata(t, "B58: "+name, md, MD{"h": {"1"}}, MD{"t": {"1"}})
		wantNumbered(t, "B51: "+name, files.Claim(), 0, 1)
	}
}
