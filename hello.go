// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
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
func (c *conn) ourHello() hello {
	return hello{
		version:          helloVersion,
		files:            c.ch.passesFiles(),
		maxMessage:       uint64(c.cfg.maxMessage),
		window:           uint64(c.cfg.queue.Window),
		connectionWindow: uint64(c.cfg.queue.ConnectionBytes),
		serves:           c.serve != nil,
	}
}

// helloPrefix is how a Hello's request begins, whatever its payload.
var helloPrefix = appendString(appendString(nil, tagRequestService, helloService), tagRequestMethod, helloMethod)

// isHello tells whether a request asks for the extended mode.
func (c *conn) isHello(f *frame) bool {
	return f.header.StreamID == 1 && c.role == roleServer && !c.asked && !c.cfg.classic &&
		acceptedState(f.header.Flags) == stateUnary && bytes.HasPrefix(f.data, helloPrefix)
}

// answerHelloLocked begins the extended mode at the server.
func (c *conn) answerHelloLocked(f *frame) {
	v, err := parseRequest(f.data)
	var peer hello
	if err == nil {
		peer, err = parseHello(v.payload)
	}
	if err != nil {
		c.replyLocked(f.header.StreamID, status.Newf(codes.InvalidArgument, "ttrpc: malformed Hello: %v", err))
		return
	}
	c.extendLocked(peer)
	c.ext.lastPeer = f.header.StreamID
	ours := c.ourHello()
	p := ours.append(nil)
	answer := newOutFrame(sizeResponse(nil, len(p)))
	answer.data = append(appendResponseFront(answer.data, nil, len(p)), p...)
	answer.seal(messageHeader{StreamID: f.header.StreamID, Type: messageTypeResponse})
	c.urgeLocked(answer) // a ping or goodbye must not overtake it
	if c.hooks.agreed != nil {
		c.hooks.agreed(c)
	}
}

// sayHello asks the server for the extended mode. It is the client's first call,
// for which all others wait.
func (c *conn) sayHello(timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	ours := c.ourHello()
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

// asksHello tells whether a client's stream asks for the extended mode.
func (c *conn) asksHello(s *stream) bool {
	return s.id == 1 && c.role == roleClient && c.cfg.extends && c.ext == nil
}

// heardHelloLocked begins the extended mode at the client if the server agrees. An
// error means a peer that does not know it.
func (c *conn) heardHelloLocked(f *frame) {
	st, payload, err := parseResponse(f.data)
	if err != nil || st != nil && st.Code != int32(codes.OK) {
		return
	}
	peer, err := parseHello(payload)
	if err != nil {
		c.cause = &connError{fmt.Sprintf("malformed answer to Hello: %v", err)}
		return
	}
	c.extendLocked(peer)
}
