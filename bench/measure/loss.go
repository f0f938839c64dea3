// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"errors"
	"net"
	"syscall"
)

// Lose has the kernel drop that many of 100 packets that arrive at a socket, before its
// protocol sees them: a program for packets, which returns how much of one is kept, decides
// by chance.
func Lose(socket syscall.Conn, percent int) error {
	if percent == 0 {
		return nil
	}
	const random = 1<<32 - 0x1000 + 56 // where such programs find a random number
	program := []syscall.SockFilter{
		{Code: syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS, K: random},
		{Code: syscall.BPF_JMP | syscall.BPF_JGE | syscall.BPF_K, Jf: 1, K: uint32(uint64(percent) << 32 / 100)},
		{Code: syscall.BPF_RET | syscall.BPF_K, K: 1<<32 - 1},
		{Code: syscall.BPF_RET | syscall.BPF_K, K: 0},
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var attached error
	err = raw.Control(func(fd uintptr) {
		//lint:ignore SA1019 What is advised instead can be written with, but not attached.
		attached = syscall.AttachLsf(int(fd), program)
	})
	return errors.Join(err, attached)
}

// A lossyListener accepts conns that lose packets.
type lossyListener struct {
	net.Listener
	lost int
}

func (l lossyListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return conn, Lose(conn.(*net.TCPConn), l.lost)
}
