// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/ttrpc/conformance/internal/vector"
)

// A Command is a line that a client reads. IDs are never used twice.
type Command struct {
	ID int `json:"id"`
	// Do is "call", "cancel", "close" or "leave".
	Do string `json:"do"`
	// Address is that of the connection. A client connects when it reads of an address for the
	// first time.
	Address string `json:"address"`

	Extended bool          `json:"extended,omitempty"` // ask for the extended mode
	Serves   bool          `json:"serves,omitempty"`   // and answer calls
	Method   string        `json:"method,omitempty"`   // of the conformance service
	Messages []string      `json:"messages,omitempty"` // encoded and written in hexadecimal
	Metadata []vector.Pair `json:"metadata,omitempty"`
	Timeout  int           `json:"timeout_ms,omitempty"`
	KeepOpen bool          `json:"keep_open,omitempty"`
	Files    []string      `json:"files,omitempty"` // contents of descriptors to send

	Call int `json:"call,omitempty"` // which one to cancel
}

// A Result is a line that a client writes: what became of a command.
type Result struct {
	ID       int           `json:"id"`
	Code     int           `json:"code"` // -1: it failed, and the peer has sent no status
	Text     string        `json:"text"`
	Details  []string      `json:"details"`  // each an Any, in hexadecimal
	Messages []string      `json:"messages"` // that came, in hexadecimal
	Header   []vector.Pair `json:"header"`
	Trailer  []vector.Pair `json:"trailer"`
	Files    []string      `json:"files"` // contents of descriptors that came
	Error    string        `json:"error"` // the command is one that the client does not know
}

// A Client is a client under test.
type Client struct {
	Command string

	process *process
	last    int
	results map[int]Result
}

// NextID returns an id for a command.
func (c *Client) NextID() int {
	c.last++
	return c.last
}

// Tell writes a command, and starts the client before if it does not run.
func (c *Client) Tell(command Command) error {
	if c.process == nil {
		p, err := start(c.Command)
		if err != nil {
			return err
		}
		c.process, c.results = p, make(map[int]Result)
	}
	line, err := json.Marshal(command)
	if err != nil {
		return err
	}
	if _, err := c.process.stdin.Write(append(line, '\n')); err != nil {
		return errors.Join(err, c.gone())
	}
	return nil
}

// Await returns what became of a command.
func (c *Client) Await(id int, timeout time.Duration) (Result, error) {
	late := time.After(timeout)
	for {
		if r, ok := c.results[id]; ok {
			delete(c.results, id)
			if r.Error != "" {
				return r, errors.New("the client says: " + r.Error)
			}
			return r, nil
		}
		if c.process == nil {
			return Result{}, errors.New("the client does not run")
		}
		select {
		case line, ok := <-c.process.lines:
			if !ok {
				return Result{}, c.gone()
			}
			if err := c.take(line); err != nil {
				return Result{}, err
			}
		case <-late:
			return Result{}, fmt.Errorf("the client has not said within %v what became of the call", timeout)
		}
	}
}

func (c *Client) take(line string) error {
	var r Result
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		return fmt.Errorf("the client has written %.100q, which is no result: %w", line, err)
	}
	c.results[r.ID] = r
	return nil
}

func (c *Client) gone() error {
	p := c.process
	c.process = nil
	return p.gone()
}

// Check says how a client has ended that should not have. It is started again for the next
// command.
func (c *Client) Check() error {
	for c.process != nil {
		select {
		case line, ok := <-c.process.lines:
			if !ok {
				return c.gone()
			}
			if err := c.take(line); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

// Close ends the client.
func (c *Client) Close() {
	if c.process != nil {
		c.process.stop()
		c.process = nil
	}
}
