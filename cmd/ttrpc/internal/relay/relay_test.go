// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package relay

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/containerd/ttrpc/internal/leak"
	"github.com/containerd/ttrpc/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// A recording is a tap that keeps what it is told.
type recording struct {
	mu    sync.Mutex
	data  [2][]byte
	files [2]int
	ends  [2][]error
}

func (r *recording) Data(fromServer bool, data []byte, files int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := index(fromServer)
	r.data[i] = append(r.data[i], data...)
	r.files[i] += files
}

func (r *recording) End(fromServer bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ends[index(fromServer)] = append(r.ends[index(fromServer)], err)
}

func index(fromServer bool) int {
	if fromServer {
		return 1
	}
	return 0
}

// A between is a relay with its two peers.
type between struct {
	client, server net.Conn
	tap            recording
	done           <-chan struct{}
}

func newBetween(t *testing.T, pair func(testing.TB) (net.Conn, net.Conn)) *between {
	b := new(between)
	var client, server net.Conn
	b.client, client = pair(t)
	server, b.server = pair(t)
	b.done = testkit.WaitFor(func() { Copy(client, server, &b.tap) })
	t.Cleanup(func() { b.client.Close(); b.server.Close(); <-b.done })
	return b
}

func tcpPair(t testing.TB) (net.Conn, net.Conn) { return testkit.TCPPair(t) }

// TestBytes sends random bytes both ways at once, in writes of all sizes, through sockets that
// hold little, and compares each.
func TestBytes(t *testing.T) {
	for name, pair := range map[string]func(testing.TB) (net.Conn, net.Conn){"unix": testkit.SocketPair, "tcp": tcpPair} {
		t.Run(name, func(t *testing.T) {
			b := newBetween(t, pair)
			var wg sync.WaitGroup
			sums, received := make([][sha256.Size]byte, 2), make([][sha256.Size]byte, 2)
			for i, conn := range []net.Conn{b.client, b.server} {
				r := rand.New(rand.NewPCG(uint64(i), 7))
				wg.Go(func() {
					var sent []byte
					for len(sent) < 1<<20 {
						piece := make([]byte, r.IntN(1<<(1+r.IntN(18))))
						for i := range piece {
							piece[i] = byte(r.Uint32())
						}
						if _, err := conn.Write(piece); err != nil {
							t.Error(err)
							return
						}
						sent = append(sent, piece...)
					}
					sums[i] = sha256.Sum256(sent)
					conn.(interface{ CloseWrite() error }).CloseWrite()
				})
				wg.Go(func() {
					got, err := io.ReadAll(conn)
					if err != nil {
						t.Error(err)
					}
					received[i] = sha256.Sum256(got)
				})
			}
			testkit.Within(t, "B180", wg.Wait)
			<-b.done
			if received[0] != sums[1] || received[1] != sums[0] {
				t.Error("B180: other bytes have come than were sent")
			}
			if b.tap.ends[0][0] != nil || b.tap.ends[1][0] != nil || len(b.tap.ends[0]) != 1 {
				t.Errorf("B180: the ends are told as %v", b.tap.ends)
			}
			for i := range 2 {
				if sum := sha256.Sum256(b.tap.data[i]); sum != sums[i] {
					t.Error("B180: the tap was told of other bytes")
				}
			}
		})
	}
}

// TestHalfClose holds that a side that is closed is closed at the other end, too, while the
// other side goes on.
func TestHalfClose(t *testing.T) {
	for name, pair := range map[string]func(testing.TB) (net.Conn, net.Conn){"unix": testkit.SocketPair, "tcp": tcpPair} {
		t.Run(name, func(t *testing.T) {
			b := newBetween(t, pair)
			testkit.Within(t, "B180", func() {
				write(t, b.client, "the last")
				b.client.(interface{ CloseWrite() error }).CloseWrite()
				if got, err := io.ReadAll(b.server); string(got) != "the last" || err != nil {
					t.Errorf("B180: %q, %v", got, err)
				}
				write(t, b.server, "and an answer")
				b.server.Close()
				if got, err := io.ReadAll(b.client); string(got) != "and an answer" || err != nil {
					t.Errorf("B180: %q, %v", got, err)
				}
				<-b.done
			})
		})
	}
}

// TestGone holds that who writes to a peer that has gone is told so, and that nothing is left.
func TestGone(t *testing.T) {
	b := newBetween(t, testkit.SocketPair)
	testkit.Within(t, "B180", func() {
		b.server.Close()
		if got, err := io.ReadAll(b.client); len(got) > 0 || err != nil {
			t.Errorf("B180: %q, %v", got, err)
		}
		for err := error(nil); err == nil; _, err = b.client.Write(make([]byte, 1<<10)) {
		}
		<-b.done
	})
	if !errors.Is(b.tap.ends[0][0], syscall.EPIPE) {
		t.Errorf("B180: the tap is told %v", b.tap.ends[0])
	}
}

// TestReadsNoMore holds that who writes to a peer that reads no more is told so, while the
// other direction goes on.
func TestReadsNoMore(t *testing.T) {
	b := newBetween(t, testkit.SocketPair)
	testkit.Within(t, "B180", func() {
		b.server.(*net.UnixConn).CloseRead()
		for err := error(nil); err == nil; _, err = b.client.Write(make([]byte, 1<<10)) {
		}
		write(t, b.server, "still there")
		b.server.Close()
		if got, err := io.ReadAll(b.client); string(got) != "still there" || err != nil {
			t.Errorf("B180: %q, %v", got, err)
		}
	})
}

func write(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Error(err)
	}
}

// pipes returns descriptors that can be told apart: each has a number to be read from it.
func pipes(t *testing.T, n int) (fds []int) {
	for i := range n {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(w, i)
		w.Close()
		defer r.Close()
		fd, err := syscall.Dup(int(r.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
	}
	return fds
}

// TestFiles passes descriptors both ways, as many as the kernel lets with one write, and holds
// that they arrive in order, with or before the bytes with which they were sent.
func TestFiles(t *testing.T) {
	for _, fromServer := range []bool{false, true} {
		b := newBetween(t, testkit.SocketPair)
		from, to := b.client.(*net.UnixConn), b.server.(*net.UnixConn)
		if fromServer {
			from, to = to, from
		}
		counts := []int{1, 253, 3}
		go func() {
			for _, n := range counts {
				fds := pipes(t, n)
				from.WriteMsgUnix([]byte("before "), nil, nil)
				if _, _, err := from.WriteMsgUnix([]byte("with"), syscall.UnixRights(fds...), nil); err != nil {
					t.Error(err)
				}
				closeAll(fds)
				from.WriteMsgUnix([]byte(" after. "), nil, nil)
			}
			from.CloseWrite()
		}()
		testkit.Within(t, "B180", func() {
			var text []byte
			var numbers []string
			late := false
			for {
				buf, oob := make([]byte, 100), make([]byte, 4096)
				n, oobn, _, _, err := to.ReadMsgUnix(buf, oob)
				for _, fd := range rights(oob[:oobn]) {
					f := os.NewFile(uintptr(fd), "received")
					number, _ := io.ReadAll(f)
					f.Close()
					numbers = append(numbers, string(number))
				}
				text = append(text, buf[:n]...)
				due := 0
				for i := range bytes.Count(text, []byte("with")) {
					due += counts[i]
				}
				late = late || len(numbers) < due
				if err != nil {
					break
				}
			}
			if want := "before with after. before with after. before with after. "; string(text) != want || late {
				t.Errorf("B180: %q has come, descriptors late: %v", text, late)
			}
			var want []string
			for _, n := range counts {
				for i := range n {
					want = append(want, fmt.Sprint(i))
				}
			}
			if !slices.Equal(numbers, want) {
				t.Errorf("B180: %d descriptors have come, with %v", len(numbers), numbers)
			}
		})
		to.Close()
		from.Close()
		<-b.done
		if b.tap.files[index(fromServer)] != 257 {
			t.Errorf("B180: the tap was told of %v descriptors", b.tap.files)
		}
	}
}

// TestFilesLost holds that descriptors that cannot be passed on are an error, and closed.
func TestFilesLost(t *testing.T) {
	b := new(between)
	var client net.Conn
	b.client, client = testkit.SocketPair(t)
	server, far := tcpPair(t)
	b.done = testkit.WaitFor(func() { Copy(client, server, &b.tap) })
	fds := pipes(t, 2)
	if _, _, err := b.client.(*net.UnixConn).WriteMsgUnix([]byte("x"), syscall.UnixRights(fds...), nil); err != nil {
		t.Fatal(err)
	}
	closeAll(fds)
	testkit.Within(t, "B180", func() {
		io.ReadAll(far)
		far.Close()
		b.client.Close()
		<-b.done
	})
	if !errors.Is(b.tap.ends[0][0], ErrFilesLost) {
		t.Errorf("B180: the tap is told %v", b.tap.ends[0])
	}
}
