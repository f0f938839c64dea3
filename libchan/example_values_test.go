// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"log"
	"net"
	"strings"

	"github.com/containerd/ttrpc/libchan"
)

// Tags give fields other names in messages, or keep them out.
func Example_structTags() {
	type Base struct{ ID int }
	type Job struct {
		Base              // its fields are the job's
		Name     string   `libchan:"name"`
		Args     []string `libchan:"args,omitempty"`
		Priority int      `libchan:",omitempty"`
		Password string   `libchan:"-"`
		running  bool     // not exported, so it stays here
	}
	text, err := libchan.JSON.Marshal(nil, Job{Base: Base{7}, Name: "build", Password: "secret", running: true}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", text)

	job := Job{Name: "was", Priority: 3, Password: "mine"}
	if err := libchan.JSON.Unmarshal([]byte(`{"name":"test","unknown":[1,2]}`), &job, nil); err != nil {
		log.Fatal(err)
	}
	fmt.Println(job.Name, job.Priority, job.Password) // what is missing is left as it was

	err = libchan.JSON.Unmarshal([]byte(`{"args":["-v",5]}`), &job, nil)
	fmt.Println(err)
	// Output:
	// {"ID":7,"name":"build"}
	// test 3 mine
	// libchan: json: Job.args[1]: a number where a string is wanted
}

// A deflated codec compresses what another one makes of messages.
type deflated struct{ libchan.Codec }

func (c deflated) Name() string { return "deflated-" + c.Codec.Name() }

func (c deflated) Marshal(b []byte, v any, refs libchan.Refs) ([]byte, error) {
	plain, err := c.Codec.Marshal(nil, v, refs)
	if err != nil {
		return b, err
	}
	out := bytes.NewBuffer(b)
	w, err := flate.NewWriter(out, flate.BestSpeed)
	if err != nil {
		return b, err
	}
	if _, err := w.Write(plain); err != nil {
		return b, err
	}
	if err := w.Close(); err != nil {
		return b, err
	}
	return out.Bytes(), nil
}

func (c deflated) Unmarshal(data []byte, v any, refs libchan.Refs) error {
	const most = 1 << 20 // a peer could send something that never ends
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data)), most))
	if err != nil {
		return err
	}
	return c.Codec.Unmarshal(plain, v, refs)
}

// A codec of one's own: both sides need it.
func ExampleCodec() {
	near, far := net.Pipe()
	codec := libchan.WithCodec(deflated{libchan.Msgpack})
	go func() {
		session, err := libchan.NewServer(far, codec)
		if err != nil {
			log.Fatal(err)
		}
		s, err := session.NewSendChannel()
		if err != nil {
			log.Fatal(err)
		}
		if err := s.Send(strings.Repeat("the same again and ", 1000)); err != nil {
			log.Fatal(err)
		}
	}()
	session, err := libchan.NewClient(near, codec)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	r, err := session.WaitReceiveChannel()
	if err != nil {
		log.Fatal(err)
	}
	var raw libchan.Raw
	if err := r.Receive(&raw); err != nil {
		log.Fatal(err)
	}
	var text string
	if err := (deflated{libchan.Msgpack}).Unmarshal(raw.Body, &text, nil); err != nil {
		log.Fatal(err)
	}
	fmt.Println(raw.Codec, len(text), len(raw.Body) < 200)
	// Output: deflated-msgpack 19000 true
}

// Plain and Fill are for codecs that are made of a library: it needs to know nothing of tags
// and channels. Package libchan/cbor is one.
func ExamplePlain() {
	type point struct {
		X, Y  int
		Label string `libchan:"label,omitempty"`
	}
	plain, err := libchan.Plain([]point{{1, 2, "a"}, {3, 4, ""}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(plain)
	var back []point
	if err := libchan.Fill(&back, plain, nil); err != nil {
		log.Fatal(err)
	}
	fmt.Println(back)
	fmt.Println(libchan.Fill(&back, []any{map[string]any{"X": "one"}}, nil))
	// Output:
	// [map[X:1 Y:2 label:a] map[X:3 Y:4]]
	// [{1 2 a} {3 4 }]
	// libchan: message[0].X: a string where a whole number is wanted
}
