// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package debugpage

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/ttrpc"
)

// mostLongest is how many of the calls that run are shown at the top.
const mostLongest = 20

// A duration is written in seconds as JSON.
type duration time.Duration

// MarshalJSON implements json.Marshaler.
func (d duration) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(d).Seconds(), 'f', 6, 64), nil
}

// since returns how long ago something was, never less than nothing.
func since(at time.Time) duration { return duration(max(time.Since(at), 0)) }

// A report is all that the page shows. Its JSON has these names, and durations in seconds.
type report struct {
	Program string
	PID     int
	Start   time.Time // of what is counted
	Now     time.Time

	// Since the start. Outcomes are how calls have ended, by status.
	Opened, Ended, Refused uint64
	Outcomes               map[string]uint64
	Methods                []methodReport

	Running  int            // calls and streams
	Longest  []streamReport // those of them that have run longest
	Conns    []connReport
	Failures []failure // the newest first
	Ends     []connEnd // likewise, of connections; those refused too

	Recording *recordingReport // the last one, or nil
}

// A connReport is a connection.
type connReport struct {
	Source string     // what AddServer or AddClient was given
	Began  *time.Time // nil if it lacks the page's trace

	ttrpc.ConnSnapshot
	Peer    string         // in the place of the snapshot's
	Streams []streamReport // likewise
}

// A streamReport is a call or stream.
type streamReport struct {
	Conn     uint64
	Source   string
	Extended bool // the connection is, so there may be credit
	Age      duration

	// Left is how long it is until the deadline, less than nothing if that has passed; nil
	// if there is none.
	Left *duration

	ttrpc.StreamSnapshot
}

// report takes a look.
func (p *Page) report() *report {
	r := &report{Program: program(), PID: os.Getpid(), Start: p.start, Now: time.Now(), Recording: p.recorder.report()}
	for _, s := range p.sorted() {
		for _, snap := range s.conns() {
			r.addConn(p.ledger, s.name, snap)
		}
	}
	p.ledger.report(r)
	for _, c := range r.Conns {
		r.Longest = append(r.Longest, c.Streams...)
	}
	r.Running = len(r.Longest)
	slices.SortStableFunc(r.Longest, func(a, b streamReport) int { return a.Start.Compare(b.Start) })
	r.Longest = slices.Clone(r.Longest[:min(len(r.Longest), mostLongest)])
	return r
}

func (r *report) addConn(l *ledger, name string, snap ttrpc.ConnSnapshot) {
	c := connReport{Source: name, Peer: peerText(snap.Peer), ConnSnapshot: snap}
	if at, ok := l.began(snap.ID); ok {
		c.Began = &at
	}
	for _, s := range snap.Streams {
		one := streamReport{Conn: snap.ID, Source: name, Extended: snap.Extended, Age: duration(max(r.Now.Sub(s.Start), 0)), StreamSnapshot: s}
		one.FullMethod = clean(s.FullMethod)
		if !s.Deadline.IsZero() {
			left := duration(s.Deadline.Sub(r.Now))
			one.Left = &left
		}
		c.Streams = append(c.Streams, one)
	}
	// What peers or handshakers have made is shown as the texts above.
	c.ConnSnapshot.Peer, c.ConnSnapshot.Streams, c.Cause = nil, nil, clean(snap.Cause)
	r.Conns = append(r.Conns, c)
}

// peerText tells where the peer is, and what the handshaker has found out.
func peerText(p *ttrpc.Peer) string {
	if p == nil {
		return ""
	}
	text := ""
	if p.Addr != nil {
		text = p.Addr.String()
	}
	if text == "" || text == "@" { // the client of a unix socket has no name
		text = ""
		if p.LocalAddr != nil {
			text = p.LocalAddr.String()
		}
	}
	if p.AuthInfo != nil {
		text += " (" + authText(p.AuthInfo) + ")"
	}
	return clean(text)
}

// authText shows what is short, and of all else the type: it may be large, or changing.
func authText(auth any) string {
	if s, ok := auth.(fmt.Stringer); ok {
		return s.String()
	}
	v := reflect.Indirect(reflect.ValueOf(auth))
	if isShort(v.Kind()) {
		return fmt.Sprint(v)
	}
	if v.Kind() != reflect.Struct {
		return fmt.Sprintf("%T", auth)
	}
	for i := range v.NumField() {
		if !isShort(v.Field(i).Kind()) {
			return fmt.Sprintf("%T", auth)
		}
	}
	return fmt.Sprintf("%+v", v)
}

// isShort tells whether values of a kind are numbers or texts.
func isShort(k reflect.Kind) bool {
	return k >= reflect.Bool && k <= reflect.Float64 && k != reflect.Uintptr || k == reflect.String
}
