// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan_test

import (
	"io"
	"net"
	"testing"

	"github.com/containerd/ttrpc/libchan"
)

// A program as it was written for libchan v0.1.0: it uses the four interfaces and functions, and
// only the import path has changed.

type remoteCommand struct {
	Cmd    string
	Args   []string
	Status libchan.Sender
}

type commandResponse struct{ Status int }

func serveCommands(t libchan.Transport, copies libchan.Sender) error {
	receiver, err := t.WaitReceiveChannel()
	if err != nil {
		return err
	}
	for {
		command := &remoteCommand{}
		if err := receiver.Receive(command); err == io.EOF {
			return copies.Close()
		} else if err != nil {
			return err
		}
		if err := copies.Send(command.Cmd); err != nil {
			return err
		}
		if err := command.Status.Send(&commandResponse{len(command.Args)}); err != nil {
			return err
		}
	}
}

func runCommand(sender libchan.Sender, cmd string, args ...string) (int, error) {
	receiver, remoteSender := libchan.Pipe()
	command := &remoteCommand{Cmd: cmd, Args: args, Status: remoteSender}
	if err := sender.Send(command); err != nil {
		return 0, err
	}
	response := &commandResponse{}
	err := receiver.Receive(response)
	return response.Status, err
}

// The types of the literal signatures.
var (
	_ func() (libchan.Receiver, libchan.Sender)           = libchan.Pipe
	_ func(libchan.Sender, libchan.Receiver) (int, error) = libchan.Copy
	_ interface {
		Send(message interface{}) error
	} = libchan.Sender(nil)
	_ interface {
		Receive(message interface{}) error
	} = libchan.Receiver(nil)
	_ libchan.Transport                                 = (*libchan.Session)(nil)
	_ libchan.Sender                                    = ownEnds{} // nobody needs more methods
	_ libchan.Receiver                                  = ownEnds{}
	_ libchan.Transport                                 = ownEnds{}
	_ func(libchan.Transport) (libchan.Sender, error)   = libchan.Transport.NewSendChannel
	_ func(libchan.Transport) (libchan.Receiver, error) = libchan.Transport.WaitReceiveChannel
)

type ownEnds struct{}

func (ownEnds) Send(interface{}) error                        { return nil }
func (ownEnds) Close() error                                  { return nil }
func (ownEnds) Receive(interface{}) error                     { return io.EOF }
func (ownEnds) NewSendChannel() (libchan.Sender, error)       { return ownEnds{}, nil }
func (ownEnds) WaitReceiveChannel() (libchan.Receiver, error) { return ownEnds{}, nil }

func TestProgramOfV010(t *testing.T) {
	a, b := net.Pipe()
	served := make(chan error, 1)
	in, out := libchan.Pipe()
	go func() {
		s, err := libchan.NewServer(b)
		if err != nil {
			served <- err
			return
		}
		defer s.Close()
		served <- serveCommands(s, out)
	}()
	s, err := libchan.NewClient(a)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sender, err := s.NewSendChannel()
	if err != nil {
		t.Fatal(err)
	}
	copied := make(chan int, 1)
	sink, w := libchan.Pipe()
	go func() {
		n, err := libchan.Copy(w, in)
		if err != nil {
			t.Errorf("Copy: %v", err)
		}
		copied <- n
	}()
	for n := range 3 {
		if status, err := runCommand(sender, "ls", make([]string, n)...); status != n || err != nil {
			t.Errorf("the command returns %d, %v; want %d", status, err, n)
		}
	}
	if err := sender.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if n := <-copied; n != 3 {
		t.Errorf("%d messages were copied, want 3", n)
	}
	_ = sink
}
