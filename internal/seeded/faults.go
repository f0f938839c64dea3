// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A fault is a change to one file of the library, at the one place where old
// stands.
type fault struct {
	name, kind string
	file       string
	old, new   string
}

// apply puts the fault into the copy in dir.
func (f fault) apply(dir string) error {
	path := filepath.Join(dir, f.file)
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if n := strings.Count(string(b), f.old); n != 1 {
		return fmt.Errorf("%s: what the fault replaces stands there %d times, not once", f.file, n)
	}
	return os.WriteFile(path, []byte(strings.Replace(string(b), f.old, f.new, 1)), 0o644)
}

const (
	wakeup = "lost wake-up"
	leak   = "leak"
	bound  = "missing bound"
	race   = "race"
	offBy1 = "off by one"
	order  = "order"
	rule   = "broken rule"
)

var faults = []fault{
	{
		name: "a sender is not woken when its stream ends", kind: wakeup, file: "table.go",
		old: "	s.state = stateIdle\n	s.waiting.Broadcast()\n	c.receiverGoes",
		new: "	s.state = stateIdle\n	c.receiverGoes",
	},
	{
		name: "a sender is not woken when the server's stream fails", kind: wakeup, file: "accept.go",
		old: "	s.waiting.Broadcast()\n	call.cancel(err)",
		new: "	call.cancel(err)",
	},
	{
		name: "a sender is not woken when its frame is taken", kind: wakeup, file: "stream.go",
		old: "	s.passed = s.passed || f.writes()\n	s.waiting.Broadcast()\n",
		new: "	s.passed = s.passed || f.writes()\n",
	},
	{
		name: "the reader is not woken when answers have left", kind: wakeup, file: "writer.go",
		old: "	if c.out.bytes <= c.cfg.limits.Queue.ConnectionBytes {\n		c.tellRoomLocked()\n	}",
		new: "",
	},
	{
		name: "the reader is not woken by the end of the connection", kind: wakeup, file: "conn.go",
		old: "	c.out.releaseAll()\n	c.tellRoomLocked()\n	nc,",
		new: "	c.out.releaseAll()\n	nc,",
	},
	{
		name: "the reader is not woken when writing fails", kind: wakeup, file: "writer.go",
		old: "	c.tellRoomLocked()\n	if c.lost != nil {",
		new: "	if c.lost != nil {",
	},
	{
		name: "the writer never stops being the writer", kind: wakeup, file: "writer.go",
		old: "	c.writing = one != nil || size > 0\n",
		new: "	c.writing = true\n",
	},
	{
		name: "draining before the start is forgotten", kind: wakeup, file: "conn.go",
		old: "	if c.draining {\n		c.settleLocked()\n	}\n	c.unlock()\n	if lead",
		new: "	c.unlock()\n	if lead",
	},
	{
		name: "an answered call stays in the table", kind: leak, file: "reader.go",
		old: "		c.endLocked(s, f)\n		if s.done != nil {\n			s.result = f",
		new: "		if s.done == nil {\n			c.endLocked(s, f)\n		} else {\n			s.result = f",
	},
	{
		name: "a stream that ended still watches its context", kind: leak, file: "table.go",
		old: "		c.after = append(c.after, func() { stop() })\n",
		new: "",
	},
	{
		name: "a stream that the connection ended still watches its context", kind: leak, file: "conn.go",
		old: "		if s.unwatch != nil { // which nobody sets any more\n			s.unwatch()\n		}\n",
		new: "",
	},
	{
		name: "requests of streams count when their handlers begin", kind: bound, file: "call.go",
		old: "		call.inbox.expect(request.cost())",
		new: "		_ = request.cost",
	},
	{
		name: "what an ended stream had queued stays counted", kind: leak, file: "inbox.go",
		old: "	b.countLocked(-b.sizeLocked())\n	b.total = nil",
		new: "	b.total = nil",
	},
	{
		name: "idle workers never end", kind: leak, file: "workers.go",
		old: "	for _, worker := range w.idle[:w.unused] {\n		close(worker)\n	}\n",
		new: "",
	},
	{
		name: "a connection that ended stays with the server", kind: leak, file: "admission.go",
		old: "	delete(s.connections, c)\n",
		new: "",
	},
	{
		name: "a frame gets all the memory that it promises", kind: bound, file: "readbuffer.go",
		old: "	return sizeFor(n, ch.w-ch.r)",
		new: "	return n",
	},
	{
		name: "answers that nobody reads are queued without end", kind: bound, file: "reader.go",
		old: "	for c.role == roleServer && c.mode == nil && c.out.bytes > c.cfg.limits.Queue.ConnectionBytes && !c.closed && c.seat != seatRelieved {",
		new: "	for false {",
	},
	{
		name: "queues of one connection have no cap", kind: bound, file: "reader.go",
		old: "	for c.isOverCap(n) {",
		new: "	for false {",
	},
	{
		name: "a full queue has no patience's end", kind: bound, file: "inbox.go",
		old: "	if b.weigh == nil && !b.timed && b.fullLocked(q) {",
		new: "	if false {",
	},
	{
		name: "draining reads what never stops coming", kind: bound, file: "reader.go",
		old: "			c.arrived -= messageHeaderLength + int(f.header.Length)\n",
		new: "",
	},
	{
		name: "other conns get 64 KiB in one write", kind: bound, file: "connkind.go",
		old: "	if k == packetConn {\n		return packetSize\n	}\n	return maxPending",
		new: "	return maxPending",
	},
	{
		name: "draining a byte stream drops what has arrived", kind: bound, file: "readbuffer.go",
		old: "time.Now().Add(arrivalTime)",
		new: "time.Unix(1, 0)",
	},
	{
		name: "a byte stream that waits keeps a large buffer", kind: bound, file: "readbuffer.go",
		old: "	ch.full = n == len(b) && !ch.into",
		new: "	ch.full = n == len(b)",
	},
	{
		name: "frames that leave together exceed a packet", kind: bound, file: "writer.go",
		old: "	return size+len(f.data) <= limit && len(f.data)",
		new: "	return size <= limit && len(f.data)",
	},
	{
		name: "draining takes rejections without end", kind: bound, file: "writer.go",
		old: "	case c.closed || c.lost != nil || ending:",
		new: "	case c.closed || c.lost != nil || ending && false:",
	},
	{
		name: "who sends blocks on a full socket", kind: bound, file: "socket_unix.go",
		old: "		if err == syscall.EAGAIN {\n			break\n		}\n		if err != nil {\n			s.werr",
		new: "		if err == syscall.EAGAIN {\n			return false\n		}\n		if err != nil {\n			s.werr",
	},
	{
		name: "a queue is used without its lock", kind: race, file: "inbox.go",
		old: "	b.mu.Lock()\n	messages, bytes = b.queue.count, b.sizeLocked()\n	b.mu.Unlock()\n",
		new: "	messages, bytes = b.queue.count, b.sizeLocked()\n",
	},
	{
		name: "a call's context is ended without its lock", kind: race, file: "call.go",
		old: "	x.mu.Lock()\n	if x.ended == nil {\n		x.ended = cause\n	}\n	x.cancelInnerLocked()\n	extras := x.extras\n	x.mu.Unlock()\n",
		new: "	if x.ended == nil {\n		x.ended = cause\n	}\n	x.cancelInnerLocked()\n	extras := x.extras\n",
	},
	{
		name: "interceptors get a payload that is used again", kind: race, file: "client.go",
		old: "st, f.take(p)",
		new: "st, p",
	},
	{
		name: "the limit is one byte lower for what is received", kind: offBy1, file: "channel.go",
		old: "	if int(h.Length) > ch.max {",
		new: "	if int(h.Length) >= ch.max {",
	},
	{
		name: "the limit is one byte higher for requests", kind: offBy1, file: "client.go",
		old: "	if size > limit {",
		new: "	if size > limit+1 {",
	},
	{
		name: "a stream's queue holds one message less", kind: offBy1, file: "inbox.go",
		old: "	return b.queue.count > q.Messages ||",
		new: "	return b.queue.count >= q.Messages ||",
	},
	{
		name: "envelopes take larger field numbers for their own", kind: offBy1, file: "internal/wire/fields.go",
		old: "		if num < 16 && ",
		new: "		if num < 64 && ",
	},
	{
		name: "the default logger leaves out the last pair", kind: offBy1, file: "config.go",
		old: "	for i := 0; i+1 < len(args); i += 2 {",
		new: "	for i := 0; i+2 < len(args); i += 2 {",
	},
	{
		name: "the last id is never used", kind: offBy1, file: "table.go",
		old: "	if c.lastID >= 1<<32-2 {",
		new: "	if c.lastID == 1<<32-3 {",
	},
	{
		name: "the cap on handlers allows one more", kind: offBy1, file: "accept.go",
		old: "	case limit > 0 && c.accepted >= limit:",
		new: "	case limit > 0 && c.accepted > limit:",
	},
	{
		name: "a large frame overtakes small ones", kind: order, file: "writer.go",
		old: "		batch.push(c.popLocked())",
		new: "		batch.pushFront(c.popLocked())",
	},
	{
		name: "an answer is lost when the peer closes after it", kind: order, file: "table.go",
		old: "		s.inbox.close(ErrClosed, cause == ErrClosed)",
		new: "		s.inbox.close(ErrClosed, true)",
	},
	{
		name: "Shutdown does not wait for answers to leave", kind: order, file: "conn.go",
		old: " && len(c.streams) == 0 && !c.writing && !c.expectsLocked() {",
		new: " && len(c.streams) == 0 {",
	},
	{
		name: "a stream ends twice", kind: rule, file: "call.go",
		old: "	active := s.isActive() && !c.closed",
		new: "	active := s.state != stateIdle && !c.closed",
	},
	{
		name: "an id used again counts as data on a unary call", kind: rule, file: "accept.go",
		old: "	if s != nil && s.state == stateUnary && f.header.Type == messageTypeData {",
		new: "	if s != nil && s.state == stateUnary {",
	},
	{
		name: "data on a unary call ends it", kind: rule, file: "stream.go",
		old: "	return actReject, violationInactive // idle",
		new: "	if st == stateUnary {\n		return actFail, violationInactive\n	}\n	return actReject, violationInactive // idle",
	},
	{
		name: "a vacant seat is never filled", kind: wakeup, file: "seat.go",
		old: "	if c.moveSeatLocked(seatNeeded) == seatStays && !strained {",
		new: "	if !strained {",
	},
	{
		name: "a caller who reads is not woken", kind: wakeup, file: "seat.go",
		old: "		c.nc.SetReadDeadline(time.Unix(1, 0))",
		new: "",
	},
	{
		name: "a handler that waits keeps the seat", kind: wakeup, file: "call.go",
		old: "	x.turn.end()\n",
		new: "",
	},
	{
		name: "answers that are held stay", kind: wakeup, file: "reader.go",
		old: "	if !c.ch.hasFrame() {\n		c.writeHeld()\n	}",
		new: "",
	},
	{
		name: "the reader waits for room that it must make", kind: wakeup, file: "reader.go",
		old: "		if c.held > 0 {\n			c.mu.Unlock()\n			c.writeHeld()\n			c.mu.Lock()\n			continue\n		}\n",
		new: "",
	},
	{
		name: "two read at once", kind: race, file: "seat_server.go",
		old: "	if !call.turn.lastsLocked() {\n		return true, false\n	}\n",
		new: "",
	},
	{
		name: "what others queued is cut by what a caller wrote", kind: offBy1, file: "seat_client.go",
		old: "		f, n = nil, 0",
		new: "		f = nil",
	},
	{
		name: "a slow method counts as quick", kind: bound, file: "seat_server.go",
		old: "	return took != 0 && time.Duration(took) <= limit && p",
		new: "	return took != 0 && p",
	},
	{
		name: "a method that waits now and then can be trained", kind: bound, file: "seat.go",
		old: "		c.running.neverHere()\n",
		new: "",
	},
	{
		name: "a request that is withdrawn keeps its credit", kind: leak, file: "ext_calls.go",
		old: "		x.calls.send.refund(rest)\n",
		new: "",
	},
	{
		name: "files of a message that is cut off while a part leaves stay open", kind: leak, file: "ext_parts.go",
		old: "	takeFiles(f).drop()\n	t.done = true",
		new: "	t.done = true",
	},
	{
		name: "a receiver who reads is not woken when its context ends", kind: wakeup, file: "seat_stream.go",
		old: "		c.moveSeatLocked(seatGivenUp)\n",
		new: "",
	},
	{
		name: "who waits for credit that was withdrawn sleeps on", kind: wakeup, file: "ext_calls.go",
		old: "		x.calls.send.refund(rest)\n		x.advanceLocked()\n",
		new: "		x.calls.send.refund(rest)\n",
	},
	{
		name: "requests that are consumed give their credit never back", kind: leak, file: "ext_parked.go",
		old: "		x.grantCallsLocked()\n		return false\n",
		new: "		return false\n",
	},
	{
		name: "a large message is not granted when its receiver begins to wait", kind: wakeup, file: "inbox.go",
		old: "		case b.hungry != nil && (over == nil || !b.told):\n			b.tellHungryLocked(over == nil)\n			continue\n",
		new: "",
	},
	{
		name: "a stream that ends keeps the turn of the one over the bound", kind: leak, file: "ext_want.go",
		old: "	x.settleWishLocked(s)\n}\n\n// returnedLocked",
		new: "}\n\n// returnedLocked",
	},
	{
		name: "a message comes without credit", kind: bound, file: "ext_credit.go",
		old: "	if !ok {\n		x.noCreditLocked(f.header)\n	}\n",
		new: "	_ = ok\n",
	},
	{
		name: "control frames wait behind what is queued", kind: order, file: "ext_mode.go",
		old: "	x.urgent.push(f)\n",
		new: "	c.pushed++\n	f.seq = c.pushed\n	c.out.push(f)\n",
	},
	{
		name: "a goodbye serves a call too many", kind: offBy1, file: "ext_goodbye.go",
		old: "		x.partLocked(x.lastPeer, why)",
		new: "		x.partLocked(x.lastPeer+2, why)",
	},
	{
		name: "files of dropped messages stay open", kind: leak, file: "ext_assembler.go",
		old: "	m.files.drop()\n	m.files = nil",
		new: "	m.files = nil",
	},
	{
		name: "a large message loses the pieces that came first", kind: rule, file: "ext_frame.go",
		old: "		all.data = append(all.data, p.data...)\n",
		new: "",
	},
	{
		name: "what was sent of a message is not taken back", kind: leak, file: "ext_parts.go",
		old: "	if tr.sent > 0 {",
		new: "	if false {",
	},
	{
		name: "calls that were parked are forgotten", kind: wakeup, file: "ext_parked.go",
		old: "		x.c.host.(serveFunc)(call)\n",
		new: "		_ = call\n",
	},
	{
		name: "a call that may have run is repeated without leave", kind: rule, file: "dial_call.go",
		old: "		case !unbegun && !repeatable:\n			return lost\n",
		new: "		case false:\n			return lost\n",
	},
	{
		name: "the trailer of an answer is not sent", kind: rule, file: "ext_answer.go",
		old: "h.Flags&flagRemoteClosed != 0) && more.answer.has(true) {",
		new: "h.Flags&flagRemoteClosed != 0) && more.answer.has(true) && false {",
	},
	{
		name: "a header follows a message", kind: order, file: "ext_answer.go",
		old: "	case !trailer && call.hasBegunLocked():\n",
		new: "	case false:\n",
	},
	{
		name: "what ended a stream that is kept gives way to its handler's answer", kind: rule, file: "detach.go",
		old: "	case s.ended:\n		answer.release()\n		answer, s.answer = s.answer, nil\n",
		new: "	case s.ended:\n",
	},
	{
		name: "who waits within a context sleeps on", kind: wakeup, file: "within.go",
		old: "			cond.Broadcast()\n",
		new: "",
	},
	{
		name: "a connection that is served outlives its context", kind: leak, file: "server.go",
		old: "	defer afterFunc(ctx, func() { c.close(errOf(ctx)) })()\n",
		new: "",
	},
}
