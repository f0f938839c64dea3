// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package blob has the messages that all sides of the benchmarks of channels send.
package blob

import "github.com/containerd/ttrpc/bench/measure"

// A Blob is a message.
type Blob struct{ Value []byte }

// Request returns the request of a call that is answered with so many bytes.
func Request(size, answer int) Blob { return Blob{measure.RequestValue(size, answer)} }

// Answer returns the answer to a request of which Request says the size.
func Answer(method string, request Blob) Blob {
	if method == "Echo" {
		return request
	}
	return Blob{measure.Content(measure.Number(request.Value))}
}

// A Begin tells what a stream is for. A stream that is downloaded has a count.
type Begin struct {
	Kind        measure.StreamKind
	Size, Count int
}

// Serve does the server's part of a stream. A Chat's messages are sent back as they come.
func (b Begin) Serve(receive func(*Blob) error, send func(*Blob) error, isEnd func(error) bool) error {
	if b.Kind == measure.Download {
		m := Blob{measure.Content(b.Size)}
		for range b.Count {
			if err := send(&m); err != nil {
				return err
			}
		}
		return nil
	}
	for {
		var m Blob
		switch err := receive(&m); {
		case isEnd(err) && b.Kind == measure.Upload:
			return send(&m)
		case isEnd(err):
			return nil
		case err != nil:
			return err
		}
		if b.Kind == measure.Upload {
			continue
		}
		if err := send(&m); err != nil {
			return err
		}
	}
}
