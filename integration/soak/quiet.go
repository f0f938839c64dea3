// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// still closes the connections that do not last and makes those that do. No call is
// under way.
func (s *soak) still() error {
	for _, t := range s.targets() {
		if t.orphans {
			if err := t.closeAll(); err != nil {
				return err
			}
			continue
		}
		if err := t.reap(); err != nil {
			return err
		}
		if err := t.fill(); err != nil {
			return err
		}
	}
	return nil
}

// quiet waits until all that traffic needed is gone, and takes samples.
func (s *soak) quiet() error {
	if err := s.still(); err != nil {
		return err
	}
	left, err := s.await("steady", "renewed")
	for _, text := range left {
		s.fail("left over", text)
	}
	if err != nil {
		return err
	}
	if _, err := s.host.do(command{Do: "rest"}); err != nil {
		return err
	}
	s.failIf(s.watched.rest())
	r, err := s.host.do(command{Do: "state", Server: "steady"})
	if err != nil {
		return err
	}
	s.failIf(checkTally("steady", r.Tally, s.steady.current().answered.get()))
	now, err := s.take("measure")
	if err != nil {
		return err
	}
	s.samples = append(s.samples, now)
	s.interval(now)
	return nil
}

func (s *soak) checkGrowth() {
	if len(s.samples) < minSamples {
		text := fmt.Sprintf("NOT CHECKED: growth of heap, stacks and RSS, for which %d samples are too few", len(s.samples))
		s.note(text, map[string]any{"unchecked": text})
		return
	}
	for _, text := range growth(s.samples) {
		s.fail("growth", text)
	}
}
