// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/internal/wire"
)

// Who refuses a connection tells the client as the answer to its first call, if nothing but
// ttrpc is spoken on it. The client has it as the cause of the connection's end.

const refusedPrefix = "ttrpc: the peer refuses the connection: "

// A quietHandshaker is a Handshaker that neither sends nor receives anything.
type quietHandshaker interface {
	Handshaker
	isQuiet()
}

// tellingHandshaker returns the server's handshaker, which tells the client if it refuses it.
// Classic servers do not: they send what they always have.
func tellingHandshaker(cfg *connConfig) Handshaker {
	if quiet, ok := cfg.handshaker.(quietHandshaker); ok && cfg.extends != nil {
		return telling{quiet}
	}
	return cfg.handshaker
}

type telling struct{ quietHandshaker }

// Handshake implements [Handshaker].
func (h telling) Handshake(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
	shaken, auth, err := h.quietHandshaker.Handshake(ctx, conn)
	if err != nil {
		f := responseFrame(1, status.New(codes.PermissionDenied, refusedPrefix+err.Error()).Proto())
		conn.SetWriteDeadline(time.Now().Add(lostPeerGrace))
		conn.Write(f.data) // what becomes of it changes nothing
		f.release()
	}
	return shaken, auth, err
}

// refusalIn returns what the answer to a client's first call says if the peer ends the
// connection by it, else nil.
func refusalIn(answer []byte) error {
	code := codes.Code(wire.ResponseCode(answer))
	if code != codes.PermissionDenied && code != codes.FailedPrecondition {
		return nil
	}
	st, _, err := parseResponse(answer)
	switch {
	case err != nil:
	case code == codes.FailedPrecondition && st.Message == errTwoClients.Error():
		return errTwoClients
	case code == codes.PermissionDenied && strings.HasPrefix(st.Message, refusedPrefix):
		return errors.New(st.Message)
	}
	return nil
}

// answeredFirstLocked looks whether a frame is the answer to the client's first call, which
// is Hello if that was asked. It may come before the call has left, or after it has failed.
func (c *conn) answeredFirstLocked(f *frame, act action) {
	if f.header.Type != messageTypeResponse || act != actIgnore && act != actEnd {
		return
	}
	if why := refusalIn(f.data); why != nil {
		c.blame = why
	}
	if act == actEnd && c.cfg.extends != nil {
		c.cfg.extends.answeredLocked(c, f)
	}
}
