// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && linux

package ttrpc

import (
	"context"
	"os"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TestFilesBehindLarge holds that no more descriptors wait for their messages than a peer
// takes, however many large messages there are.
func TestFilesBehindLarge(t *testing.T) {
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	files := make([]*os.File, maxFiles)
	for i := range files {
		files[i] = f
	}
	limits := Limits{Files: 1 << 20}
	p := newExtendedPair(t, []ServerOpt{WithServerLimits(limits)}, WithClientLimits(limits))
	var wg sync.WaitGroup
	for range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			s, err := p.client.NewStream(context.Background(), bidi, "test", "Echoes", nil)
			if err != nil {
				t.Error(err)
				return
			}
			go func() {
				for range 10 {
					s.SendMsg(wrapperspb.Bytes(make([]byte, 200<<10)))
					s.SendMsg(&FileMessage{wrapperspb.Bytes(make([]byte, 10)), files})
				}
				s.CloseSend()
			}()
			for range 20 {
				if err := s.RecvMsg(new(wrapperspb.BytesValue)); err != nil {
					t.Errorf("B51: %v, client: %v, server: %v", err, p.client.Cause(), p.serverConn())
					return
				}
			}
		}()
	}
	wg.Wait()
}

// TestParkedCallsStart holds that calls which wait for the peer to read are started once it
// has, also if only parts leave.
func TestParkedCallsStart(t *testing.T) {
	onExtendedServer(t, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		c := ts.conn
		synctest.Wait()
		c.mu.Lock()
		c.writing = true // by hand
		c.mu.Unlock()
		large := encode(t, wrapperspb.Bytes(make([]byte, 300_000)))
		for i := range uint32(2) {
			p.send(0, messageTypeWant, 0, number(310_000))
			p.sendCut(3+2*i, messageTypeRequest, 0, encode(t, &Request{Service: "test", Method: "Echo", Payload: large}), 200_000)
			p.send(0, messageTypeWant, 0, number(0))
			synctest.Wait()
		}
		p.request(7, 0, "Wait", nil)
		synctest.Wait()
		c.mu.Lock()
		if extOf(c).parked.count != 1 {
			t.Errorf("%d parked, %d bytes", extOf(c).parked.count, c.out.bytes)
		}
		c.mu.Unlock()
		for { // until the first is gone and the second is leaving
			c.nextBatch().release()
			c.mu.Lock()
			n := c.out.bytes + extOf(c).bytesLocked()
			c.mu.Unlock()
			if n == 0 {
				t.Fatal("both are gone")
			}
			if n < 500_000 {
				break
			}
		}
		c.nextBatch().release()
		synctest.Wait()
		select {
		case <-ts.contexts:
		default:
			t.Error("B48: a call that waited for the peer to read is not started though it has read")
			defer func() { <-ts.contexts }()
		}
		go c.writeOut(nil, 0)
		synctest.Wait()
		ts.answers <- nil
		synctest.Wait()
		p.mu.Lock()
		p.frames = nil
		p.mu.Unlock()
	}, WithServerLimits(Limits{Queue: StreamQueue{ConnectionBytes: 500_000}}))
}

// TestMemoryOfParts holds that memory follows what has arrived, also of messages in parts.
func TestMemoryOfParts(t *testing.T) {
	for name, parts := range map[string][]int{
		"two small parts":             {256, 1},
		"a large part after a small":  {1, maxFrameData},
		"a large part after a larger": {100_000, maxFrameData},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := unixPair(t)
			ch := newChannelSize(b, 64<<20)
			assembler := newAssembler(false)
			assembler.agreed, ch.more = true, assembler
			arrived := 0
			for i, n := range parts {
				data := make([]byte, messageHeaderLength+n)
				messageHeader{Length: uint32(n), StreamID: 3, Type: messageTypePart}.Put(data)
				if i == len(parts)-1 {
					n = min(n, 1)
					data = data[:messageHeaderLength+n]
				}
				arrived += n
				for len(data) > 0 { // what the socket holds
					k := min(len(data), 10_000)
					a.Write(data[:k])
					data = data[k:]
					f, err := ch.recvFrame(false)
					if err == nil {
						assembler.takePart(ch, f.header, true)
						_, err = ch.recvFrame(false)
					}
					if err != errNoFrame {
						t.Fatal(err)
					}
				}
			}
			m, held := assembler.open[3], 0
			if m.frame != nil {
				held = cap(m.frame.data)
			}
			for p := m.pieces; p != nil; p = p.next {
				held += cap(p.data)
			}
			if most := (growth + 1) * max(arrived, packetSize) * 5 / 4; held > most { // pools round up
				t.Errorf("B49: %d bytes have arrived, and %d are held", arrived, held)
			}
		})
	}
}
