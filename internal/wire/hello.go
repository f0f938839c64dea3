// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Hello is a unary call, the first of a connection, whose request and response
// both carry a Hello.
const (
	HelloService = "ttrpc.extensions.v1.Connection" // HelloService is the service that is called.
	HelloMethod  = "Hello"                          // HelloMethod is its method.
	HelloVersion = 1                                // HelloVersion is the version that is spoken here.

	FeatureFiles    = "files"    // FeatureFiles is the feature of who passes descriptors.
	FeatureMetadata = "metadata" // FeatureMetadata is that of who knows metadata of answers.

	// helloPrefix is how a Hello's request begins, whatever its payload.
	helloPrefix = "\x0a\x1e" + HelloService + "\x12\x05" + HelloMethod
)

// Tags of the fields of Hello.
const (
	tagHelloVersion          = 1<<3 | varintType
	tagHelloFeature          = 2<<3 | bytesType // as often as there are features
	tagHelloMaxMessage       = 3<<3 | varintType
	tagHelloWindow           = 4<<3 | varintType
	tagHelloConnectionWindow = 5<<3 | varintType
	tagHelloServes           = 6<<3 | varintType
)

// A Hello is what one end tells the other of itself.
type Hello struct {
	Version          uint32
	Files            bool   // FeatureFiles is among the features
	Metadata         bool   // FeatureMetadata is
	MaxMessage       uint64 // what it takes
	Window           uint64 // what may be sent on each stream at first
	ConnectionWindow uint64 // what may be sent of requests and answers
	Serves           bool   // it answers calls
}

// Append appends h encoded.
func (h Hello) Append(b []byte) []byte {
	b = appendNumber(b, tagHelloVersion, uint64(h.Version))
	if h.Files {
		b = appendString(b, tagHelloFeature, FeatureFiles)
	}
	if h.Metadata {
		b = appendString(b, tagHelloFeature, FeatureMetadata)
	}
	b = appendNumber(b, tagHelloMaxMessage, h.MaxMessage)
	b = appendNumber(b, tagHelloWindow, h.Window)
	b = appendNumber(b, tagHelloConnectionWindow, h.ConnectionWindow)
	return appendNumber(b, tagHelloServes, protowire.EncodeBool(h.Serves))
}

// ParseHello decodes a Hello. It fails if one of the numbers that all must tell
// is missing.
func ParseHello(b []byte) (h Hello, err error) {
	ok := eachField(b, func(tag byte, value []byte, n uint64) bool {
		switch tag {
		case tagHelloVersion:
			h.Version = uint32(n)
		case tagHelloFeature:
			h.Files = h.Files || string(value) == FeatureFiles
			h.Metadata = h.Metadata || string(value) == FeatureMetadata
			return utf8.Valid(value)
		case tagHelloMaxMessage:
			h.MaxMessage = n
		case tagHelloWindow:
			h.Window = n
		case tagHelloConnectionWindow:
			h.ConnectionWindow = n
		case tagHelloServes:
			h.Serves = n != 0
		}
		return true
	})
	switch {
	case !ok:
		return h, ErrMalformed
	case h.Version == 0:
		return h, errors.New("the version is 0")
	case h.MaxMessage == 0 || h.Window == 0 || h.ConnectionWindow == 0:
		return h, fmt.Errorf("a limit is 0: messages %d, window %d, connection's window %d", h.MaxMessage, h.Window, h.ConnectionWindow)
	}
	return h, nil
}

// IsHello tells whether the data of a request says Hello, as far as its service
// and method go.
func IsHello(request []byte) bool {
	return len(request) >= len(helloPrefix) && string(request[:len(helloPrefix)]) == helloPrefix
}

// HelloRequest returns the data of a request that says Hello.
func HelloRequest(hello []byte) []byte {
	return Request{Service: HelloService, Method: HelloMethod, Payload: hello}.Append(nil)
}
