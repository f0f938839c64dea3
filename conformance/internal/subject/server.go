// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/containerd/ttrpc"
)

// A Server is a server under test. It runs already, or is started by a command that prints
// its address as the first line, and that ends when its standard input does.
type Server struct {
	Address string
	Command string

	process *process
	address string
}

// Dial connects to the server, and starts it before if it does not run.
func (s *Server) Dial(timeout time.Duration) (net.Conn, error) {
	if s.Command == "" {
		s.address = s.Address
	} else if s.process == nil {
		if err := s.start(timeout); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := ttrpc.DialAddress(ctx, s.address)
	if err != nil && s.Command != "" {
		err = fmt.Errorf("connecting at %q, the address that %q has printed: %w", s.address, s.Command, err)
	}
	if err != nil {
		return nil, errors.Join(err, s.Check())
	}
	return conn, nil
}

func (s *Server) start(timeout time.Duration) error {
	p, err := start(s.Command)
	if err != nil {
		return err
	}
	select {
	case line, ok := <-p.lines:
		if !ok {
			return p.gone()
		}
		s.process, s.address = p, line
		return nil
	case <-time.After(timeout + 10*time.Second): // programs of some languages are slow to start
		p.stop()
		return fmt.Errorf("%q has printed no address: it has to print one as its first line, such as unix:/run/x.sock", s.Command)
	}
}

// Check says how a server has ended that was started here. It is started again for the next
// connection.
func (s *Server) Check() error {
	if s.process == nil {
		return nil
	}
	for {
		select {
		case _, ok := <-s.process.lines:
			if ok {
				continue
			}
			p := s.process
			s.process = nil
			return p.gone()
		default:
			return nil
		}
	}
}

// Close ends a server that was started here.
func (s *Server) Close() {
	if s.process != nil {
		s.process.stop()
		s.process = nil
	}
}
