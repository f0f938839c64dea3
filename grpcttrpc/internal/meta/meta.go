// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package meta turns gRPC's metadata into ttrpc's, and back.
//
// Keys and values travel as they are, but for values of "-bin" keys, which may be any bytes:
// these travel as base64, as they do in HTTP/2.
package meta

import (
	"encoding/base64"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// binary is how the keys end whose values are bytes.
const binary = "-bin"

// Outgoing returns md as it is sent. Names that gRPC reserves for itself are left out, as gRPC
// leaves them out. The error is a status with code Internal that names a key or a value that
// gRPC does not send.
func Outgoing(md metadata.MD) (ttrpc.MD, error) {
	if len(md) == 0 {
		return nil, nil
	}
	sent := make(ttrpc.MD, len(md))
	for key, values := range md {
		if err := Append(sent, key, values...); err != nil {
			return nil, err
		}
	}
	return sent, nil
}

// Append adds values to what is sent, as Outgoing does.
func Append(sent ttrpc.MD, key string, values ...string) error {
	if err := validate(key, values); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	if reserved(key) {
		return nil
	}
	for _, value := range values {
		if strings.HasSuffix(key, binary) {
			value = base64.RawStdEncoding.EncodeToString([]byte(value))
		}
		sent[key] = append(sent[key], value)
	}
	return nil
}

// Incoming returns what has come as gRPC's metadata, which is the caller's to change. Names
// that gRPC reserves are left out. The error is a status with code Internal that names a key
// whose value is malformed.
func Incoming(md ttrpc.MD) (metadata.MD, error) {
	got := make(metadata.MD, len(md))
	for key, values := range md {
		key := strings.ToLower(key)
		if reserved(key) {
			continue
		}
		for _, value := range values {
			if strings.HasSuffix(key, binary) {
				decoded, err := decode(value)
				if err != nil {
					return nil, status.Errorf(codes.Internal, "malformed binary metadata %q in header %q: %v", value, key, err)
				}
				value = decoded
			}
			got[key] = append(got[key], value)
		}
	}
	return got, nil
}

// decode decodes a value of a "-bin" key, with or without padding.
func decode(value string) (string, error) {
	encoding := base64.RawStdEncoding
	if len(value)%4 == 0 {
		encoding = base64.StdEncoding
	}
	decoded, err := encoding.DecodeString(value)
	return string(decoded), err
}

// reserved tells whether gRPC uses a name for itself, and neither sends it for users nor shows
// it to them.
func reserved(key string) bool {
	switch key {
	case "content-type", "user-agent", "grpc-message-type", "grpc-encoding", "grpc-message", "grpc-status",
		"grpc-timeout", "te":
		return true
	}
	return strings.HasPrefix(key, ":")
}

// validate returns an error about what gRPC does not send.
func validate(key string, values []string) error {
	if key == "" {
		return fmt.Errorf("there is an empty key in the header")
	}
	for _, r := range []byte(key) {
		if key[0] != ':' && !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '.' || r == '-' || r == '_') {
			return fmt.Errorf("header key %q contains illegal characters not in [0-9a-z-_.]", key)
		}
	}
	if strings.HasSuffix(key, binary) {
		return nil
	}
	for _, value := range values {
		for _, b := range []byte(value) {
			if b < ' ' || b > '~' {
				return fmt.Errorf("header key %q contains value with non-printable ASCII characters", key)
			}
		}
	}
	return nil
}
