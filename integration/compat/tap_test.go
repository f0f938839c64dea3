// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/containerd/ttrpc/internal/wire"
)

// A frame as it stands on the wire.
type frame struct {
	id    uint32
	typ   wire.Type
	flags uint8
	data  string
}

func (f frame) String() string {
	return fmt.Sprintf("frame of type %d with flags %#x and %d bytes on %d", f.typ, f.flags, len(f.data), f.id)
}

func (f frame) encode() []byte {
	return wire.AppendFrame(nil, f.id, f.typ, f.flags, []byte(f.data))
}

func readFrame(r io.Reader) (frame, error) {
	b := make([]byte, wire.HeaderLength)
	if _, err := io.ReadFull(r, b); err != nil {
		return frame{}, err
	}
	h, err := wire.ParseHeader(b)
	if err != nil {
		return frame{}, err
	}
	data := make([]byte, h.Length)
	if _, err := io.ReadFull(r, data); err != nil {
		return frame{}, err
	}
	return frame{h.StreamID, h.Type, h.Flags, string(data)}, nil
}

// encoded returns a message's bytes.
func encoded(t *testing.T, m proto.Message) string {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A tap passes on what a client and a server say to each other, and keeps it.
type tap struct {
	listener net.Listener
	addr     string // where clients connect
	running  sync.WaitGroup

	mu                     sync.Mutex
	fromClient, fromServer [][]frame // by connection
	unasked                []frame   // from the server, on ids that the client had not used
}

func startTap(t *testing.T, server string) *tap {
	t.Helper()
	addr := filepath.Join(socketDir(t), "tap")
	l, err := net.Listen("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{listener: l, addr: addr}
	p.running.Add(1)
	go func() {
		defer p.running.Done()
		for i := 0; ; i++ {
			client, err := l.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("unix", server)
			if err != nil {
				t.Error(err)
				client.Close()
				return
			}
			p.mu.Lock()
			p.fromClient, p.fromServer = append(p.fromClient, nil), append(p.fromServer, nil)
			p.mu.Unlock()
			p.running.Add(2)
			go p.pass(upstream, client, func(f frame) { p.fromClient[i] = append(p.fromClient[i], f) })
			go p.pass(client, upstream, func(f frame) {
				p.fromServer[i] = append(p.fromServer[i], f)
				if !slices.ContainsFunc(p.fromClient[i], func(asked frame) bool { return asked.id == f.id }) {
					p.unasked = append(p.unasked, f)
				}
			})
		}
	}()
	return p
}

// pass passes frames on until there are no more, and then ends the connection.
func (p *tap) pass(dst, src net.Conn, keep func(frame)) {
	defer p.running.Done()
	defer src.Close()
	defer dst.Close()
	for {
		f, err := readFrame(src)
		if err != nil {
			return
		}
		p.mu.Lock()
		keep(f)
		p.mu.Unlock()
		if _, err := dst.Write(f.encode()); err != nil {
			return
		}
	}
}

// close returns when all has been kept.
func (p *tap) close() {
	p.listener.Close()
	p.running.Wait()
}

// tapped runs a scenario between two peers and returns what they said, by connection.
func tapped(t *testing.T, client, server, scenario string) (fromClient, fromServer [][]frame) {
	t.Helper()
	p := startTap(t, startPeer(t, server).addr)
	var log bytes.Buffer
	cmd := peer(limited(t), client, &log, "client", p.addr, scenario)
	err := cmd.Run()
	p.close()
	if err != nil {
		t.Fatalf("%v\n%s", err, log.Bytes())
	}
	if len(p.unasked) > 0 {
		t.Errorf("B42: the server sent without being asked: %v", p.unasked)
	}
	return p.fromClient, p.fromServer
}

// dialRaw connects to a server, for no longer than processes may take.
func dialRaw(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(processLimit))
	return conn
}

// receive reads n frames, or fewer if there are no more.
func receive(conn net.Conn, n int) []frame {
	var frames []frame
	for range n {
		f, err := readFrame(conn)
		if err != nil {
			break
		}
		frames = append(frames, f)
	}
	return frames
}
