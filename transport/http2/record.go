// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"bufio"
	"encoding/binary"
	"io"
)

// After the greeting each direction is a sequence of records:
//
//	0  4  how many bytes follow; big endian
//	4     the bytes
//
// One without bytes is the end of the direction. A body that ends without it was cut off, which
// not all proxies tell from an end. And some do not pass on that an answer has ended as long
// as the request has not: net/http/httputil's ReverseProxy is one of them.
const headerSize = 4

// writeRecord writes a record. Without bytes it is the end.
func writeRecord(w io.Writer, b []byte) error {
	if _, err := w.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b)))); err != nil {
		return err
	}
	_, err := w.Write(b)
	return err
}

// A recorder turns bytes that are read from r into records, each as large as what is asked for.
type recorder struct {
	r     io.Reader
	ended bool
}

// Read implements io.Reader.
func (r *recorder) Read(b []byte) (int, error) {
	switch {
	case r.ended:
		return 0, io.EOF
	case len(b) <= headerSize:
		return 0, io.ErrShortBuffer
	}
	n, err := r.r.Read(b[headerSize:])
	if n == 0 && err != io.EOF {
		return 0, err
	}
	r.ended = n == 0
	binary.BigEndian.PutUint32(b, uint32(n))
	return headerSize + n, nil
}

// A player turns records back into the bytes.
type player struct {
	r    *bufio.Reader
	left int64 // of the record
	end  bool
}

func newPlayer(r io.Reader) *player { return &player{r: bufio.NewReaderSize(r, 2<<10)} }

// Read implements io.Reader. It returns io.EOF only after the record that is the end.
func (p *player) Read(b []byte) (int, error) {
	for p.left == 0 && !p.end {
		var header [headerSize]byte
		if _, err := io.ReadFull(p.r, header[:]); err != nil {
			return 0, cutOff(err)
		}
		p.left = int64(binary.BigEndian.Uint32(header[:]))
		p.end = p.left == 0
	}
	if p.end {
		return 0, io.EOF
	}
	n, err := p.r.Read(b[:min(int64(len(b)), p.left)])
	p.left -= int64(n)
	return n, cutOff(err)
}

// cutOff returns the error of a body that has ended too early.
func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
