// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"fmt"
	"testing"
)

// TestReceiveTable is the whole of onReceive: for each role and state what
// each type of frame means, under each combination of the two flags that data
// frames have. Types stand for request, response, data and an unknown one.
func TestReceiveTable(t *testing.T) {
	type row [4]string // request, response, data, unknown
	byFlags := func(r role, h messageHeader) string {
		if r == roleClient && h.Flags&^flagRemoteOpen == flagNoData {
			return "message" // a released server's SendMsg(nil)
		}
		// B39
		return map[uint8]string{
			0:                             "message",
			flagNoData:                    "ignore",
			flagRemoteClosed:              "last",
			flagRemoteClosed | flagNoData: "close",
		}[h.Flags&^flagRemoteOpen]
	}
	server := map[streamState]row{ // B37, B38
		stateIdle:         {"open", "ignore", "reject inactive", "ignore"},
		stateUnary:        {"reject reused", "ignore", "reject inactive", "ignore"},
		stateWarned:       {"reject reused", "ignore", "ignore", "ignore"},
		stateOpen:         {"reject reused", "ignore", "by flags", "ignore"},
		stateRemoteClosed: {"reject reused", "ignore", "fail closed", "ignore"},
		stateEnded:        {"reject reused", "ignore", "ignore", "ignore"},
	}
	// A client never has a stream in remoteClosed or ended: it is gone then.
	client := map[streamState]row{ // B22
		stateIdle:  {"ignore", "ignore", "ignore", "ignore"},
		stateUnary: {"fail type", "end", "fail type", "fail type"},
		stateOpen:  {"fail type", "end", "by flags", "fail type"},
	}
	oneWay := row{"fail type", "end", "fail noStream", "fail type"}
	even := row{"reject even", "reject even", "reject even", "reject even"}

	for i, typ := range []messageType{messageTypeRequest, messageTypeResponse, messageTypeData, 0x42} {
		for flags := range uint8(8) {
			check := func(r role, st streamState, streams bool, id uint32, want row) {
				t.Helper()
				h := messageHeader{StreamID: id, Type: typ, Flags: flags}
				expected := want[i]
				if expected == "by flags" {
					expected = byFlags(r, h)
				}
				if got := describe(onReceive(r, st, streams, h)); got != expected {
					t.Errorf("role %d, %v, streams %v: %v with flags %#x on id %d means %q, want %q", r, st, streams, typ, flags, id, got, expected)
				}
			}
			for st, want := range server {
				check(roleServer, st, false, 7, want)
				check(roleServer, st, false, 8, even)
				check(roleServer, st, false, 0, even)
			}
			for st, want := range client {
				check(roleClient, st, true, 7, want)
			}
			check(roleClient, stateOpen, false, 7, oneWay)
		}
	}
}

// describe names an action and its violation as the table does.
func describe(a action, v violation) string {
	name := [...]string{"ignore", "open", "message", "close", "last", "end", "reject", "fail"}[a]
	switch v {
	case violationNone:
		return name
	case violationEvenID:
		return name + " even"
	case violationReused:
		return name + " reused"
	case violationInactive:
		return name + " inactive"
	case violationClosed:
		return name + " closed"
	case violationType:
		return name + " type"
	case violationNoStream:
		return name + " noStream"
	}
	return fmt.Sprintf("%s %q", name, v)
}

// TestSendTable is the whole of onSend, for every state (B20).
func TestSendTable(t *testing.T) {
	for st := stateIdle; st <= stateEnded; st++ {
		if write, err := onSend(st, true); write || err != ErrStreamClosed {
			t.Errorf("B20: after the half-close in %v: %v, %v", st, write, err)
		}
		write, err := onSend(st, false)
		if want := st != stateIdle && st != stateEnded; write != want || err != nil {
			t.Errorf("in %v: %v, %v, want %v", st, write, err, want)
		}
	}
}

func TestAcceptedState(t *testing.T) {
	want := [8]streamState{stateUnary, stateRemoteClosed, stateOpen, stateOpen, stateUnary, stateRemoteClosed, stateOpen, stateOpen}
	for flags := range uint8(8) {
		for _, undefined := range []uint8{0, 0xf0} {
			if got := acceptedState(flags | undefined); got != want[flags] {
				t.Errorf("B36: a request with flags %#x opens in %v, want %v", flags|undefined, got, want[flags])
			}
		}
	}
}
