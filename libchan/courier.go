// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"os"

	"github.com/containerd/ttrpc"
)

// A courier takes messages to a stream, or from one, for one who does that at a time. What it
// needs for that it keeps.
type courier struct {
	raw     ttrpc.RawMessage
	files   ttrpc.FileMessage // raw with files, where such may come or are to go
	waiting *interrupt        // of whoever waits, or would have; nil if none ever has
	within  any               // either, for who waits with that
	trying  any               // either, for who does not wait
}

// tryFirst returns the message for who does not wait.
func (k *courier) tryFirst() any {
	if k.trying == nil {
		k.trying = ttrpc.Within(tried, k.message())
	}
	return k.trying
}

// wait returns the message for who waits until interrupted.
func (k *courier) wait() any {
	if k.waiting == nil || k.waiting.isFired() {
		k.waiting, k.within = newInterrupt(), nil
	}
	if k.within == nil {
		k.within = ttrpc.Within(k.waiting, k.message())
	}
	return k.within
}

// message returns what is sent or received.
func (k *courier) message() any {
	if k.files.Message != nil {
		return &k.files
	}
	return &k.raw
}

// expect says whether the message may have files. What was made for the other kind is not used
// again.
func (k *courier) expect(files bool) {
	switch {
	case files == (k.files.Message != nil):
		return
	case files:
		k.files.Message = &k.raw
	default:
		k.files.Message = nil
	}
	k.within, k.trying = nil, nil
}

// set has the courier send a message, whose files may be none.
func (k *courier) set(payload []byte, files []*os.File) {
	k.expect(len(files) > 0)
	k.raw.Payload, k.files.Files = payload, files
}

// took returns the message that was received.
func (k *courier) took(chunk bool) incoming {
	in := incoming{chunk, k.raw, k.files.Files}
	k.raw, k.files.Files = ttrpc.RawMessage{}, nil
	return in
}

// An incoming is a message as it was read from a stream.
type incoming struct {
	chunk bool
	raw   ttrpc.RawMessage
	files []*os.File
}
