// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

// maxBuffered bounds what waits for the peer to attach, of all channels of a session together.
const maxBuffered = 4 << 20

// count counts what waits for the peer to attach.
func (s *Session) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buffered += n
	if n < 0 && s.buffered < maxBuffered {
		s.wakeRoomLocked()
	}
}

func (s *Session) wakeRoomLocked() {
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}

// hasRoom tells whether more may wait for the peer to attach.
func (s *Session) hasRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buffered < maxBuffered || s.cause != nil
}

// roomChan returns a channel that is closed when there may be room.
func (s *Session) roomChan() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buffered < maxBuffered || s.cause != nil {
		return tried.done
	}
	if s.room == nil {
		s.room = make(chan struct{})
	}
	return s.room
}
