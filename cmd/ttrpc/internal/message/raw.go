// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package message

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// decodeBase64 takes the alphabets of files and of URLs, with and without "=", as protojson does.
func decodeBase64(s string) ([]byte, error) {
	s = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimSpace(s)), "=")
	data, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("it is no base64: %w", err)
	}
	return data, nil
}

func parseHex(s string) ([]byte, error) {
	digits := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
	data, err := hex.DecodeString(digits)
	var bad hex.InvalidByteError
	switch {
	case errors.As(err, &bad):
		return nil, fmt.Errorf("a raw message must be hex, or base64 behind \"base64:\": %q is no hex digit", rune(bad))
	case err != nil:
		return nil, fmt.Errorf("a raw message in hex has %d digits, so half a byte is missing", len(digits))
	}
	return data, nil
}

// mostLevelsOfTree is how deeply fields are looked for in fields.
const mostLevelsOfTree = 100

// Tree writes the fields of an encoded message by their numbers, in lines, each ended. What can be
// text is taken for text, and else what can be a message for one; both are guesses.
func Tree(data []byte) string {
	var out strings.Builder
	if rest := tree(&out, data, 0); len(rest) > 0 {
		fmt.Fprintf(&out, "%d bytes that are no field: %x\n", len(rest), rest)
	}
	return out.String()
}

// tree writes the fields of a message, and returns what is none.
func tree(out *strings.Builder, data []byte, level int) (rest []byte) {
	for len(data) > 0 {
		n := field(out, data, level)
		if n <= 0 {
			return data
		}
		data = data[n:]
	}
	return nil
}

// field writes one field and returns its length, or 0 if it is none.
func field(out *strings.Builder, data []byte, level int) int {
	number, kind, n := protowire.ConsumeTag(data)
	if n < 0 {
		return 0
	}
	value := data[n:]
	length := protowire.ConsumeFieldValue(number, kind, value)
	if length < 0 {
		return 0
	}
	out.WriteString(strings.Repeat("  ", level) + strconv.Itoa(int(number)))
	switch kind {
	case protowire.VarintType:
		v, _ := protowire.ConsumeVarint(value)
		out.WriteString(": " + varint(v))
	case protowire.Fixed32Type:
		v, _ := protowire.ConsumeFixed32(value)
		fmt.Fprintf(out, ": 0x%08x (%d, or %v)", v, int32(v), math.Float32frombits(v))
	case protowire.Fixed64Type:
		v, _ := protowire.ConsumeFixed64(value)
		fmt.Fprintf(out, ": 0x%016x (%d, or %v)", v, int64(v), math.Float64frombits(v))
	case protowire.BytesType:
		v, _ := protowire.ConsumeBytes(value)
		treeBytes(out, v, level)
	case protowire.StartGroupType:
		v, _ := protowire.ConsumeGroup(number, value)
		treeMessage(out, v, level)
	}
	out.WriteByte('\n')
	return n + length
}

// varint writes a number, and what else it may be.
func varint(v uint64) string {
	if int64(v) < 0 {
		return fmt.Sprintf("%d (%d)", v, int64(v))
	}
	return strconv.FormatUint(v, 10)
}

func treeMessage(out *strings.Builder, data []byte, level int) {
	if level == mostLevelsOfTree {
		fmt.Fprintf(out, ": %x", data)
		return
	}
	out.WriteString(" {\n")
	tree(out, data, level+1)
	out.WriteString(strings.Repeat("  ", level) + "}")
}

func treeBytes(out *strings.Builder, data []byte, level int) {
	printable, lines := isText(data)
	switch {
	case len(data) > 0 && !(printable && !lines) && isMessage(data):
		treeMessage(out, data, level)
	case printable:
		out.WriteString(": " + strconv.Quote(string(data)))
	default:
		fmt.Fprintf(out, ": %d bytes %x", len(data), data)
	}
}

// isText tells whether data is text that can be printed, and whether it has more than one line
// or tabs: bytes that are tags as well.
func isText(data []byte) (printable, lines bool) {
	if !utf8.Valid(data) {
		return false, false
	}
	for _, r := range string(data) {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			lines = true
		case !unicode.IsPrint(r):
			return false, false
		}
	}
	return true, lines
}

// isMessage tells whether data is a row of fields.
func isMessage(data []byte) bool {
	for len(data) > 0 {
		_, kind, n := protowire.ConsumeField(data)
		if n < 0 || kind == protowire.EndGroupType {
			return false
		}
		data = data[n:]
	}
	return true
}
