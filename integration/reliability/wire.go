// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"

	"github.com/containerd/ttrpc/integration/reliability/control"
	"github.com/containerd/ttrpc/internal/wire"
)

// The driver speaks the protocol by hand, so that it can break its rules.

const (
	maxMessage = wire.DefaultMaxLength

	typeRequest  = wire.TypeRequest
	typeResponse = wire.TypeResponse
	typeData     = wire.TypeData

	remoteClosed = wire.FlagRemoteClosed
	remoteOpen   = wire.FlagRemoteOpen
	noData       = wire.FlagNoData
)

// A header is what a frame begins with.
type header struct {
	length, id uint32
	typ        wire.Type
	flags      uint8
}

// bytes returns the header as it travels.
func (h header) bytes() []byte {
	return wire.AppendHeader(nil, wire.Header{Length: h.length, StreamID: h.id, Type: h.typ, Flags: h.flags})
}

// frame returns a frame that keeps to the rules as far as its length goes.
func frame(id uint32, typ wire.Type, flags uint8, data []byte) []byte {
	return wire.AppendFrame(nil, id, typ, flags, data)
}

// request returns the request of a call, or of a stream if flags say so.
func request(id uint32, flags uint8, method string, payload []byte) []byte {
	return frame(id, typeRequest, flags, encode(&ttrpc.Request{Service: control.TTRPC, Method: method, Payload: payload}))
}

// response returns the answer to a call.
func response(id uint32, payload []byte) []byte {
	return frame(id, typeResponse, 0, encode(&ttrpc.Response{Payload: payload}))
}

// data returns a message on a stream.
func data(id uint32, flags uint8, payload []byte) []byte { return frame(id, typeData, flags, payload) }

func encode(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err) // there is nothing in these messages that could not be encoded
	}
	return b
}

func zeros(n int) []byte { return encode(wrapperspb.Bytes(make([]byte, n))) }

func number(n int) []byte { return encode(wrapperspb.Int64(int64(n))) }

// An answer is a frame that was received.
type answer struct {
	header
	data []byte
}

// code returns the code of the status that the answer carries, 0 if it is
// success, or -1 if it is no response.
func (a answer) code() int {
	resp := new(ttrpc.Response)
	if a.typ != typeResponse || proto.Unmarshal(a.data, resp) != nil {
		return -1
	}
	return int(resp.GetStatus().GetCode())
}

// codes are those that are known to come.
var codes = map[int]string{
	codeInvalidArgument:   "InvalidArgument",
	codeResourceExhausted: "ResourceExhausted",
	codeUnimplemented:     "Unimplemented",
	codeInternal:          "Internal",
}

// ending says in words how the answer ends a stream, or that its code is none.
func (a answer) ending() string {
	if a.typ == typeData && a.flags == remoteClosed|noData {
		return "end in order"
	}
	if text, ok := codes[a.code()]; ok {
		return text
	}
	return fmt.Sprintf("code %d", a.code())
}

// payload returns how many bytes are in the message that the answer carries.
func (a answer) payload() int {
	resp, message := new(ttrpc.Response), new(wrapperspb.BytesValue)
	if proto.Unmarshal(a.data, resp) != nil || proto.Unmarshal(resp.Payload, message) != nil {
		return -1
	}
	return len(message.Value)
}

// A link is the driver's end of a connection. One goroutine may read while
// another writes.
type link struct{ *net.UnixConn }

// read returns the next frame. It waits no longer than limit.
func (w *link) read(limit time.Duration) (answer, error) {
	if err := w.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return answer{}, err
	}
	b := make([]byte, wire.HeaderLength)
	if _, err := io.ReadFull(w, b); err != nil {
		return answer{}, err
	}
	h, err := wire.ParseHeader(b)
	if err != nil {
		return answer{}, err
	}
	if h.Length > math.MaxUint16*1024 {
		return answer{}, fmt.Errorf("a frame of %d bytes", h.Length)
	}
	a := answer{header{h.Length, h.StreamID, h.Type, h.Flags}, make([]byte, h.Length)}
	_, err = io.ReadFull(w, a.data)
	return a, err
}

// write writes all frames at once. It waits no longer than limit.
func (w *link) write(limit time.Duration, frames ...[]byte) error {
	if err := w.SetWriteDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	for _, f := range frames {
		if _, err := w.Write(f); err != nil {
			return err
		}
	}
	return nil
}

// call makes a unary call that has to be answered with as many bytes.
func (w *link) call(limit time.Duration, id uint32, size int) error {
	if err := w.write(limit, request(id, 0, "Echo", zeros(size))); err != nil {
		return err
	}
	a, err := w.read(limit)
	if err != nil {
		return err
	}
	if a.id != id || a.code() != 0 || a.payload() != size {
		return fmt.Errorf("a call with id %d and %d bytes was answered with id %d, code %d, %d bytes", id, size, a.id, a.code(), a.payload())
	}
	return nil
}

// isTimeout tells whether something took longer than it was given.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// unread is how many of the bytes that were written the peer has not read.
func (w *link) unread() (int, error) {
	raw, err := w.SyscallConn()
	if err != nil {
		return 0, err
	}
	var n int
	var failed error
	err = raw.Control(func(fd uintptr) { n, failed = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	if err == nil {
		err = failed
	}
	return n, err
}
