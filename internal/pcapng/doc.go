// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pcapng records connections into files that Wireshark opens, and reads such
// files back.
//
// A unix socket has no packets. [Writer] makes them up: each connection becomes one of
// TCP, between addresses of the loopback, with a beginning, an end and numbers that fit.
// So Wireshark follows streams, puts frames together and tells connections apart. What
// the connection really was stands in comments.
//
// [Reader] gives the bytes of both directions back. Beside files of Writer it reads what
// tcpdump and Wireshark record of TCP, and what sockdump records of unix sockets.
package pcapng

// Blocks of pcapng, and their options.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockSimple    = 3 // a packet without time
	blockPacket    = 6

	optionEnd        = 0
	optionComment    = 1
	optionResolution = 9  // of an interface: what a tick of its clock is
	optionOffset     = 14 // of an interface: seconds to add to all times

	orderMagic = 0x1a2b3c4d // tells the byte order of a section
)

// What packets begin with.
const (
	linkNull     = 0 // the loopback of BSD and macOS
	linkEthernet = 1
	linkRaw      = 101 // an IP header
	linkLoop     = 108
	linkCooked   = 113 // tcpdump -i any
	linkUser0    = 147 // sockdump
	linkIPv4     = 228
	linkIPv6     = 229
	linkCooked2  = 276
)

// Flags of TCP.
const (
	tcpFin = 1 << iota
	tcpSyn
	tcpRst
	tcpPsh
	tcpAck
)

// protocolTCP is TCP's number in IP.
const protocolTCP = 6
