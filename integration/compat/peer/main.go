// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command peer is one end of a connection. It is built once against this library
// and once against each release that is tested, and therefore uses nothing that the
// oldest of them lacks.
//
//	peer server ADDR             serve on the unix socket ADDR until stdin ends
//	peer client ADDR SCENARIO…   run scenarios, print a line of JSON for each
//	peer servers                 serve on the socket that a line of stdin names, until the next does
//	peer clients SCENARIO        run a scenario with each server that a line of stdin names
//	peer list                    print the names of all scenarios
//	peer list any                print the names of those for servers without streams too
//	peer stage ADDR STAGE RUN    be a client that comes to a stage and stays there
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("peer: ")
	switch args := os.Args[1:]; {
	case len(args) == 2 && args[0] == "server":
		serve(args[1])
	case len(args) > 2 && args[0] == "client":
		for _, name := range args[2:] {
			runScenario(args[1], name)
		}
	case len(args) == 1 && args[0] == "servers":
		serveEach()
	case len(args) == 2 && args[0] == "clients":
		for addrs := bufio.NewScanner(os.Stdin); addrs.Scan(); {
			runScenario(addrs.Text(), args[1])
		}
	case len(args) == 1 && args[0] == "list":
		for _, sc := range scenarios {
			fmt.Println(sc.name)
		}
	case len(args) == 2 && args[0] == "list" && args[1] == "any":
		for _, sc := range anyServer {
			fmt.Println(sc.name)
		}
	case len(args) == 4 && args[0] == "stage":
		runStage(args[1], args[2], args[3])
	default:
		log.Fatal("usage: peer server ADDR | peer client ADDR SCENARIO… | peer servers | peer clients SCENARIO" +
			" | peer list [any] | peer stage ADDR STAGE RUN")
	}
}

func serve(addr string) {
	s := mustServe(addr)
	io.Copy(io.Discard, os.Stdin) // ends when the test closes it
	s.ttrpc.Close()
}

// serveEach has at most one server at a time, each a new one.
func serveEach() {
	var last *server
	for addrs := bufio.NewScanner(os.Stdin); addrs.Scan(); {
		if last != nil {
			last.ttrpc.Close()
		}
		last = mustServe(addrs.Text())
	}
	if last != nil {
		last.ttrpc.Close()
	}
}

// mustServe tells on stdout that the socket is there.
func mustServe(addr string) *server {
	s, err := startServer(addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("serving")
	return s
}

func runScenario(addr, name string) {
	for _, sc := range scenarios {
		if sc.name != name {
			continue
		}
		s := newSession(addr, name)
		sc.run(s)
		s.close()
		if err := json.NewEncoder(os.Stdout).Encode(s.report); err != nil {
			log.Fatal(err)
		}
		return
	}
	log.Fatalf("there is no scenario %q", name)
}
