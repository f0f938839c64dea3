// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/address"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/inplace"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/relay"
)

// connectTimeout bounds the attempt to reach the server for a client.
const connectTimeout = 10 * time.Second

// A proxy passes connections on and shows what is on them.
type proxy struct {
	env    *cli.Env
	to     *address.Address
	place  *inplace.Place // with --in-place
	trunk  bool           // NRI's
	quiet  bool           // nothing is printed
	server *ttrpc.Client  // for descriptions; or nil

	listening chan struct{} // closed when it listens: place is set before
	*output

	wg   sync.WaitGroup // of connections
	back sync.Once      // the place is given back

	mu      sync.Mutex
	last    int                   // number of the newest connection
	passing int                   // how many are passed on
	conns   map[net.Conn]struct{} // both ends of those that pass; nil once they are cut off
}

// endSignals returns what should end the proxy. A pipe that nobody reads any more is no reason to
// be killed by: the place has to be given back.
func endSignals() (signals <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 2)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	return c, func() { signal.Stop(c); signal.Stop(pipe) }
}

// run passes connections on until it is told to end, or cannot accept or print any more.
func (p *proxy) run(ctx context.Context, l net.Listener, signals <-chan os.Signal) error {
	p.conns = make(map[net.Conn]struct{})
	accepted := make(chan error, 1)
	go func() {
		defer p.guard()
		accepted <- p.accept(ctx, l)
	}()
	lost, err := p.wait(signals, accepted)
	p.giveBack() // first of all: clients that come now go to the server
	if err == nil && p.place != nil {
		p.place.Interrupt()
		<-accepted
		p.place.Rest(func(client net.Conn) { p.take(ctx, client) })
		p.drain(signals)
	}
	l.Close()
	p.cut()
	p.wg.Wait()
	return cmp.Or(err, lost, p.finish(signals))
}

// wait waits for a reason to end: lost if not all could be printed and recorded, err if nothing can
// be accepted any more.
func (p *proxy) wait(signals <-chan os.Signal, accepted <-chan error) (lost, err error) {
	select {
	case <-signals:
		return nil, nil
	case err := <-p.failed:
		if errors.Is(err, syscall.EPIPE) {
			return nil, nil // nobody looks any more
		}
		p.say("it ends, as its output has failed")
		return cli.Input("", "the output has failed: %w", err), nil
	case err := <-accepted:
		return nil, &cli.Exit{Code: cli.ExitConnect, Err: err}
	}
}

// drain lets connections that pass in the place of the server go on, for to cut them off may
// look to clients as if the server had died. The next signal ends that.
func (p *proxy) drain(signals <-chan os.Signal) {
	p.mu.Lock()
	n := p.passing
	p.mu.Unlock()
	if p.place == nil || n == 0 {
		return
	}
	p.say("the server's socket is back in its place; %d connections still pass through here, until they end", n)
	p.say("^C again cuts them off, which their clients may take for the death of the server")
	done := make(chan struct{})
	go func() {
		p.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-signals:
	}
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		conn.Close()
	}
	p.conns = nil
}

// giveBack gives the place back, if the proxy is in one. It may be called more than once.
func (p *proxy) giveBack() {
	if p.place == nil {
		return
	}
	p.back.Do(func() {
		if err := p.place.Restore(); err != nil {
			p.say("the server's socket cannot be put back: %v; try: mv %s %s", err, p.place.Aside, p.place.Path)
		}
	})
}

// guard gives the place back when its goroutine panics, and lets that go on.
func (p *proxy) guard() {
	if r := recover(); r != nil {
		p.giveBack()
		panic(r)
	}
}

func (p *proxy) accept(ctx context.Context, l net.Listener) error {
	for pause := time.Duration(0); ; {
		client, err := l.Accept()
		if err != nil {
			// Too few descriptors, or a client that has gone: others will come.
			if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) && !errors.Is(err, syscall.ECONNABORTED) {
				return err
			}
			pause = min(max(2*pause, time.Millisecond), time.Second)
			time.Sleep(pause)
			continue
		}
		pause = 0
		p.take(ctx, client)
	}
}

// take passes a connection on, on a goroutine of its own.
func (p *proxy) take(ctx context.Context, client net.Conn) {
	p.mu.Lock()
	p.last++
	p.passing++
	n := p.last
	p.mu.Unlock()
	p.wg.Go(func() {
		defer p.guard()
		p.pass(ctx, n, client)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.passing--
	})
}

// pass passes one connection on.
func (p *proxy) pass(ctx context.Context, n int, client net.Conn) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	server, err := p.dial(ctx)
	cancel()
	if err != nil {
		p.about(n, "refused", "the server cannot be reached: "+err.Error())
		client.Close()
		return
	}
	if !p.keep(client, server) {
		return
	}
	defer p.drop(client, server)
	o := p.observe(n, peerOf(client), p.trunk)
	defer o.close()
	relay.Copy(client, server, o)
}

// dial connects to the server: to what the trunk is on, not to one of its connections.
func (p *proxy) dial(ctx context.Context) (net.Conn, error) {
	switch {
	case p.place != nil:
		return p.place.Dial(ctx)
	case p.to.NRI:
		return new(net.Dialer).DialContext(ctx, "unix", p.to.Path)
	}
	return p.to.Dial(ctx)
}

// keep takes note of connections, to cut them off; if that was done already it closes them.
func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		if p.conns == nil {
			conn.Close()
			continue
		}
		p.conns[conn] = struct{}{}
	}
	return p.conns != nil
}

func (p *proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		delete(p.conns, conn)
	}
}

// reflecting returns a client of the server by which it is asked for descriptions.
func (p *proxy) reflecting(wanted bool) (*ttrpc.Client, error) {
	if !wanted {
		return nil, nil
	}
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		select {
		case <-p.listening: // where the server is, is known from then on
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if p.place == nil {
			return p.to.Dial(ctx) // on a trunk the connection by which the runtime is called
		}
		return p.dial(ctx)
	}
	return ttrpc.Dial("unix:/", ttrpc.WithDialer(ttrpc.Dialer{Dial: dial, FailFast: true}))
}
