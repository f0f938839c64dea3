// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/wire"
)

// A NotTTRPC is the error for a peer that speaks something else.
type NotTTRPC struct {
	What string // what it is
	Hint string // what to try
}

// Error implements error.
func (e *NotTTRPC) Error() string { return "the peer is " + e.What + ", not a ttrpc server" }

// The peers that are not of ttrpc and are recognized.
var (
	isGRPC = &NotTTRPC{"a gRPC server", `Try grpcurl. containerd's socket for ttrpc is the one whose name ends in .ttrpc.`}
	isHTTP = &NotTTRPC{"an HTTP server", "Try curl."}
	isTLS  = &NotTTRPC{"a server that speaks TLS", "This command speaks no TLS."}
	isNRI  = &NotTTRPC{"NRI's trunk, which carries ttrpc's connections", "Write nri:PATH for its address."}
)

// guessPatience is how long a guess may take.
func (p *Probe) guessPatience() time.Duration { return min(p.Patience, time.Second) }

// recognize tells other protocols by how they begin.
func recognize(begin []byte) *NotTTRPC {
	switch {
	case bytes.HasPrefix(begin, []byte("HTTP/")):
		return isHTTP
	case isSettings(begin):
		return isGRPC
	case len(begin) >= 2 && begin[0] == 0x15 && begin[1] == 3: // an alert
		return isTLS
	}
	return nil
}

// isSettings tells whether something begins with the SETTINGS frame that is the first of HTTP/2:
// a length of 24 bits, then the type 4, and after a byte of flags the stream 0. In ttrpc there
// would be a stream whose number is 2^26 at least.
func isSettings(b []byte) bool {
	const header = 9
	return len(b) >= header && b[0] == 0 && b[1] == 0 && b[3] == 4 && bytes.Equal(b[4:header], make([]byte, 5))
}

// guess asks a peer that has said nothing in other protocols.
func (p *Probe) guess(ctx context.Context) *NotTTRPC {
	for _, other := range []struct {
		speaks func(context.Context, net.Conn) bool
		it     *NotTTRPC
	}{{speaksHTTP2, isGRPC}, {speaksTLS, isTLS}, {p.isTrunk, isNRI}} {
		conn, err := p.Dial(ctx)
		if err != nil {
			return nil
		}
		conn.SetDeadline(time.Now().Add(p.guessPatience()))
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		speaks := other.speaks(ctx, conn)
		stop()
		conn.Close()
		if speaks {
			return other.it
		}
	}
	return nil
}

// speaksHTTP2 says hello as clients of gRPC do.
func speaksHTTP2(_ context.Context, conn net.Conn) bool {
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		return false
	}
	answer := make([]byte, 9)
	_, err := io.ReadFull(conn, answer)
	return err == nil && isSettings(answer)
}

// speaksTLS begins a handshake, of which any answer will do.
func speaksTLS(ctx context.Context, conn net.Conn) bool {
	err := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx)
	var alert *net.OpError
	return err == nil || errors.As(err, &alert) && alert.Op == "remote error"
}

// isTrunk calls NRI's runtime.
func (p *Probe) isTrunk(ctx context.Context, conn net.Conn) bool {
	if p.Trunk == nil {
		return false
	}
	client := ttrpc.NewClient(p.Trunk(conn), ttrpc.WithStatusErrors())
	defer client.Close()
	_, err := (&Probe{Patience: p.guessPatience()}).call(ctx, client)
	return err == nil
}

// refused tells whether the cause of a connection's end is that the peer has refused it.
func refused(cause error) bool {
	return strings.HasPrefix(cause.Error(), "ttrpc: the peer refuses the connection")
}

// version tells releases apart that answer unknown services alike. v1.2 does not take ids that
// fall, which this library does, and both answer a frame whose id is 0, which v1.1 drops.
func (p *Probe) version(ctx context.Context) Kind {
	conn, err := p.Dial(ctx)
	if err != nil { // as a descriptor, which can be dialled once
		return Version1x
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(p.Patience))
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	request := wire.AppendRequestFront(nil, nobody, method, 0)
	frames := wire.AppendFrame(nil, 0, 0, 0, nil)
	for _, id := range []uint32{3, 1} {
		frames = wire.AppendFrame(frames, id, wire.TypeRequest, 0, request)
	}
	if _, err := conn.Write(frames); err != nil {
		return Version1x
	}
	answers, err := readAnswers(conn, 3, 1)
	_, zero := answers[0]
	switch {
	case err != nil:
		return Version1x
	case answers[1] == codes.InvalidArgument:
		return Version12
	case answers[1] == codes.Unimplemented && zero:
		return ThisLibrary
	case answers[1] == codes.Unimplemented:
		return Version11
	}
	return Other
}

// readAnswers reads answers until those with the given ids have come, and returns the codes of
// all.
func readAnswers(r io.Reader, ids ...uint32) (map[uint32]codes.Code, error) {
	answers := make(map[uint32]codes.Code)
	for {
		missing := false
		for _, id := range ids {
			if _, ok := answers[id]; !ok {
				missing = true
			}
		}
		if !missing {
			return answers, nil
		}
		header := make([]byte, wire.HeaderLength)
		if _, err := io.ReadFull(r, header); err != nil {
			return nil, err
		}
		h, err := wire.ParseHeader(header)
		if err != nil {
			return nil, err
		}
		if h.Length > wire.DefaultMaxLength {
			return nil, errors.New("no frame")
		}
		data := make([]byte, h.Length)
		if _, err := io.ReadFull(r, data); err != nil {
			return nil, err
		}
		answers[h.StreamID] = codes.Code(wire.ResponseCode(data))
	}
}
