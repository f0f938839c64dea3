// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"slices"
)

// A stage is how far a client has come when it ends. What reach has opened and
// begun goes on. The server knows what it began by the name of the run.
type stage struct {
	name  string
	reach func(s *session, run string)
	noted bool // a handler notes the end
}

var stages = slices.Concat(unaryStages, streamStages)

var unaryStages = []stage{
	{"before a request", func(*session, string) {}, false},
	{"mid-request", midRequest, false},
	{"mid-call", midCall, true},
	{"mid-response", midResponse, false},
}

func midRequest(s *session, _ string) {
	request := requestFrame(1, "Text", text("x"))
	s.raw().send(request[:len(request)/2])
}

func midCall(s *session, run string) {
	call := requestFrame(1, "HoldPastEnd", text("%s", run))
	s.raw().send(call)
	control(s.client, "Started", text("%s", run))
}

func midResponse(s *session, _ string) {
	r := s.raw()
	r.send(requestFrame(1, "Bytes", &intValue{Value: messageLimit / 2}))
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		log.Fatal(err)
	}
}

func findStage(name string) stage {
	i := slices.IndexFunc(stages, func(st stage) bool { return st.name == name })
	if i < 0 {
		log.Fatalf("there is no stage %q", name)
	}
	return stages[i]
}

// runStage reaches a stage, and stays there until stdin ends.
func runStage(addr, name, run string) {
	s := newSession(addr, name)
	findStage(name).reach(s, run)
	fmt.Println("reached")
	io.Copy(io.Discard, os.Stdin)
	s.close()
}

// clientEnds has another process come to a stage, twice: it closes what it has
// opened, and it is killed.
func clientEnds(name string) func(*session) {
	return func(s *session) {
		for _, how := range []string{"closed", "killed"} {
			endAtStage(s.addr, name, how)
			if findStage(name).noted {
				s.note(how+", handler", control(s.client, "Noted", text("%s", how)), nil)
				control(s.client, "Release", text("%s", how))
			}
			const left = 2 // the listener and this connection
			s.note(how+", server", control(s.client, "Sockets", &intValue{Value: left}), nil)
		}
		s.still()
	}
}

func endAtStage(addr, name, how string) {
	child := exec.Command(os.Args[0], "stage", addr, name, how)
	child.Stderr = os.Stderr
	stdin, err := child.StdinPipe()
	if err != nil {
		log.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		log.Fatal(err)
	}
	if err := child.Start(); err != nil {
		log.Fatal(err)
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		log.Fatal(err)
	}
	if how == "killed" {
		child.Process.Kill()
	}
	stdin.Close()
	if err := child.Wait(); err != nil && how != "killed" {
		log.Fatal(err)
	}
}
