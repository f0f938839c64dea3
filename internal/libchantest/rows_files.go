// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchantest

import (
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/containerd/ttrpc/libchan"
)

// fileRows are of L4. What goes as a descriptor over one carrier goes as bytes over another.
var fileRows = []row{
	{"L4: a file", true, testFile},
	{"L4: a file passed on", true, testPassFile},
	{"L4: a net.Conn has both addresses", true, testConn},
	{"L4: a listener", true, testListener},
}

type fileField struct{ F *os.File }

// open makes a file that has the text.
func (k *kit) open(text string) *os.File {
	k.Helper()
	name := filepath.Join(k.TempDir(), "file")
	k.must(os.WriteFile(name, []byte(text), 0o600))
	f, err := os.Open(name)
	k.must(err)
	k.Cleanup(func() { _ = f.Close() })
	return f
}

// pass sends v and receives it into got. A message with files may wait for who receives.
func (k *kit) pass(a, b *libchan.Session, v, got any) {
	k.Helper()
	s, r := k.topOf(a, b)
	sent := make(chan error, 1)
	go func() { sent <- s.Send(v) }()
	k.must(r.Receive(got))
	k.must(<-sent)
}

func testFile(k *kit) {
	var got fileField
	k.pass(k.a, k.b, fileField{k.open("of a file")}, &got)
	k.readsAll(got.F, "of a file")
	k.must(got.F.Close())
	var reader struct{ F io.Reader }
	k.pass(k.b, k.a, fileField{k.open("as a reader")}, &reader)
	k.readsAll(reader.F, "as a reader")
	k.must(reader.F.(io.Closer).Close())
}

func testPassFile(k *kit) {
	var middle, got struct{ F any }
	k.pass(k.a, k.b, fileField{k.open("passed on")}, &middle)
	a, b := k.session()
	k.pass(a, b, middle, &got)
	k.readsAll(got.F.(io.Reader), "passed on")
	k.must(got.F.(io.Closer).Close())
}

func testConn(k *kit) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	k.must(err)
	defer l.Close()
	dialled, err := net.Dial("tcp", l.Addr().String())
	k.must(err)
	accepted, err := l.Accept()
	k.must(err)
	defer dialled.Close()
	type field struct{ C net.Conn }
	var got field
	k.pass(k.a, k.b, field{accepted}, &got)
	if got.C.LocalAddr().String() != accepted.LocalAddr().String() || got.C.RemoteAddr().String() != dialled.LocalAddr().String() ||
		got.C.LocalAddr().Network() != "tcp" {
		k.Errorf("the connection of %v with %v arrives as of %v with %v",
			accepted.LocalAddr(), dialled.LocalAddr(), got.C.LocalAddr(), got.C.RemoteAddr())
	}
	k.write(dialled, "question")
	k.must(dialled.(*net.TCPConn).CloseWrite())
	k.readsAll(got.C, "question")
	k.write(got.C, "answer")
	k.reads(dialled, "answer")
	k.must(got.C.Close())
	k.must(accepted.Close())
}

func testListener(k *kit) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	k.must(err)
	defer l.Close()
	type field struct{ L net.Listener }
	var got field
	k.pass(k.a, k.b, field{l}, &got)
	if got.L.Addr().String() != l.Addr().String() {
		k.Errorf("the listener at %v arrives with the address %v", l.Addr(), got.L.Addr())
	}
	for range 2 {
		dialled, err := net.Dial("tcp", l.Addr().String())
		k.must(err)
		accepted, err := got.L.Accept()
		k.must(err)
		k.write(dialled, "question")
		k.reads(accepted, "question")
		k.must(accepted.Close())
		k.readsAll(dialled, "")
		k.must(dialled.Close())
	}
	k.must(got.L.Close())
}
