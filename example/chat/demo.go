// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
)

// lines are what is said in the demonstration, in turns.
var lines = []string{"Is anybody there?", "I am!", "How did you come in?", "By a unix socket.", "I by a websocket."}

// demo has ada and bob talk, each by a door of its own.
func demo(ctx context.Context, out io.Writer) error {
	h, err := open("127.0.0.1:0")
	if err != nil {
		return err
	}
	defer h.close()
	ada, err := newMember(ctx, h.Socket, "ada")
	if err != nil {
		return err
	}
	bob, err := newMember(ctx, h.Unix, "bob")
	if err != nil {
		return err
	}
	both := [2]*member{ada, bob}
	// Ada sees all of it, so what she gets tells that a line was said.
	await := func(text string) error {
		for event, err := range ada.events.All(ctx) {
			if err != nil {
				return err
			}
			fmt.Fprintln(out, event)
			if event.Text == text {
				break
			}
		}
		return ctx.Err()
	}
	if err := await("bob has come"); err != nil {
		return err
	}
	for i, line := range lines {
		if err := both[i%2].say.Send(ctx, line); err != nil {
			return err
		}
		if err := await(line); err != nil {
			return err
		}
	}
	if err := bob.leave(ctx); err != nil {
		return err
	}
	if err := await("bob has left"); err != nil {
		return err
	}
	return ada.leave(ctx)
}
