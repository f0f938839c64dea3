// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package strace

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A trimmed is a line without what stands before the call.
type trimmed struct {
	thread string
	time   string
	rest   string
}

var (
	threadForm = regexp.MustCompile(`^(?:\[pid +(\d+)\] |(\d+) +)`)
	timeForm   = regexp.MustCompile(`^(\d\d:\d\d:\d\d(?:\.\d+)?|\d+\.\d+) +(?:\([+ ] *\d+\.\d+\) )?`)
	nameForm   = regexp.MustCompile(`^[a-z_][a-z0-9_]*\(`)
	resultForm = regexp.MustCompile(`\)\s+= (-?\d+|\?)`)
	stringForm = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"(\.\.\.)?`)
	iovForm    = regexp.MustCompile(`iov_base="((?:[^"\\]|\\.)*)"(\.\.\.)?`)
	filesForm  = regexp.MustCompile(`SCM_RIGHTS, cmsg_data=\[([^\]]*)\]`)
	pathForm   = regexp.MustCompile(`sun_path=(@?)"((?:[^"\\]|\\.)*)"`)
)

func trim(line string) (t trimmed) {
	if m := threadForm.FindStringSubmatch(line); m != nil {
		t.thread = m[1] + m[2]
		line = line[len(m[0]):]
	}
	if m := timeForm.FindStringSubmatch(line); m != nil {
		t.time = m[1]
		line = line[len(m[0]):]
	}
	t.rest = line
	return t
}

func isName(s string) bool { return nameForm.MatchString(s) }

// A call is a system call.
type call struct {
	name       string
	fd         string // the first argument, as it is written: 5, or with -yy 5<UNIX-STREAM:[1->2]>
	args       string // all, with the bracket that ends them
	result     int64  // -1 if it has failed
	resultText string // of a descriptor, with what -yy says of it
}

// parse understands a whole line.
func parse(line string) (call, bool) { return trim(line).call() }

// call understands a call.
func (t trimmed) call() (c call, ok bool) {
	if !isName(t.rest) {
		return c, false
	}
	name, after, _ := strings.Cut(t.rest, "(")
	// The last one counts: strings may contain anything, but for what was read a result follows.
	found := resultForm.FindAllStringSubmatchIndex(after, -1)
	if found == nil {
		return c, false
	}
	at := found[len(found)-1]
	c.name, c.args = name, after[:at[0]+1]
	result := after[at[2]:]
	c.resultText, _, _ = strings.Cut(descriptor(result), " ")
	n, err := strconv.ParseInt(after[at[2]:at[3]], 10, 64)
	if err != nil {
		n = -1 // a call that has not returned
	}
	c.result = max(n, -1)
	c.fd = descriptor(c.args)
	return c, true
}

// descriptor returns the descriptor at the front of a text, with what -y and -yy say of it in
// angle brackets, in which there may be more of these.
func descriptor(s string) string {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	if n == 0 || n == len(s) || s[n] != '<' {
		return s[:n]
	}
	depth, quoted := 0, false
	for i := n; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case quoted:
		case s[i] == '<':
			depth++
		case s[i] == '>' && s[i-1] != '-': // the arrow of a pair of sockets ends nothing
			if depth--; depth == 0 {
				return s[:i+1]
			}
		}
	}
	return s[:n]
}

// data returns the bytes of a call, as far as they are written, and how many descriptors came
// with them.
func (c *call) data() (data []byte, files int) {
	form := iovForm
	switch c.name {
	case "read", "write", "recvfrom", "sendto", "recv", "send":
		form = stringForm
	}
	// What -yy says of the descriptor may have a string as well.
	for _, m := range form.FindAllStringSubmatch(c.args[len(c.fd):], -1) {
		data = append(data, unescape(m[1])...)
		if m[2] != "" || form == stringForm {
			break // what follows it has no place any more
		}
	}
	for _, m := range filesForm.FindAllStringSubmatch(c.args, -1) {
		files += strings.Count(m[1], ",") + 1
	}
	return data, files
}

// path returns the path in an address.
func (c *call) path() string {
	m := pathForm.FindStringSubmatch(c.args)
	if m == nil {
		return "a socket"
	}
	return m[1] + string(unescape(m[2]))
}

// simple are C's escapes of one letter.
var simple = map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', 'v': '\v', 'f': '\f', 'a': 7, 'b': 8}

// unescape returns what a string of C stands for.
func unescape(s string) []byte {
	b := make([]byte, 0, len(s)/4+1)
	for len(s) > 0 {
		if s[0] != '\\' || len(s) == 1 {
			b, s = append(b, s[0]), s[1:]
			continue
		}
		digits, base := 0, 8
		start := 1
		if s[1] == 'x' {
			start, base = 2, 16
		}
		for start+digits < len(s) && digits < 4-start && isDigit(s[start+digits], base) {
			digits++
		}
		if start == 1 && digits == 0 {
			c := s[1]
			if known, ok := simple[c]; ok {
				c = known
			}
			b, s = append(b, c), s[2:]
			continue
		}
		n, _ := strconv.ParseUint(s[start:start+digits], base, 8)
		b, s = append(b, byte(n)), s[start+digits:]
	}
	return b
}

func isDigit(c byte, base int) bool {
	if base == 8 {
		return c >= '0' && c <= '7'
	}
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// A clock makes times of what stands before the lines: seconds since 1970 (-ttt), the time of a
// day (-t, -tt), or seconds since the line before (-r).
type clock struct{ last time.Time }

func (c *clock) at(text string) time.Time {
	switch {
	case text == "":
		return time.Time{}
	case strings.Contains(text, ":"):
		t, err := time.Parse("15:04:05.999999999", text)
		if err != nil {
			return c.last
		}
		c.last = t.AddDate(1969, 0, 0) // of no day: differences count
		return c.last
	}
	seconds, fraction, _ := strings.Cut(text, ".")
	whole, _ := strconv.ParseInt(seconds, 10, 64)
	fraction = (fraction + "000000000")[:9]
	nanos, _ := strconv.ParseInt(fraction, 10, 64)
	if whole < 1e8 { // since the line before
		if c.last.IsZero() {
			c.last = time.Unix(0, 0)
		}
		c.last = c.last.Add(time.Duration(whole)*time.Second + time.Duration(nanos))
		return c.last
	}
	c.last = time.Unix(whole, nanos)
	return c.last
}
