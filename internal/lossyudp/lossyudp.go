// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package lossyudp is a bad path for UDP, in process: a relay that loses and delays
// datagrams, passes none at all for a while, and has clients come from other ports.
package lossyudp

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// maxQueued is how many datagrams of a direction are on their way. More are lost.
const maxQueued = 4096

// A Relay passes datagrams on between clients and one server. Its methods may be used
// concurrently.
type Relay struct {
	front  *net.UDPConn // which clients send to
	server netip.AddrPort

	loss         atomic.Int64 // in a million
	delay        atomic.Int64
	cut          atomic.Bool
	passed, lost atomic.Int64

	mu sync.Mutex

	// Guarded by mu.
	clients map[netip.AddrPort]*client
	dice    *rand.Rand
	closed  bool

	all sync.WaitGroup
}

// A client is who sends to the front.
type client struct {
	addr netip.AddrPort
	out  *line                       // to the server
	back *line                       // from it
	port atomic.Pointer[net.UDPConn] // the one that it seems to come from
}

// New returns a relay to a server, with clients on the loopback interface. With the same seed
// it loses the same datagrams, if they come in the same order.
func New(server net.Addr, seed uint64) (*Relay, error) {
	to, err := netip.ParseAddrPort(server.String())
	if err != nil {
		return nil, err
	}
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	enlarge(front)
	r := &Relay{front: front, server: to, clients: map[netip.AddrPort]*client{}, dice: rand.New(rand.NewPCG(seed, 0))}
	r.all.Go(r.takeFromClients)
	return r, nil
}

func enlarge(c *net.UDPConn) {
	_ = c.SetReadBuffer(4 << 20) // the system may allow less
	_ = c.SetWriteBuffer(4 << 20)
}

// Addr is where clients send to.
func (r *Relay) Addr() net.Addr { return r.front.LocalAddr() }

// SetLoss says which share of the datagrams is lost, in either direction: 0.01 is one in a
// hundred.
func (r *Relay) SetLoss(share float64) { r.loss.Store(int64(share * 1e6)) }

// SetDelay says how long a datagram takes in either direction.
func (r *Relay) SetDelay(d time.Duration) { r.delay.Store(int64(d)) }

// Cut has all datagrams be lost, or none but those of SetLoss.
func (r *Relay) Cut(cut bool) { r.cut.Store(cut) }

// Counts returns how many datagrams have come through, and how many have not.
func (r *Relay) Counts() (passed, lost int64) { return r.passed.Load(), r.lost.Load() }

// Move has each client come from another port, as a NAT does that has forgotten it. What the
// server sends to the old ones is lost.
func (r *Relay) Move() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return net.ErrClosed
	}
	for _, c := range r.clients {
		old := c.port.Load()
		if err := r.open(c); err != nil {
			return err
		}
		_ = old.Close()
	}
	return nil
}

// Close ends the relay.
func (r *Relay) Close() error {
	r.mu.Lock()
	r.closed = true
	err := r.front.Close()
	for _, c := range r.clients {
		_ = c.port.Load().Close()
		c.out.close()
		c.back.close()
	}
	r.mu.Unlock()
	r.all.Wait()
	return err
}

// open gives a client a port of its own. The caller holds mu.
func (r *Relay) open(c *client) error {
	port, err := net.ListenUDP("udp", nil)
	if err != nil {
		return err
	}
	enlarge(port)
	c.port.Store(port)
	r.all.Go(func() { r.takeFromServer(c, port) })
	return nil
}

func (r *Relay) takeFromClients() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := r.front.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if c := r.client(from); c != nil {
			r.pass(c.out, buf[:n])
		}
	}
}

func (r *Relay) takeFromServer(c *client, port *net.UDPConn) {
	buf := make([]byte, 64<<10)
	for {
		n, _, err := port.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		r.pass(c.back, buf[:n])
	}
}

// client returns the one with an address, or nil if there can be none.
func (r *Relay) client(addr netip.AddrPort) *client {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.clients[addr]
	if c != nil || r.closed {
		return c
	}
	c = &client{addr: addr}
	if r.open(c) != nil {
		return nil
	}
	c.out = newLine(func(b []byte) { _, _ = c.port.Load().WriteToUDPAddrPort(b, r.server) })
	c.back = newLine(func(b []byte) { _, _ = r.front.WriteToUDPAddrPort(b, addr) })
	r.all.Go(c.out.run)
	r.all.Go(c.back.run)
	r.clients[addr] = c
	return c
}

// pass sends a datagram on, or loses it.
func (r *Relay) pass(l *line, b []byte) {
	if r.loses() || !l.send(b, time.Duration(r.delay.Load())) {
		r.lost.Add(1)
		return
	}
	r.passed.Add(1)
}

func (r *Relay) loses() bool {
	if r.cut.Load() {
		return true
	}
	loss := r.loss.Load()
	if loss == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dice.Int64N(1e6) < loss
}

// A line is one direction of a client's, in which nothing overtakes while the delay stays.
type line struct {
	write  func([]byte)
	ended  chan struct{}
	queued chan parcel
}

type parcel struct {
	data []byte
	due  time.Time
}

func newLine(write func([]byte)) *line {
	return &line{write: write, ended: make(chan struct{}), queued: make(chan parcel, maxQueued)}
}

// send has a datagram arrive after a delay, and tells whether there was room for it.
func (l *line) send(b []byte, delay time.Duration) bool {
	if delay == 0 && len(l.queued) == 0 {
		l.write(b)
		return true
	}
	select {
	case l.queued <- parcel{append([]byte(nil), b...), time.Now().Add(delay)}:
		return true
	default:
		return false
	}
}

func (l *line) run() {
	for {
		select {
		case <-l.ended:
			return
		case p := <-l.queued:
			wait := time.NewTimer(time.Until(p.due))
			select {
			case <-l.ended:
				wait.Stop()
				return
			case <-wait.C:
			}
			l.write(p.data)
		}
	}
}

func (l *line) close() { close(l.ended) }
