// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

// A frameMore is what a frame has in extended mode. It implements [frameExtras].
type frameMore struct {
	files   *descriptors        // that came with a message, or are to leave with this frame
	of      *stream             // if this is a frame that announces files: whose message they belong to
	opens   bool                // it is the first frame of that
	flags   uint8               // and those of the parts of that
	before  *frame              // of a large message that was received: what stands before the data
	length  int                 // of that
	charged int                 // how much credit the files that are to leave, or have, take
	told    []*ResponseMetadata // of a request: get the metadata of the answer

	// Of a message that came in parts, or with files.
	paid     int  // how much credit was taken before its last frame
	rest     int  // how much that takes
	ofStream bool // it was the stream's
}

// moreOf returns what the frame has in extended mode.
func moreOf(f *frame) *frameMore {
	m, ok := f.extras.(*frameMore)
	if !ok {
		m = new(frameMore)
		f.extras = m
	}
	return m
}

// filesOf returns the frame's files, which stay the frame's.
func filesOf(f *frame) *descriptors {
	if m, ok := f.extras.(*frameMore); ok {
		return m.files
	}
	return nil
}

// takeFiles takes the frame's files off it.
func takeFiles(f *frame) *descriptors {
	m, ok := f.extras.(*frameMore)
	if !ok {
		return nil
	}
	files := m.files
	m.files = nil
	return files
}

func (m *frameMore) release() {
	m.files.drop()
	m.files = nil
	for p := m.before; p != nil; p = m.before {
		m.before, p.next = p.next, nil
		p.release()
	}
}

func (m *frameMore) pieces() int { return m.length }

func (m *frameMore) join(f *frame) {
	if m.before == nil {
		return
	}
	all := newFrame(m.length + len(f.data))
	last := &frame{data: f.data, class: f.class}
	for p := m.before; p != nil; p = m.before {
		m.before, p.next = p.next, nil
		all.data = append(all.data, p.data...)
		p.release()
	}
	m.length = 0
	f.data, f.class = append(all.data, f.data...), all.class
	last.release()
}

func (m *frameMore) writes() bool { return m.files.count() > 0 }

// write writes to a socket. The files leave with the first byte.
func (m *frameMore) write(fd int, b []byte) (n int, err error) {
	if n, err = m.of.conn.mode.(*extended).pass(fd, b, m.files); n > 0 {
		m.files.drop()
		m.files = nil
	}
	return n, err
}

// writeFirst implements [frameExtras].
func (m *frameMore) writeFirst(s *socket, f *frame) (n int, err error) { return s.writeExtras(f) }
