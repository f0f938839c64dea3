// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"strings"
	"syscall"

	"github.com/containerd/ttrpc"

	"github.com/containerd/ttrpc/integration/compat/wire"
)

const (
	typeRequest  = wire.TypeRequest
	typeResponse = wire.TypeResponse
	typeData     = wire.TypeData

	flagRemoteClosed = wire.FlagRemoteClosed
	flagRemoteOpen   = wire.FlagRemoteOpen
	flagNoData       = wire.FlagNoData
)

// frame returns header and data.
func frame(id uint32, typ wire.Type, flags byte, data []byte) []byte {
	return wire.AppendFrame(nil, id, typ, flags, data)
}

func requestFrame(id uint32, method string, payload message) []byte {
	return frame(id, typeRequest, 0, request(method, payload))
}

func request(method string, payload message) []byte {
	return encode(&ttrpc.Request{Service: serviceName, Method: method, Payload: encode(payload)})
}

func responseFrame(id uint32, payload message) []byte {
	return frame(id, typeResponse, 0, encode(&ttrpc.Response{Payload: encode(payload)}))
}

// A raw is a connection whose frames a scenario writes by itself.
type raw struct{ *net.UnixConn }

func (s *session) raw() raw { return raw{s.connect()} }

func (r raw) send(b []byte) {
	if _, err := r.Write(b); err != nil {
		log.Fatal(err)
	}
}

// receive returns the next frame. Its error is io.EOF if the connection is gone.
func (r raw) receive() (h wire.Header, data []byte, err error) {
	b := make([]byte, wire.HeaderLength)
	if _, err = io.ReadFull(r, b); err == nil {
		h, err = wire.ParseHeader(b)
	}
	if err == nil {
		data = make([]byte, h.Length)
		_, err = io.ReadFull(r, data)
	}
	if errors.Is(err, syscall.ECONNRESET) {
		err = io.EOF
	}
	return h, data, err
}

// next returns the next frame, in words.
func (r raw) next() string {
	h, data, err := r.receive()
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("type %d on %d, flags %d: %s", h.Type, h.StreamID, h.Flags, dataWords(h.Type, data))
}

// until returns the frames up to a response on id, or to the end of the connection.
func (r raw) until(id uint32) []string {
	var words []string
	for {
		next := r.next()
		if strings.HasPrefix(next, fmt.Sprintf("type %d on %d,", typeResponse, id)) {
			return words
		}
		words = append(words, next)
		if next == io.EOF.Error() || next == io.ErrUnexpectedEOF.Error() {
			return words
		}
	}
}

func dataWords(typ wire.Type, data []byte) string {
	var resp ttrpc.Response
	if typ != typeResponse {
		return fmt.Sprintf("%q", data)
	}
	if err := unmarshal(data, &resp); err != nil {
		return err.Error()
	}
	// protobuf writes either a space or one that does not break, by the build.
	message := strings.ReplaceAll(resp.Status.GetMessage(), "\u00a0", " ")
	return fmt.Sprintf("status %d %q, payload %q", resp.Status.GetCode(), message, resp.Payload)
}
