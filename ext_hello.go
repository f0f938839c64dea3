// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	helloService = "ttrpc.extensions.v1.Connection"
	helloMethod  = "Hello"
	helloVersion = 1

	featureFiles = "files"
)

// Tags of the fields of Hello. See PROTOCOL.md.
const (
	tagHelloVersion          = 1<<3 | byte(protowire.VarintType)
	tagHelloFeature          = 2<<3 | byte(protowire.BytesType)
	tagHelloMaxMessage       = 3<<3 | byte(protowire.VarintType)
	tagHelloWindow           = 4<<3 | byte(protowire.VarintType)
	tagHelloConnectionWindow = 5<<3 | byte(protowire.VarintType)
	tagHelloServes           = 6<<3 | byte(protowire.VarintType)
)

// A hello is what one end tells the other of itself.
type hello struct {
	version          uint64
	files            bool   // among the features
	maxMessage       uint64 // what it takes
	window           uint64 // what each stream may hold there
	connectionWindow uint64 // what all may hold there
	serves           bool   // it answers calls
}

func (h *hello) append(b []byte) []byte {
	b = appendNumber(b, tagHelloVersion, h.version)
	if h.files {
		b = appendString(b, tagHelloFeature, featureFiles)
	}
	b = appendNumber(b, tagHelloMaxMessage, h.maxMessage)
	b = appendNumber(b, tagHelloWindow, h.window)
	b = appendNumber(b, tagHelloConnectionWindow, h.connectionWindow)
	return appendNumber(b, tagHelloServes, protowire.EncodeBool(h.serves))
}

// appendNumber appends a field of a number, which is left out if 0.
func appendNumber(b []byte, tag byte, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(append(b, tag), n)
}

func parseHello(b []byte) (h hello, err error) {
	ok := eachField(b, func(tag byte, value []byte, n uint64) bool {
		switch tag {
		case tagHelloVersion:
			h.version = n
		case tagHelloFeature:
			h.files = h.files || string(value) == featureFiles
			return utf8.Valid(value)
		case tagHelloMaxMessage:
			h.maxMessage = n
		case tagHelloWindow:
			h.window = n
		case tagHelloConnectionWindow:
			h.connectionWindow = n
		case tagHelloServes:
			h.serves = n != 0
		}
		return true
	})
	switch {
	case !ok:
		return h, errMalformed
	case h.version == 0:
		return h, errors.New("the version is 0")
	case h.maxMessage == 0 || h.window == 0 || h.connectionWindow == 0:
		return h, fmt.Errorf("a limit is 0: messages %d, window %d, connection's window %d", h.maxMessage, h.window, h.connectionWindow)
	}
	return h, nil
}

// ourHello returns what this end says of itself.
func ourHello(c *conn) hello {
	return hello{
		version:          helloVersion,
		files:            passesFiles(c.ch),
		maxMessage:       uint64(c.cfg.maxMessage),
		window:           uint64(c.cfg.queue.Window),
		connectionWindow: uint64(c.cfg.queue.ConnectionBytes),
		serves:           c.serve != nil,
	}
}

// helloPrefix is how a Hello's request begins, whatever its payload.
func helloPrefix() []byte {
	return appendString(appendString(nil, tagRequestService, helloService), tagRequestMethod, helloMethod)
}

// start implements [extension]. A client may be sent files together with the answer to
// its Hello.
func (e *extensions) start(c *conn) {
	switch {
	case c.role == roleServer:
		c.offer = e
	case passesFiles(c.ch):
		c.ch.more = newAssembler(c.cfg.queue.ConnectionBytes, true)
	}
}

// offeredLocked implements [extension].
func (e *extensions) offeredLocked(c *conn, f *frame) bool {
	if f.header.StreamID != 1 || acceptedState(f.header.Flags) != stateUnary || !bytes.HasPrefix(f.data, helloPrefix()) {
		return false
	}
	v, err := parseRequest(f.data)
	var peer hello
	if err == nil {
		peer, err = parseHello(v.payload)
	}
	if err != nil {
		c.replyLocked(f.header.StreamID, status.Newf(codes.InvalidArgument, "ttrpc: malformed Hello: %v", err))
		return true
	}
	x := e.extendLocked(c, peer)
	x.lastPeer = f.header.StreamID
	ours := ourHello(c)
	p := ours.append(nil)
	answer := newOutFrame(sizeResponse(nil, len(p)))
	answer.data = append(appendResponseFront(answer.data, nil, len(p)), p...)
	answer.seal(messageHeader{StreamID: f.header.StreamID, Type: messageTypeResponse})
	x.urgeLocked(answer) // a ping or goodbye must not overtake it
	if e.hook != nil {
		ctx, end := context.WithCancelCause(c.base)
		c.ends = append(c.ends, end)
		go e.hook(ctx)
	}
	return true
}

// ask implements [extension]. It is the client's first call, for which all others wait.
func (e *extensions) ask(c *conn) {
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.handshakeTimeout)
	defer cancel()
	ours := ourHello(c)
	b := ours.append(nil)
	head := requestHead{service: helloService, method: helloMethod}
	f, err := requestFrame(head, payload{encodedMessage(b), len(b)}, 0, c.messageLimit())
	if err == nil {
		f, err = c.call(ctx, helloService, helloMethod, f)
		f.release()
	}
	switch {
	case err == context.DeadlineExceeded:
		c.close(errors.New("ttrpc: the peer has not answered the Hello"))
	case err != nil:
		c.close(err)
	}
}

// answeredLocked implements [extension]. An error means a peer that does not know the
// mode.
func (e *extensions) answeredLocked(c *conn, f *frame) {
	st, payload, err := parseResponse(f.data)
	if err != nil || st != nil && st.Code != int32(codes.OK) {
		if a, ok := c.ch.more.(*assembler); ok {
			a.drop()
			c.ch.more = nil
		}
		return
	}
	peer, err := parseHello(payload)
	if err != nil {
		c.cause = &connError{fmt.Sprintf("malformed answer to Hello: %v", err)}
		return
	}
	e.extendLocked(c, peer)
}

// extendLocked begins the extended mode. The reader calls it, before it reads
// anything that belongs to it.
func (e *extensions) extendLocked(c *conn, peer hello) *extended {
	limit := min(uint64(c.cfg.maxMessage), peer.maxMessage, maxMessageCap)
	x := &extended{
		c: c, cfg: e, peer: peer,
		files:    peer.files && passesFiles(c.ch),
		credit:   credit{send: newSendCredit(peer.connectionWindow), recv: newRecvWindow(c.cfg.queue.ConnectionBytes)},
		incoming: make(map[uint32]struct{}),
	}
	x.parts, _ = c.ch.more.(*assembler)
	if x.parts == nil {
		x.parts = newAssembler(c.cfg.queue.ConnectionBytes, x.files)
		c.ch.more = x.parts
	}
	x.parts.agreed = true
	x.parts.takeFiles(x.files)
	c.mode = x
	c.limit.Store(int64(limit))
	c.ch.max = int(limit)
	x.keepAliveLocked()
	return x
}
