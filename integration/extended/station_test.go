// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package extended

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

const serviceName = "test.Station"

// A station is the service that both ends of the connections have.
type station struct {
	name   string
	events chan string   // what its handlers have to tell; Next returns it
	gate   chan struct{} // closed by Open; some handlers wait for it
	opened sync.Once

	met     atomic.Int64  // how many calls of Meet have come
	all     chan struct{} // closed when as many have as are to meet
	sent    atomic.Int64  // how many blobs were received, or sent
	spin    atomic.Bool   // Spin goes on
	waiting atomic.Value  // of *context.Context: that of the call of Wait
}

// stations counts those of the process, for their names.
var stations atomic.Int64

// filesToo has an end take files.
var filesToo = ttrpc.Limits{Files: 10_000}

func newStation() *station {
	return &station{
		name:   fmt.Sprintf("%d/%d", os.Getpid(), stations.Add(1)),
		events: make(chan string, 4096),
		gate:   make(chan struct{}),
		all:    make(chan struct{}),
	}
}

// server returns a server of the station.
func (s *station) server(opts ...ttrpc.ServerOpt) *ttrpc.Server {
	srv, err := ttrpc.NewServer(opts...)
	if err != nil {
		panic(err)
	}
	srv.RegisterService(serviceName, s.desc())
	return srv
}

// client returns a client that offers the station to its server.
func (s *station) client(nc net.Conn, opts ...ttrpc.ClientOpts) *ttrpc.Client {
	return ttrpc.NewClient(nc, append([]ttrpc.ClientOpts{ttrpc.WithClientServices(s.server()), ttrpc.WithClientLimits(filesToo)}, opts...)...)
}

func (s *station) desc() *ttrpc.ServiceDesc {
	return &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"Echo":            text(func(_ context.Context, m string) (string, error) { return m, nil }),
			"Name":            text(func(context.Context, string) (string, error) { return s.name, nil }),
			"Next":            text(func(context.Context, string) (string, error) { return <-s.events, nil }),
			"Open":            text(s.open),
			"Wait":            text(s.wait),
			"Nest":            text(s.nest),
			"Meet":            text(s.meet),
			"Met":             text(func(context.Context, string) (string, error) { <-s.all; return "", nil }),
			"Storm":           text(s.storm),
			"Who":             text(s.who),
			"WhoAreYou":       text(func(ctx context.Context, _ string) (string, error) { return callPeer(ctx, "Who", "") }),
			"Identify":        text(s.identify),
			"CallBack":        text(s.callBack),
			"Spin":            text(s.keepSpinning),
			"Rest":            text(func(context.Context, string) (string, error) { s.spin.Store(false); return "", nil }),
			"Sent":            text(func(context.Context, string) (string, error) { return fmt.Sprint(s.sent.Load()), nil }),
			"Pass":            text(s.pass),
			"Relay":           text(func(ctx context.Context, arg string) (string, error) { return callPeer(ctx, "Pass", arg) }),
			"Begun":           text(func(context.Context, string) (string, error) { s.events <- "begun"; return "", nil }),
			"TryUntilRefused": text(s.tryUntilRefused),
			"CollectNothing":  text(func(context.Context, string) (string, error) { debug.SetGCPercent(-1); return "", nil }),
			"Linger":          text(s.linger),
			"Digest":          s.digest,
			"Blob":            s.blob,
			"Bounce":          bounceFiles,
			"Swap":            swapFiles,
			"Exec":            text(s.exec),
		},
		Streams: map[string]ttrpc.Stream{
			"Begin":  {StreamingServer: true, Handler: s.begin},
			"Gulp":   {StreamingServer: true, Handler: s.gulp},
			"Gulped": {StreamingServer: true, Handler: s.gulped},
			"Hang":   {StreamingClient: true, StreamingServer: true, Handler: s.hang},
			"Sink":   {StreamingClient: true, Handler: s.sink},
			"Source": {StreamingServer: true, Handler: s.source},
			"Echoes": {StreamingClient: true, StreamingServer: true, Handler: echoes},
		},
	}
}

// text makes a method of a function that takes and returns text.
func text(f func(context.Context, string) (string, error)) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(any) error) (any, error) {
		m := new(wrapperspb.StringValue)
		if err := unmarshal(m); err != nil {
			return nil, err
		}
		answer, err := f(ctx, m.Value)
		return wrapperspb.String(answer), err
	}
}

func (s *station) open(context.Context, string) (string, error) {
	s.opened.Do(func() { close(s.gate) })
	return "", nil
}

// wait waits for its call to end, and tells why it has.
func (s *station) wait(ctx context.Context, _ string) (string, error) {
	s.waiting.Store(&ctx)
	s.events <- "waiting"
	s.awaitEnd(ctx)
	return "", ctx.Err()
}

func (s *station) awaitEnd(ctx context.Context) {
	<-ctx.Done()
	cause := context.Cause(ctx)
	if cause == ctx.Err() {
		cause = status.FromContextError(cause).Err()
	}
	s.events <- "ended: " + status.Code(cause).String()
}

// hang tells, in vain, what it receives, which ends with its call.
func (s *station) hang(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
	s.events <- "waiting"
	for stream.RecvMsg(new(blob)) == nil {
	}
	s.awaitEnd(ctx)
	return nil, nil
}

// begin tells whether the call of Wait had ended when it began.
func (s *station) begin(context.Context, ttrpc.StreamServer) (any, error) {
	ctx := s.waiting.Load().(*context.Context)
	s.events <- fmt.Sprintf("begun, and Wait had ended: %v", (*ctx).Err() != nil)
	return nil, nil
}

// callPeer makes a call to the peer whose call ctx is that of.
func callPeer(ctx context.Context, method, arg string) (string, error) {
	c, err := ttrpc.PeerClient(ctx)
	if err != nil {
		return "", err
	}
	return ask(ctx, c, method, arg)
}

// nest calls the peer's Nest with one less, until that is 0, and returns how often
// there and back that was.
func (s *station) nest(ctx context.Context, depth string) (string, error) {
	n, err := strconv.Atoi(depth)
	if err != nil || n == 0 {
		return "0", err
	}
	answer, err := callPeer(ctx, "Nest", strconv.Itoa(n-1))
	if err != nil {
		return "", err
	}
	below, err := strconv.Atoi(answer)
	return strconv.Itoa(below + 1), err
}

// meet waits until as many calls of it have come as are to meet, and then for the gate.
func (s *station) meet(ctx context.Context, arg string) (string, error) {
	if s.met.Add(1) == toMeet {
		close(s.all)
	}
	<-s.all
	<-s.gate
	return arg, nil
}

// toMeet is how many calls meet.
const toMeet = 1000

// storm makes as many calls of the peer's Meet at once as have to meet there.
func (s *station) storm(ctx context.Context, _ string) (string, error) {
	c, err := ttrpc.PeerClient(ctx)
	if err != nil {
		return "", err
	}
	return "", meetAtOnce(ctx, c)
}

// meetAtOnce calls Meet as often as is necessary, and looks at the answers.
func meetAtOnce(ctx context.Context, c *ttrpc.Client) error {
	errs := make(chan error, toMeet)
	for i := range toMeet {
		go func() {
			arg := strconv.Itoa(i)
			answer, err := ask(ctx, c, "Meet", arg)
			if err == nil && answer != arg {
				err = fmt.Errorf("Meet answers %q to %q", answer, arg)
			}
			errs <- err
		}()
	}
	for range toMeet {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// who tells which process this is, and which one calls, by its credentials.
func (s *station) who(ctx context.Context, _ string) (string, error) {
	p, ok := ttrpc.PeerFromContext(ctx)
	if !ok {
		return "", fmt.Errorf("no peer in the context")
	}
	cred, _ := p.AuthInfo.(*unix.Ucred)
	return fmt.Sprintf("%d is called by %+v", os.Getpid(), cred), nil
}

// identify has the peer call back on many goroutines.
func (s *station) identify(ctx context.Context, _ string) (string, error) {
	const times = 100
	errs := make(chan error, times)
	for range times {
		go func() {
			_, err := callPeer(ctx, "CallBack", s.name)
			errs <- err
		}()
	}
	var err error
	for range times {
		if e := <-errs; e != nil {
			err = e
		}
	}
	return s.name, err
}

// callBack returns an error if the caller, asked on its connection, has another name
// than it says, or is another process.
func (s *station) callBack(ctx context.Context, said string) (string, error) {
	name, err := callPeer(ctx, "Name", "")
	if err == nil && name != said {
		err = fmt.Errorf("%s is called, and it was %s that called", name, said)
	}
	p, _ := ttrpc.PeerFromContext(ctx)
	if pid := fmt.Sprint(p.AuthInfo.(*unix.Ucred).Pid); err == nil && name[:len(pid)+1] != pid+"/" {
		err = fmt.Errorf("%s has the credentials of process %s", name, pid)
	}
	return "", err
}

// keepSpinning uses up all processors until Rest is called.
func (s *station) keepSpinning(context.Context, string) (string, error) {
	s.spin.Store(true)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for s.spin.Load() {
			}
		}()
	}
	s.events <- "spinning"
	wg.Wait()
	return "", nil
}

// pass waits for the gate to be open.
func (s *station) pass(_ context.Context, arg string) (string, error) {
	s.events <- "at the gate"
	<-s.gate
	return arg, nil
}

// linger calls the peer's Pass and then its Echo before it answers.
func (s *station) linger(ctx context.Context, arg string) (string, error) {
	if _, err := callPeer(ctx, "Pass", arg); err != nil {
		return "", err
	}
	return callPeer(ctx, "Echo", arg)
}

// tryUntilRefused calls the peer until that fails, and tells how. The calls are none that
// the handler's own call needs: those have its context, and are served.
func (s *station) tryUntilRefused(ctx context.Context, _ string) (string, error) {
	c, err := ttrpc.PeerClient(ctx)
	if err != nil {
		return "", err
	}
	_, err = ask(context.Background(), c, "Begun", "")
	for err == nil {
		_, err = ask(context.Background(), c, "Echo", "")
	}
	return fmt.Sprintf("not executed: %v, %v", errors.Is(err, ttrpc.ErrNotExecuted), status.Code(err)), nil
}

// echoes sends back what it receives, with the files.
func echoes(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	for {
		m := &ttrpc.FileMessage{Message: new(wrapperspb.StringValue)}
		if err := stream.RecvMsg(m); err == io.EOF {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		err := stream.SendMsg(m)
		closeAll(m.Files)
		if err != nil {
			return nil, err
		}
	}
}
