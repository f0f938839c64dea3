// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// receptions calls f for all that a reception can be for the id 7: every state, whichever
// side opened it, whether it has begun in parts, and where it stands among the ids that
// have come and those that are served after a goodbye.
func receptions(f func(r reception)) {
	for st := stateIdle; st <= stateEnded; st++ {
		for bits := range 8 {
			for _, last := range []uint32{5, 7, 9} {
				for _, served := range []uint32{5, 7, 9} {
					f(reception{st, bits&1 != 0, bits&2 != 0, bits&4 != 0, last, true, served})
				}
				f(reception{st, bits&1 != 0, bits&2 != 0, bits&4 != 0, last, false, 0})
			}
		}
	}
}

// TestExtendedReceiveTable is the whole of onExtendedReceive, for every reception, type and
// flags: where it differs from the classic tables, and that it does not elsewhere.
func TestExtendedReceiveTable(t *testing.T) {
	differs := map[string]int{}
	receptions(func(r reception) {
		for _, typ := range []messageType{messageTypeRequest, messageTypeResponse, messageTypeData, 4} {
			for flags := range uint8(8) {
				h := messageHeader{StreamID: 7, Type: typ, Flags: flags}
				var want, why string
				switch {
				case typ == messageTypeData && flags&^flagRemoteOpen == flagNoData:
					want, why = "ignore", "B48: no message, which costs no credit"
				case r.ours:
					want, why = describe(onOpenerReceive(r.state, r.streams, h)), "B22"
				case r.state == stateIdle && !(r.begun && typ != 4) && r.said && r.served < 7:
					want, why = "ignore", "B53: after our goodbye"
				case r.state == stateIdle && !(r.begun && typ != 4) && r.last >= 7 && typ == messageTypeRequest:
					want, why = "reject reused", "B37"
				case r.state == stateIdle && !(r.begun && typ != 4) && r.last >= 7:
					want, why = "ignore", "B47: late"
				default:
					want, why = describe(onAccepterReceive(r.state, h)), "B38"
				}
				differs[why]++
				if got := describe(onExtendedReceive(r, h)); got != want {
					t.Errorf("%s: %v with flags %#x for %+v means %q, want %q", why, typ, flags, r, got, want)
				}
			}
		}
	})
	if len(differs) != 6 {
		t.Errorf("the table has rows for %v", differs)
	}
}

// TestPartTable is the whole of onPart.
func TestPartTable(t *testing.T) {
	fates := map[partFate]int{}
	receptions(func(r reception) {
		for _, ofStream := range []bool{false, true} {
			var want partFate
			switch {
			case ofStream:
				if r.state == stateOpen {
					want = partKeep
				}
			case r.ours:
				if r.state == stateUnary {
					want = partKeep
				}
			case r.state == stateIdle && r.begun:
				want = partKeep
			case r.state == stateIdle && r.last < 7 && !(r.said && r.served < 7):
				want = partOpens
			}
			fates[want]++
			if got := onPart(r, 7, ofStream); got != want {
				t.Errorf("B49: a part for %+v, of a stream's credit %v, has the fate %d, want %d", r, ofStream, got, want)
			}
		}
	})
	if len(fates) != 3 {
		t.Errorf("the table has %v", fates)
	}
}

// TestPayerTable is the whole of payerOf.
func TestPayerTable(t *testing.T) {
	for _, typ := range []messageType{messageTypeRequest, messageTypeResponse, messageTypeData, 4, messageTypeMetadata} {
		for flags := range uint8(8) {
			for _, cost := range []int{messageCharge, freeAnswer + messageCharge, freeAnswer + messageCharge + 1, 1 << 30} {
				for _, cut := range []bool{false, true} {
					want := payNobody
					switch {
					case typ == messageTypeRequest:
						want = payCalls
					case typ == messageTypeData && flags&flagNoData == 0:
						want = payStream
					case typ == messageTypeResponse && (cut || cost > freeAnswer+messageCharge):
						want = payCalls
						if flags&flagStream != 0 {
							want = payStream
						}
					}
					if got := payerOf(typ, flags, cost, cut); got != want {
						t.Errorf("B48: %v with flags %#x that costs %d, cut %v, is paid by %d, want %d", typ, flags, cost, cut, got, want)
					}
				}
			}
		}
	}
}

// TestPartingHears holds what goodbyes may follow one another.
func TestPartingHears(t *testing.T) {
	why := status.New(codes.Unavailable, "going")
	var p parting
	const used = 13
	if upTo, err := p.hear(9, used, why); err != nil || p.last != 9 || upTo != used {
		t.Errorf("B53: the first goodbye: %v, %d, up to %d", err, p.last, upTo)
	}
	if upTo, err := p.hear(9, used, why); err != nil || p.last != 9 || upTo != 9 {
		t.Errorf("B53: the same again, which says nothing new: %v, %d, up to %d", err, p.last, upTo)
	}
	if upTo, err := p.hear(5, used, why); err != nil || p.last != 5 || upTo != 9 {
		t.Errorf("B53: a lower one: %v, %d, up to %d", err, p.last, upTo)
	}
	if _, err := p.hear(7, used, why); err == nil || p.last != 5 {
		t.Errorf("B53: a goodbye that takes back: %v, %d", err, p.last)
	}
	if upTo, err := new(parting).hear(99, used, why); err != nil || upTo != 99 {
		t.Errorf("B53: a goodbye above all ids that were used: %v, up to %d", err, upTo)
	}
	if !errors.Is(p.why, ErrNotExecuted) || status.Code(p.why) != codes.Unavailable {
		t.Errorf("B53: calls get %v", p.why)
	}
}

// TestPingsLook holds when a ping is sent, when the peer is given up, and that it is looked
// in time for both.
func TestPingsLook(t *testing.T) {
	const ms = time.Millisecond
	k := &Keepalive{Interval: 1000 * ms, Timeout: 400 * ms}
	type look struct {
		at, heard time.Duration
		step      pingStep
		next      time.Duration
	}
	for name, looks := range map[string][]look{
		"nothing comes": {{1000 * ms, 1, pingNothing, 1}, {1000*ms + 1, 1, pingSend, 200 * ms},
			{1200*ms + 1, 1, pingNothing, 200 * ms}, {1400*ms + 1, 1, pingGiveUp, 400 * ms}},
		"something has come between": {{1000 * ms, 999 * ms, pingNothing, 999 * ms}, {1999 * ms, 999 * ms, pingSend, 200 * ms}},
		"an answer at once":          {{1001 * ms, 1 * ms, pingSend, 200 * ms}, {1201 * ms, 1001 * ms, pingNothing, 800 * ms}, {2001 * ms, 1001 * ms, pingSend, 200 * ms}},
		"a late look":                {{1500 * ms, 1 * ms, pingSend, 200 * ms}, {1700 * ms, 1 * ms, pingNothing, 200 * ms}, {1900 * ms, 1 * ms, pingGiveUp, 400 * ms}},
		"this process stood still":   {{1001 * ms, 1 * ms, pingSend, 200 * ms}, {time.Hour, 1 * ms, pingNothing, 200 * ms}, {time.Hour + 200*ms, time.Hour, pingNothing, 800 * ms}},
		"it did, and nothing comes":  {{1001 * ms, 1 * ms, pingSend, 200 * ms}, {time.Hour, 1 * ms, pingNothing, 200 * ms}, {time.Hour + 200*ms, 1 * ms, pingGiveUp, 400 * ms}},
		"it did after a look": {{1001 * ms, 1 * ms, pingSend, 200 * ms}, {1201 * ms, 1 * ms, pingNothing, 200 * ms}, {1202 * ms, 1 * ms, pingNothing, 199 * ms},
			{time.Hour, 1 * ms, pingNothing, 200 * ms}, {2 * time.Hour, 1 * ms, pingGiveUp, 400 * ms}},
	} {
		var p pings
		for i, l := range looks {
			if step, next := p.look(l.at, l.heard, k); step != l.step || next != l.next {
				t.Errorf("B52: %s: look %d: %d, and again after %v; want %d and %v", name, i, step, next, l.step, l.next)
			}
		}
	}
	var p pings
	if step, next := p.look(1000*ms, 1, &Keepalive{Interval: 100 * ms, Timeout: time.Hour}); step != pingSend || next != 100*ms {
		t.Errorf("B52: with a short interval: %d, and again after %v", step, next)
	}
}

// TestPingsCame holds how many pings may come too soon.
func TestPingsCame(t *testing.T) {
	var p pings
	least := time.Second
	for i, step := range []struct {
		at   time.Duration
		want bool
	}{
		{time.Hour, false}, {time.Hour + 1, false}, {time.Hour + 2, false}, {time.Hour + 3, true}, {2 * time.Hour, false}, {2*time.Hour + least - 1, false},
	} {
		if got := p.came(step.at, least); got != step.want {
			t.Errorf("B52: ping %d, at %v: too often %v", i, step.at, got)
		}
	}
}
