// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"time"
)

// trouble ends connections, servers and processes for some time.
func (s *soak) trouble(d time.Duration) {
	slot := s.watch.slot()
	defer slot.free()
	for end := time.Now().Add(d); time.Now().Before(end) && !s.hopeless(); {
		time.Sleep(min(time.Until(end), time.Duration(50+s.rng.IntN(400))*time.Millisecond))
		what, do := s.drawTrouble()
		slot.begin("trouble", what)
		if err := do(); err != nil {
			s.fail(what, err.Error())
		}
		slot.end()
		s.countTrouble(what)
	}
}

func (s *soak) drawTrouble() (string, func() error) {
	if s.watched != nil && s.rng.IntN(3) == 0 {
		return "looked at", s.look
	}
	switch n := s.rng.IntN(10); {
	case n < 4:
		return "client closed", func() error { return s.churn.closeLane(s.rng.IntN(lanesPerTarget)) }
	case n < 7:
		return "server shut down", func() error { return s.renew("shutdown", endShutdown) }
	case n < 8 || !s.remote:
		return "server closed", func() error { return s.renew("close", endClose) }
	default:
		return "server killed", s.killVictim
	}
}

// renew ends a server and starts it again.
func (s *soak) renew(how string, ending int32) error {
	g := s.renewed.current()
	g.ending.Store(ending)
	ended, err := s.host.do(command{Do: how, Server: "renewed"})
	if err != nil {
		return err
	}
	if err := s.renewed.finish(); err != nil {
		return err
	}
	next, err := s.host.do(command{Do: "start", Server: "renewed"})
	if err != nil {
		return err
	}
	s.renewed.begin(next.Address)
	if ending == endShutdown {
		return checkTally("B25", ended.Tally, g.answered.get())
	}
	return nil
}

// killVictim has calls end with SIGKILL for their server.
func (s *soak) killVictim() error {
	g := s.mortal.current()
	g.ending.Store(endKill)
	if err := s.victim.kill(); err != nil {
		return err
	}
	if err := os.Remove(g.address); err != nil { // which it could not do itself
		return err
	}
	if err := s.mortal.finish(); err != nil {
		return err
	}
	return s.startVictim()
}

func (s *soak) startVictim() error {
	p, err := startProcess(s.dir, s.modes, s.fault, s.watched)
	if err != nil {
		return err
	}
	s.victim = p
	s.victims++
	r, err := p.do(command{Do: "start", Server: fmt.Sprintf("mortal-%d", s.victims)})
	if err != nil {
		return err
	}
	s.mortal.begin(r.Address)
	return nil
}

// look has both processes asked for what is shown of them.
func (s *soak) look() error {
	if _, err := s.host.do(command{Do: "look"}); err != nil || !s.remote {
		return err
	}
	return s.watched.look()
}
