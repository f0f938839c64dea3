// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"math/rand"
	"net"
	"net/rpc"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/containerd/ttrpc"

	"github.com/containerd/ttrpc/integration/reliability/control"
	"github.com/containerd/ttrpc/internal/wire"
)

// serverCases are about servers that no client should meet.
var serverCases = []testCase{
	{
		name: "answers-not-asked", rules: "B22", run: answersNotAsked, times: 1000,
		tried: "a server that sends %d answers and messages for ids that were never used, and answers each call twice",
	},
	{
		name: "late-answers", rules: "B4, B22", run: lateAnswers, times: 200,
		tried: "a server that answers %d calls, twice, once their deadlines have passed",
	},
	{
		name: "data-for-answer", rules: "B39", run: wrongAnswer(data(1, 0, zeros(10))),
		tried: "a server that answers one of two unary calls with data",
	},
	{
		name: "oversized-answer", rules: "B7", run: wrongAnswer(frame(1, typeResponse, 0, make([]byte, maxMessage+1))),
		tried: "a server that answers one of two calls with 4 MiB + 1",
	},
	{
		name: "answer-that-is-none", rules: "B11", run: wrongAnswer(frame(1, typeResponse, 0, []byte("\xff\xff\xff"))),
		tried: "a server that answers one of two calls with what does not parse",
	},
	{
		name: "answer-of-4GiB", rules: "B7", run: endOfConnection(header{1<<32 - 1, 1, typeResponse, 0}.bytes()), times: 10,
		tried: "a server that announces an answer of 4 GiB, to %d clients",
	},
	{
		name: "garbage-for-answers", rules: "B5, B7", run: garbageAnswers, times: 300,
		tried: "servers that answer %d clients with random bytes, and close",
	},
	{
		name: "silent-server", rules: "B4", run: silentServer, times: 200,
		tried: "a server that answers none of %d calls whose deadlines are near",
	},
	{
		name: "cut-answers", rules: "B5", run: cutAnswers,
		tried: "servers that close after every byte of an answer",
	},
	{
		name: "lost-answers", rules: "B19", run: lostAnswers, times: 10_000, few: 1000,
		tried: "a server that closes right after the answer, to %d clients",
	},
	{
		name: "unread-stream-client", rules: "B41", run: unreadClientStream, times: 20_000,
		tried: "a server that sends %d messages of 8 KB on a stream that nobody receives from, and answers calls on the same connection",
	},
}

// A hostile is the driver as a server, and a subject that is its client.
type hostile struct {
	*subject
	l *net.UnixListener
	w *link
}

// hostile starts a subject whose client is connected to the driver.
func (r *run) hostile() *hostile {
	h := &hostile{l: r.listen()}
	h.subject = r.client(h.l.Addr().String())
	h.w = r.accept(h.l)
	return h
}

// listen has the driver listen. The end of the run ends that.
func (r *run) listen() *net.UnixListener {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: r.socket("driver"), Net: "unix"})
	r.must(err, "listening")
	r.listeners = append(r.listeners, l)
	return l
}

func (r *run) accept(l *net.UnixListener) *link {
	r.must(l.SetDeadline(time.Now().Add(r.patience)), "a deadline")
	conn, err := l.AcceptUnix()
	r.must(err, "waiting for a client")
	w := &link{conn}
	r.wires = append(r.wires, w)
	return w
}

// calling has the client make calls in the background.
func (h *hostile) calling(callers, each int, timeout time.Duration) (*rpc.Call, *control.Tally) {
	t := new(control.Tally)
	return h.asking("Calls", control.Calls{Method: "Echo", Size: 10, Callers: callers, Each: each, Timeout: timeout}, t), t
}

// works checks that the client's next call is answered.
func (h *hostile) works() {
	call, t := h.calling(1, 1, 0)
	h.r.write(h.w, response(h.r.read(h.w).id, zeros(10)))
	h.await(call)
	h.r.check(t.Only(1, control.OK), "B22: the call after that: %s", t)
}

// leaves closes the client.
func (h *hostile) leaves() { h.ask("CloseClient", 0, new(none)) }

func answersNotAsked(r *run) {
	h := r.hostile()
	defer h.leaves()
	for i := range uint32(r.times) {
		for _, f := range [][]byte{response(1000+i, zeros(10)), data(1000+i, 0, zeros(10)), data(1000+i, remoteClosed|noData, nil), frame(1000+i, typeRequest, 0, nil), frame(1000+i, 9, 0xff, nil)} {
			r.write(h.w, f)
		}
	}
	call, t := h.calling(1, r.times/10, 0)
	for range r.times / 10 {
		id := r.read(h.w).id
		r.write(h.w, response(id, zeros(10)), response(id, zeros(20)))
	}
	h.await(call)
	r.result("the calls beside that: %s", t)
	r.judge(t.Only(r.times/10, control.OK), "B22: all calls should be answered")
	h.works()
}

func lateAnswers(r *run) {
	h := r.hostile()
	defer h.leaves()
	call, t := h.calling(r.times, 1, 100*time.Millisecond)
	h.await(call)
	r.result("the calls: %s", t)
	r.judge(t.Only(r.times, "context deadline exceeded"), "B4: the calls should end with their deadlines")
	last, after := h.calling(1, 1, 0)
	for {
		a := r.read(h.w)
		r.write(h.w, response(a.id, zeros(10)))
		if hasNoTimeout(a) {
			break
		}
		r.write(h.w, response(a.id, zeros(20)))
	}
	h.await(last)
	r.result("the call after that: %s", after)
	r.judge(after.Only(1, control.OK), "B22: the call after that should be answered")
}

// hasNoTimeout tells whether a request came without a deadline.
func hasNoTimeout(a answer) bool {
	req := new(ttrpc.Request)
	return proto.Unmarshal(a.data, req) == nil && req.GetTimeoutNano() == 0
}

// wrongAnswer sends something to the first of two calls, and answers the second.
func wrongAnswer(wrong []byte) func(*run) {
	return func(r *run) {
		h := r.hostile()
		defer h.leaves()
		call, t := h.calling(2, 1, 0)
		r.read(h.w)
		r.read(h.w)
		r.write(h.w, wrong, response(3, zeros(10)))
		h.await(call)
		r.result("%s", t)
		r.judge((*t)[control.OK] == 1 && t.Total() == 2, "one should fail and the other not")
		h.works()
	}
}

// endOfConnection answers with what must end the connection.
func endOfConnection(answer []byte) func(*run) {
	return func(r *run) {
		all := control.Tally{}
		for range r.times {
			h := r.hostile()
			call, t := h.calling(4, 1, 0)
			r.read(h.w)
			r.write(h.w, answer)
			h.await(call)
			all.Merge(*t)
			h.l.Close()
		}
		r.result("%s", all)
		r.judge(all.Only(4*r.times, closed), "B1, B7: the calls should end with the connection")
	}
}

// answering has the driver accept n clients, one after the other, and answer the
// one call of each.
func (r *run) answering(l *net.UnixListener, n int, answer func(i int) []byte) <-chan error {
	ended := make(chan error, 1)
	go func() {
		for i := range n {
			conn, err := l.AcceptUnix()
			if err != nil {
				ended <- err
				return
			}
			w := &link{conn}
			if _, err := w.read(r.patience); err == nil {
				w.write(r.patience, answer(i)) // it may have seen enough before the end
			}
			w.Close()
		}
		ended <- nil
	}()
	return ended
}

// answers has a client call n times, each on a new connection, and returns how
// the calls ended.
func (r *run) answers(n int, answer func(i int) []byte) control.Tally {
	l := r.listen()
	s := r.start()
	s.takeBaseline()
	ended := r.answering(l, n, answer)
	t := new(control.Tally)
	call := s.asking("Answers", control.Answers{Address: l.Addr().String(), Count: n}, t)
	s.await(call)
	r.must(<-ended, "serving")
	return *t
}

func garbageAnswers(r *run) {
	random := rand.New(rand.NewSource(1))
	t := r.answers(r.times, func(i int) []byte {
		b := make([]byte, random.Intn(4000))
		random.Read(b)
		if i%2 == 0 {
			b = frame(random.Uint32()%4, wire.Type(random.Intn(5)), uint8(random.Intn(8)), b)
		}
		return b
	})
	r.result("%d calls failed, the process lives", r.times-t[control.OK])
	r.check(t[control.OK] == 0 && t.Total() == r.times, "B5: how the calls ended: %s", t)
}

func silentServer(r *run) {
	h := r.hostile()
	defer h.leaves()
	call, t := h.calling(r.times, 1, 200*time.Millisecond)
	h.await(call)
	r.result("%s", t)
	r.judge(t.Only(r.times, "context deadline exceeded"), "B4: the calls should end with their deadlines")
}

func cutAnswers(r *run) {
	whole := response(1, zeros(0))
	t := r.answers(len(whole)+1, func(i int) []byte { return whole[:i] })
	r.result("%s", t)
	r.judge(t[closed] == len(whole) && t[control.OK] == 1, "B5: only the last one was answered")
}

func lostAnswers(r *run) {
	t := r.answers(r.times, func(int) []byte { return response(1, nil) })
	r.result("%d of %d answers lost", r.times-t[control.OK], r.times)
	r.check(t.Only(r.times, control.OK), "B19: how the calls ended: %s", t)
}

// unreadClientStream answers a call after every hundred messages.
func unreadClientStream(r *run) {
	const every = 100
	h := r.hostile()
	defer h.leaves()
	peak, memory := h.watchMemory(), int64(0)
	ended := new(control.Tally)
	stream := h.asking("Streams", control.Streams{Method: "Ignore", Count: 1, Idle: true}, ended)
	r.read(h.w)
	r.read(h.w) // its message
	call, t := h.calling(1, r.times/every, 0)
	hundred := bytes.Repeat(data(1, 0, zeros(unreadSize)), every)
	var longest time.Duration
	for i := range r.times / every {
		began := time.Now()
		r.write(h.w, hundred, response(r.read(h.w).id, zeros(10)))
		longest = max(longest, time.Since(began))
		if i%lookEvery == 0 {
			memory = max(memory, h.memory())
		}
	}
	h.await(call)
	memory = max(memory, h.memory())
	h.release()
	r.write(h.w, data(1, remoteClosed|noData, nil)) // late, unless the stream still is there
	h.await(stream)
	r.result("the calls: %s, the longest after %.1f s; the stream: %s; at most %s of heap, the process grew by %s",
		t, longest.Seconds(), ended, mega(memory), mega(peak()))
	r.judge(t.Only(r.times/every, control.OK), "B41: all calls should be answered")
	r.judge(ended.Only(1, "ttrpc: stream buffer full"), "B41: the stream should fail")
	r.judge(memory <= maxUnread, "B41: too much heap")
}
