// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package pcapng

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// An endpoint is one side of a connection: of TCP, or of sockdump, which knows processes.
type endpoint struct {
	addr netip.AddrPort
	pid  uint64
}

func (e endpoint) String() string {
	if e.addr.IsValid() {
		return e.addr.String()
	}
	return fmt.Sprintf("pid %d", e.pid)
}

// A segment is what a packet has of a connection.
type segment struct {
	from, to endpoint
	tcp      bool
	seq      uint32
	flags    uint8
	data     []byte
	cut      int // how many bytes after data were not recorded
}

// known tells whether packets of that link are understood.
func known(link uint16) bool {
	switch link {
	case linkNull, linkEthernet, linkRaw, linkLoop, linkCooked, linkUser0, linkIPv4, linkIPv6, linkCooked2:
		return true
	}
	return false
}

// parse finds the segment in a packet. Packets of other protocols, and fragments, have
// none.
func (p packet) parse() (segment, bool) {
	b := p.data
	skip := 0
	switch p.link {
	case linkUser0:
		if len(b) < 16 {
			return segment{}, false
		}
		peer, pid := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
		return segment{from: endpoint{pid: pid}, to: endpoint{pid: peer}, data: b[16:], cut: p.cut}, true
	case linkNull, linkLoop:
		skip = 4
	case linkEthernet:
		skip = 14
		for len(b) >= skip && b[skip-2] == 0x81 && b[skip-1] == 0 { // a VLAN
			skip += 4
		}
	case linkCooked:
		skip = 16
	case linkCooked2:
		skip = 20
	}
	if len(b) <= skip {
		return segment{}, false
	}
	b = b[skip:]
	switch b[0] >> 4 {
	case 4:
		return parseIPv4(b, p.cut)
	case 6:
		return parseIPv6(b, p.cut)
	}
	return segment{}, false
}

func parseIPv4(b []byte, cut int) (segment, bool) {
	if len(b) < ipLength {
		return segment{}, false
	}
	header, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	fragment := binary.BigEndian.Uint16(b[6:])&0x3fff != 0
	if b[9] != protocolTCP || fragment || header < ipLength || len(b) < header {
		return segment{}, false
	}
	from, to := netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	return parseTCP(from, to, b[header:], total-header, cut)
}

func parseIPv6(b []byte, cut int) (segment, bool) {
	const header = 40
	if len(b) < header || b[6] != protocolTCP {
		return segment{}, false
	}
	from, to := netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	return parseTCP(from, to, b[header:], int(binary.BigEndian.Uint16(b[4:])), cut)
}

// parseTCP parses what IP carries. That has length bytes, or as many as there are where
// the network card cuts packets, which IP then has no length of; what follows pads it.
func parseTCP(from, to netip.Addr, b []byte, length, cut int) (segment, bool) {
	if length > 0 && length < len(b)+cut {
		cut = max(0, length-len(b))
		b = b[:min(len(b), length)]
	}
	if len(b) < tcpLength {
		return segment{}, false
	}
	header := int(b[12]>>4) * 4
	if header < tcpLength || header > len(b) {
		return segment{}, false
	}
	return segment{
		from:  endpoint{addr: netip.AddrPortFrom(from, binary.BigEndian.Uint16(b))},
		to:    endpoint{addr: netip.AddrPortFrom(to, binary.BigEndian.Uint16(b[2:]))},
		tcp:   true,
		seq:   binary.BigEndian.Uint32(b[4:]),
		flags: b[13],
		data:  b[header:],
		cut:   cut,
	}, true
}

// unknownLinks is the error for a capture that has nothing of use.
func unknownLinks(links []uint16) error {
	names := make([]string, len(links))
	for i, link := range links {
		names[i] = fmt.Sprint(link)
	}
	return fmt.Errorf("pcapng: no packet of the capture is understood: it has those of link type %s, "+
		"and only Ethernet, IP, the loopback, Linux cooked (tcpdump -i any) and sockdump's (147) are known", strings.Join(names, ", "))
}
