# Copyright The ttrpc Authors.
# SPDX-License-Identifier: Apache-2.0

"""A ttrpc peer: both roles, classic and extended, with the standard library alone.

It was written from PROTOCOL.md, to see whether that is enough. It is small rather than fast.
It has no features of the extended mode beyond version 1: neither files nor metadata of answers.
"""

import collections
import itertools
import socket
import struct
import threading
import time

REQUEST, RESPONSE, DATA = 0x01, 0x02, 0x03
PART, FILES, CANCEL, CREDIT, PING, GOODBYE, METADATA, WANT, RETURN = range(0x40, 0x49)
REMOTE_CLOSED, REMOTE_OPEN, NO_DATA = 0x01, 0x02, 0x04
RESET, OF_STREAM = 0x01, 0x02  # flags of parts
REFUSED = 0x04  # flag of a response
ASKED = 0x01  # flag of credit and wants

MAX_MESSAGE = 4 << 20
NOT_TTRPC = 1 << 24
MAX_FRAME = 262144  # in extended mode
FREE_ANSWER = 2048
MAX_CREDIT = (1 << 31) - 1
QUEUED_MESSAGES, QUEUED_BYTES = 1024, 16 << 20  # of one classic stream
WINDOW, CONNECTION_WINDOW = 65536, 1 << 20

ODD = "StreamID must be odd for client initiated streams"
REUSED = "StreamID cannot be re-used and must increment"
INACTIVE = "StreamID is no longer active"
CLOSED = "data handling error: ttrpc: stream closed"
EXTENSIONS = "ttrpc.extensions.v1.Connection"


# --- protobuf -------------------------------------------------------------------------------


class Malformed(Exception):
    """Bytes that are no message."""


def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, value):
    """Encodes one field; one that has its zero value is left out."""
    if isinstance(value, (bool, int)):
        return varint(number << 3) + varint(int(value)) if value else b""
    if isinstance(value, str):
        value = value.encode()
    return block(number, value) if value else b""


def block(number, value):
    """Encodes a field of bytes, also an empty one."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def read_varint(data, at):
    n = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Malformed("truncated number")
        byte = data[at]
        at += 1
        n |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return n & (1 << 64) - 1, at


def fields(data):
    """Yields the number and the value of each field: an int, or bytes."""
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise Malformed("field 0")
        if kind == 0:
            value, at = read_varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            if at + size > len(data):
                raise Malformed("truncated number")
            value, at = int.from_bytes(data[at : at + size], "little"), at + size
        elif kind == 2:
            size, at = read_varint(data, at)
            if at + size > len(data):
                raise Malformed("truncated field")
            value, at = data[at : at + size], at + size
        else:
            raise Malformed("wire type %d" % kind)
        yield number, value


def text(value):
    """Reads a string; what is no UTF-8 is malformed."""
    try:
        return whole(value, bytes).decode()
    except UnicodeDecodeError as e:
        raise Malformed(str(e))


def whole(value, kind):
    if not isinstance(value, kind):
        raise Malformed("wrong wire type")
    return value


def signed(value, bits=64):
    value = whole(value, int) & (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


# --- envelopes ------------------------------------------------------------------------------


class Status(Exception):
    """How a call has failed. Code LOST stands for a call whose connection has ended, and for
    a peer that broke a rule: no peer has sent such a status."""

    LOST = -1

    def __init__(self, code, message="", details=()):
        super().__init__("code %d: %s" % (code, message))
        self.code, self.message, self.details = code, message, list(details)

    def encode(self):
        out = field(1, self.code) + field(2, self.message)
        return out + b"".join(block(3, d) for d in self.details)

    @staticmethod
    def decode(data):
        s = Status(0)
        for number, value in fields(data):
            if number == 1:
                s.code = signed(value, 32)
            elif number == 2:
                s.message = text(value)
            elif number == 3:
                s.details.append(whole(value, bytes))
        return s


class Request:
    def __init__(self, service="", method="", payload=b"", timeout=0, metadata=()):
        self.service, self.method, self.payload = service, method, payload
        self.timeout, self.metadata = timeout, list(metadata)

    def encode(self):
        out = field(1, self.service) + field(2, self.method)
        out += field(3, self.payload) + field(4, self.timeout)
        return out + b"".join(block(5, field(1, k) + field(2, v)) for k, v in self.metadata)

    @staticmethod
    def decode(data):
        r = Request()
        for number, value in fields(data):
            if number == 1:
                r.service = text(value)
            elif number == 2:
                r.method = text(value)
            elif number == 3:
                r.payload = whole(value, bytes)
            elif number == 4:
                r.timeout = signed(value)
            elif number == 5:
                pair = ["", ""]
                for n, v in fields(whole(value, bytes)):
                    if n in (1, 2):
                        pair[n - 1] = text(v)
                r.metadata.append(tuple(pair))
        return r


def encode_response(status=None, payload=b""):
    return (block(1, status.encode()) if status else b"") + field(2, payload)


def decode_response(data):
    """Returns the status, or None for success, and the payload."""
    status, payload = None, b""
    for number, value in fields(data):
        if number == 1:
            status = Status.decode(whole(value, bytes))
        elif number == 2:
            payload = whole(value, bytes)
    return (status if status and status.code else None), payload


class Hello:
    def __init__(self, version=1, features=(), max_message=MAX_MESSAGE, window=WINDOW,
                 connection_window=CONNECTION_WINDOW, serves=False):
        self.version, self.features, self.max_message = version, list(features), max_message
        self.window, self.connection_window, self.serves = window, connection_window, serves

    def encode(self):
        out = field(1, self.version) + b"".join(field(2, f) for f in self.features)
        out += field(3, self.max_message) + field(4, self.window)
        return out + field(5, self.connection_window) + field(6, self.serves)

    @staticmethod
    def decode(data):
        h = Hello(0, (), 0, 0, 0)
        for number, value in fields(data):
            if number == 1:
                h.version = whole(value, int)
            elif number == 2:
                h.features.append(text(value))
            elif number == 3:
                h.max_message = whole(value, int)
            elif number == 4:
                h.window = min(whole(value, int), MAX_CREDIT)
            elif number == 5:
                h.connection_window = min(whole(value, int), MAX_CREDIT)
            elif number == 6:
                h.serves = bool(whole(value, int))
        if not (h.version and h.max_message and h.window and h.connection_window):
            raise Malformed("a number is 0")
        return h


# --- streams --------------------------------------------------------------------------------


class Method:
    """What a server has: run(call) returns the answer's bytes, or sends and returns None."""

    def __init__(self, run, client_streams=False, server_streams=False):
        self.run, self.client_streams, self.server_streams = run, client_streams, server_streams


class Stream:
    """One call, at either end. All fields are guarded by the connection's lock."""

    def __init__(self, conn, sid, unary):
        self.conn, self.sid, self.unary = conn, sid, unary
        self.inbox = collections.deque()  # messages, with what their credit was
        self.inbox_bytes = 0
        self.no_more = False  # the peer has closed its side
        self.ended = None  # a Status once it has ended, of code 0 if well
        self.warned = False
        self.parts, self.parts_size, self.parts_flag = [], 0, None  # of a message on its way here
        self.parts_charged = 0
        self.credit = self.given = self.window = 0  # to send; the peer's; what that began with
        self.want = 0  # what the peer has asked for
        self.waiting = 0  # receivers

    def receive(self):
        """Returns the next message, or None after the last one. Raises how it has failed."""
        conn = self.conn
        with conn.lock:
            self.waiting += 1
            try:
                while not self.inbox:
                    if self.ended and self.ended.code:
                        raise self.ended
                    if self.no_more or self.ended:
                        return None
                    conn.grant(self)
                    conn.changed.wait()
                message, charged = self.inbox.popleft()
                self.inbox_bytes -= len(message)
                conn.consumed(self, charged)
                return message
            finally:
                self.waiting -= 1

    def send(self, message):
        """Sends a message. After the end of the stream it does nothing."""
        conn = self.conn
        if len(message) > conn.max_message:
            raise Status(8, oversized(len(message), conn.max_message))
        with conn.lock:
            conn.take_credit(self, len(message))
            if not self.ended:
                conn.put(self.sid, DATA, 0, message, OF_STREAM)


class Served(Stream):
    """A call at the side that answers it."""

    def __init__(self, conn, sid, unary, request):
        super().__init__(conn, sid, unary)
        self.metadata = request.metadata
        self.deadline = time.monotonic() + request.timeout / 1e9 if request.timeout else None
        self.cause = None  # how it was ended for the handler, a Status
        self.returned = False

    def wait(self, seconds=None):
        """Waits until the call was ended for its handler; says whether it was."""
        end = None if seconds is None else time.monotonic() + seconds
        with self.conn.lock:
            while not self.cause:
                left = [t - time.monotonic() for t in (end, self.deadline) if t is not None]
                if left and min(left) <= 0:
                    if self.deadline is not None and time.monotonic() >= self.deadline:
                        self.conn.finish(self, Status(4, "context deadline exceeded"))
                    break
                self.conn.changed.wait(min(left) if left else None)
            return self.cause is not None


class Called(Stream):
    """A call at the side that made it."""

    def __init__(self, conn, unary, client_streams, server_streams):
        super().__init__(conn, None, unary)
        self.client_streams, self.server_streams = client_streams, server_streams
        self.answer = None
        self.closed = not client_streams

    def close_send(self):
        with self.conn.lock:
            if not self.closed and not self.ended:
                self.conn.put(self.sid, DATA, REMOTE_CLOSED | NO_DATA, b"")
            self.closed = True

    def result(self):
        """Waits for the end. Returns the payload of the answer."""
        with self.conn.lock:
            while not self.ended:
                self.conn.changed.wait()
            if self.ended.code:
                raise self.ended
            return self.answer

    def cancel(self, code=1, why="context canceled"):
        with self.conn.lock:
            self.conn.give_up(self, Status(code, why))


def oversized(size, limit):
    return "message length %d exceed maximum message size of %d" % (size, limit)


# --- connection -----------------------------------------------------------------------------


class Connection:
    """Both sides of the protocol on one socket. A server has methods, by service and name;
    a client that has some serves them in extended mode."""

    def __init__(self, sock, dialled, methods=None, extend=False):
        self.sock, self.dialled, self.methods = sock, dialled, methods or {}
        self.may_extend = extend
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.mine, self.theirs, self.begun = {}, {}, {}
        self.next_id = 1 if dialled else 2
        self.highest = 0  # id of the other side
        self.first = True
        self.extended = False
        self.peer = None  # its Hello
        self.max_message = MAX_MESSAGE
        self.credit = self.given = 0  # of requests and answers
        self.turn = None  # whose message is beyond its window
        self.want = 0
        self.heard = self.said = None  # last ids of goodbyes
        self.lost = False
        self.control, self.ring, self.queues = collections.deque(), collections.deque(), {}
        self.cutting = None  # the id whose message is on its way in parts
        self.started = set()  # ids of which a part was written, and not the frame
        for loop in (self.read_loop, self.write_loop):
            threading.Thread(target=loop, daemon=True).start()

    # --- sending

    def put(self, sid, kind, flags, data, part_flag=0):
        """Queues a frame behind the others of its stream."""
        if self.lost:
            return
        frames = collections.deque()
        if self.extended:
            if not ((kind == DATA and not flags & NO_DATA) or kind == RESPONSE):
                part_flag = 0
            while len(data) > MAX_FRAME:
                frames.append((sid, PART, part_flag, data[:65536], False))
                data = data[65536:]
        frames.append((sid, kind, flags, data, True))
        queue = self.queues.setdefault(sid, collections.deque())
        if not queue:
            self.ring.append(sid)
        queue.extend(frames)
        self.changed.notify_all()

    def put_control(self, sid, kind, flags, data):
        if not self.lost:
            self.control.append((sid, kind, flags, data, True))
            self.changed.notify_all()

    def next_frame(self):
        if self.control:
            return self.control.popleft()
        for _ in range(len(self.ring)):
            sid = self.ring.popleft()
            queue = self.queues[sid]
            if queue[0][1] == PART and self.cutting not in (None, sid):
                self.ring.append(sid)
                continue
            frame = queue.popleft()
            if frame[1] == PART:
                self.cutting = sid
                self.started.add(sid)
            elif self.cutting == sid:
                self.cutting = None
                self.started.discard(sid)
            if queue:
                self.ring.append(sid)
            else:
                del self.queues[sid]
            return frame
        return None

    def write_loop(self):
        while True:
            with self.lock:
                frame = self.next_frame()
                while frame is None:
                    if self.lost or self.is_over():
                        self.lose()
                        return
                    self.changed.wait()
                    frame = self.next_frame()
            sid, kind, flags, data, _ = frame
            try:
                self.sock.sendall(struct.pack(">IIBB", len(data), sid, kind, flags) + data)
            except OSError:
                self.end()
                return

    def is_over(self):
        """After a goodbye: nothing is left in either direction."""
        return (self.said is not None or self.heard is not None) and not (
            self.mine or self.theirs or self.begun)

    def forget_queued(self, sid):
        """Takes back what is queued on a stream, and resets what has left of a message."""
        if self.queues.pop(sid, None):
            self.ring.remove(sid)
        if sid in self.started:
            self.started.discard(sid)
            self.cutting = None
            self.put_control(sid, PART, RESET, b"")

    # --- credit

    def cost(self, size):
        return size + 256

    def take_credit(self, stream, size):
        """Waits for the credit of a message on a stream, or None for the connection's."""
        if not self.extended:
            return
        cost, holder = self.cost(size), stream or self
        asked = False
        while holder.credit < cost and not self.lost and not (stream and stream.ended):
            began = self.peer.window if stream else self.peer.connection_window
            if not asked and (not stream or cost > began // 2):
                asked = True
                data = struct.pack(">I", cost)
                if stream:
                    answer = isinstance(stream, Served) and stream.returned
                    self.put(stream.sid, WANT, ASKED if answer else 0, data)
                else:
                    self.put_control(0, WANT, 0, data)
            self.changed.wait()
        if asked and not stream:
            self.put_control(0, WANT, 0, struct.pack(">I", 0))
        if not (stream and stream.ended):
            holder.credit -= cost

    def consumed(self, stream, charged):
        """Gives credit back: of a stream, or of the connection for None."""
        if not self.extended or not charged:
            return
        holder, window = (stream, stream.window) if stream else (self, CONNECTION_WINDOW)
        if self.turn is holder:
            self.turn = None
        back = min(charged, window - holder.given)
        if back > 0 and not (stream and stream.ended):
            holder.given += back
            self.put_control(stream.sid if stream else 0, CREDIT, 0, struct.pack(">I", back))
        for other in [self] + list(self.theirs.values()) + list(self.mine.values()):
            self.grant(other)

    def grant(self, holder):
        """Gives what the peer has asked for, if it is its turn and its receiver waits."""
        if not holder.want or self.turn not in (None, holder):
            return
        if isinstance(holder, Stream) and (holder.inbox or not holder.waiting):
            if not (isinstance(holder, Called) and not holder.inbox):
                return
        missing, holder.want = holder.want - holder.given, 0
        if holder is self:  # who asks for less than half gets it with what is consumed
            missing += holder.given
            missing = missing if missing > CONNECTION_WINDOW // 2 else 0
        if missing > 0:
            self.turn = holder
            holder.given += missing
            sid = holder.sid if isinstance(holder, Stream) else 0
            self.put_control(sid, CREDIT, ASKED, struct.pack(">I", missing))

    def charge(self, holder, cost):
        if holder.given < cost:
            raise Malformed("a message without credit")
        holder.given -= cost

    # --- calling

    def call(self, service, method, payload, timeout=None, metadata=()):
        """Makes a unary call and returns the answer's payload."""
        s = self.open(service, method, payload, timeout=timeout, metadata=metadata, unary=True)
        return s.result()

    def open(self, service, method, payload=b"", client_streams=False, server_streams=False,
             timeout=None, metadata=(), unary=False):
        stream = Called(self, unary, client_streams, server_streams)
        if timeout is not None and timeout <= 0:
            raise Status(4, "context deadline exceeded")
        request = Request(service, method, payload, int((timeout or 0) * 1e9), metadata)
        data = request.encode()
        if len(data) > self.max_message:
            raise Status(8, oversized(len(data), self.max_message))
        flags = 0 if unary else REMOTE_OPEN | NO_DATA if client_streams else REMOTE_CLOSED
        with self.lock:
            self.take_credit(None, len(data))
            if self.lost:
                raise Status(Status.LOST, "the connection has ended")
            if self.heard is not None:
                raise Status(14, "not executed: the peer has said goodbye")
            if self.extended and not self.peer.serves:
                raise Status(12, "the peer serves nothing")
            stream.sid = self.next_id
            self.next_id += 2
            if self.extended:
                stream.credit, stream.given, stream.window = self.peer.window, WINDOW, WINDOW
            self.mine[stream.sid] = stream
            self.put(stream.sid, REQUEST, flags, data)
        if timeout is not None:
            timer = threading.Timer(timeout, stream.cancel, (4, "context deadline exceeded"))
            timer.daemon = True
            timer.start()
        return stream

    def hello(self, serves=False):
        """Asks for the extended mode; says whether it was agreed on."""
        stream = self.open(EXTENSIONS, "Hello", Hello(serves=serves).encode(), unary=True)
        timer = threading.Timer(10, self.end)
        timer.daemon = True
        timer.start()
        try:
            stream.result()
        except Status as s:
            if s.code in (9, 14) or s.code == Status.LOST or (
                    s.code == 7 and s.message.startswith("ttrpc: the peer refuses")):
                self.end()
                raise
        finally:
            timer.cancel()
        return self.extended

    def agree(self, theirs, mine):
        self.peer, self.extended = theirs, True
        self.max_message = min(theirs.max_message, mine.max_message, 1 << 30)
        self.credit, self.given = theirs.connection_window, CONNECTION_WINDOW

    def give_up(self, stream, why):
        """The caller gives a call up, and says so where the peer understands that."""
        if stream.ended:
            return
        sent = not any(f[1] == REQUEST for f in self.queues.get(stream.sid, ()))
        part = stream.sid in self.started
        self.forget_queued(stream.sid)
        if self.extended and sent and not part:
            self.put_control(stream.sid, CANCEL, 0, why.encode())
        elif self.extended and sent:
            self.put_control(stream.sid, CANCEL, 0, why.encode())
        self.over(stream, why)

    def over(self, stream, status):
        """A call of this side has ended."""
        stream.ended = stream.ended or status
        self.mine.pop(stream.sid, None)
        self.drop_turn(stream)
        self.changed.notify_all()

    def drop_turn(self, stream):
        if self.turn is stream:
            self.turn = None

    # --- serving

    def run(self, call, method, payload):
        try:
            answer, status = method.run(call, payload), None
        except Status as s:
            answer, status = None, s
        except Malformed as e:
            answer, status = None, Status(13, "ttrpc: error unmarshalling payload: %s" % e)
        except Exception as e:  # pylint: disable=broad-except
            answer, status = None, Status(2, str(e))
        call.wait(0)
        with self.lock:
            call.returned = True
            if not call.ended:
                self.finish(call, status, answer, method.server_streams)
            self.theirs.pop(call.sid, None)
            self.drop_turn(call)
            self.changed.notify_all()

    def finish(self, call, status, answer=None, streams=False):
        """Sends the terminal frame, and ends the call for its handler if that still runs."""
        if call.ended:
            return
        if not status and answer is None and not streams:
            status = Status(2, "ttrpc: marshal called with nil")
        if not status and streams:
            self.put(call.sid, DATA, REMOTE_CLOSED | NO_DATA, b"")
        else:
            data = encode_response(status, answer or b"")
            if len(data) > self.max_message:
                status = Status(8, oversized(len(data), self.max_message))
                data = encode_response(status)
            flag = 0
            if self.extended and len(data) > FREE_ANSWER:
                self.take_credit(None if call.unary else call, len(data))
                flag = 0 if call.unary else OF_STREAM
            if call.ended:
                return
            self.put(call.sid, RESPONSE, flag, data, flag)
        call.ended = status or Status(0)
        if not call.returned:
            call.cause = call.ended
        self.changed.notify_all()

    def answer(self, sid, code, message, flags=0):
        self.put(sid, RESPONSE, flags, encode_response(Status(code, message)))

    # --- receiving

    def read_loop(self):
        try:
            while True:
                size, sid, kind, flags = struct.unpack(">IIBB", self.read(10))
                if size >= NOT_TTRPC:
                    break
                if self.extended:
                    self.check_header(size, sid, kind)
                if self.extended and kind >= 0x80:
                    self.skip(size)
                    continue
                if size > self.max_message and not self.extended:
                    self.skip(size)
                    with self.lock:
                        self.too_long(sid, kind, size)
                    continue
                data = self.read(size)
                with self.lock:
                    if self.extended:
                        self.extended_frame(sid, kind, flags, data)
                    elif self.dialled:
                        self.to_caller(sid, kind, flags, data)
                    else:
                        self.to_callee(sid, kind, flags, data)
        except (OSError, EOFError, Malformed):
            pass
        self.end()

    def read(self, size):
        out = bytearray()
        while len(out) < size:
            data = self.sock.recv(min(size - len(out), 1 << 16))
            if not data:
                raise EOFError
            out += data
        return bytes(out)

    def skip(self, size):
        while size:
            size -= len(self.read(min(size, 1 << 16)))

    def too_long(self, sid, kind, size):
        """A message over the limit has been dropped."""
        message = oversized(size, self.max_message)
        if self.is_mine(sid):
            if sid in self.mine:
                self.over(self.mine[sid], Status(8, message))
            return
        if sid % 2 == 0 and not self.extended:
            self.answer(sid, 3, ODD)
            return
        call = self.theirs.get(sid)
        if call and call.ended or kind not in (REQUEST, DATA):
            return
        if call and kind == DATA and not call.unary:
            self.finish(call, Status(8, message))
        else:
            self.answer(sid, 8, message)

    def is_mine(self, sid):
        return self.dialled if not self.extended else sid % 2 == (1 if self.dialled else 0)

    def to_callee(self, sid, kind, flags, data, parts=()):
        if sid % 2 == 0 and not self.extended:
            self.answer(sid, 3, ODD)
        elif kind == REQUEST:
            self.request(sid, flags, data)
        elif kind == DATA:
            self.data_to_callee(sid, flags, data)

    def request(self, sid, flags, data):
        first, self.first = self.first, False
        if sid in self.theirs or (self.extended and sid <= self.highest
                                  and sid not in self.begun):
            self.answer(sid, 3, REUSED)
            return
        self.begun.pop(sid, None)
        self.highest = max(self.highest, sid)
        try:
            request = Request.decode(data)
        except Malformed as e:
            self.answer(sid, 3, "unmarshal request error: %s" % e)
            return
        if first and sid == 1 and flags == 0 and self.may_extend:
            if (request.service, request.method) == (EXTENSIONS, "Hello"):
                self.answer_hello(request)
                return
        service = self.methods.get(request.service)
        if service is None:
            self.answer(sid, 12, "service " + request.service)
            return
        method = service.get(request.method)
        if method is None:
            self.answer(sid, 12, "method " + request.method)
            return
        self.begin(sid, flags, request, method)

    def begin(self, sid, flags, request, method):
        unary = not flags & (REMOTE_OPEN | REMOTE_CLOSED)
        call = Served(self, sid, unary, request)
        if self.extended:
            call.credit, call.given, call.window = self.peer.window, WINDOW, WINDOW
        if method.client_streams:
            is_open = bool(flags & REMOTE_OPEN)
            call.no_more = not is_open
            if request.payload:
                call.inbox.append((request.payload, 0))
                call.inbox_bytes = len(request.payload)
        else:
            call.no_more = True
        self.theirs[sid] = call
        args = (call, method, request.payload)
        threading.Thread(target=self.run, args=args, daemon=True).start()
        if call.deadline is not None:
            timer = threading.Timer(max(0, request.timeout / 1e9), call.wait, (0,))
            timer.daemon = True
            timer.start()

    def answer_hello(self, request):
        try:
            theirs = Hello.decode(request.payload)
        except Malformed as e:
            self.answer(1, 3, "ttrpc: malformed Hello: %s" % e)
            return
        mine = Hello(serves=True, version=min(theirs.version, 1))
        self.put(1, RESPONSE, 0, encode_response(None, mine.encode()))
        self.agree(theirs, mine)

    def data_to_callee(self, sid, flags, data, charged=0):
        call = self.theirs.get(sid)
        if call is None:
            gone = self.extended and sid <= self.highest and sid not in self.begun
            if not gone:
                self.answer(sid, 3, INACTIVE)
        elif call.ended:
            pass
        elif call.unary:
            if not call.warned:
                call.warned = True
                self.answer(sid, 3, INACTIVE)
        elif call.no_more:
            self.finish(call, Status(3, CLOSED))
        else:
            self.deliver(call, flags, data, charged)

    def deliver(self, stream, flags, data, charged):
        if not flags & NO_DATA:
            stream.inbox.append((data, charged))
            stream.inbox_bytes += len(data)
            full = len(stream.inbox) > QUEUED_MESSAGES or stream.inbox_bytes > QUEUED_BYTES
            if full and not self.extended:
                status = Status(8, "ttrpc: stream buffer full")
                if isinstance(stream, Served):
                    self.finish(stream, status)
                else:
                    self.over(stream, status)
        if flags & REMOTE_CLOSED:
            stream.no_more = True
        self.changed.notify_all()

    def to_caller(self, sid, kind, flags, data, charged=0):
        call = self.mine.get(sid)
        if call is None:
            return
        if kind == RESPONSE:
            self.response(call, data)
        elif kind == DATA and call.server_streams:
            if flags & NO_DATA and not flags & REMOTE_CLOSED:
                if self.extended:
                    return
                flags, data = 0, b""
            self.deliver(call, flags, data, charged)
            if flags & REMOTE_CLOSED:
                self.over(call, Status(0))
        else:
            self.broke(call, 3, "the peer broke a rule: type %d" % kind)

    def broke(self, call, code, why):
        if self.extended:
            self.put_control(call.sid, CANCEL, 0, Status(code, why).encode())
        self.over(call, Status(Status.LOST, why))

    def response(self, call, data):
        try:
            status, payload = decode_response(data)
            if call.sid == 1 and self.may_extend and not status:
                theirs = Hello.decode(payload)
                self.agree(theirs, Hello())
        except Malformed as e:
            self.over(call, Status(Status.LOST, "malformed response: %s" % e))
            if call.sid == 1 and self.may_extend:
                raise
            return
        if status:
            self.over(call, status)
            return
        if call.server_streams:
            if payload:
                call.inbox.append((payload, 0))
        else:
            call.answer = payload
        self.over(call, Status(0))

    # --- extended mode

    def check_header(self, size, sid, kind):
        if size > MAX_FRAME and kind in (PART, REQUEST, RESPONSE, DATA):
            raise Malformed("a frame of %d bytes" % size)
        if sid == 0 and kind < 0x80 and kind not in (CREDIT, PING, GOODBYE, WANT, RETURN):
            raise Malformed("type %x on id 0" % kind)
        if kind in (PING, GOODBYE) and sid != 0:
            raise Malformed("type %x on id %d" % (kind, sid))
        if kind in (FILES, METADATA) or RETURN < kind < 0x80:
            raise Malformed("type %x" % kind)
        if (kind in (CANCEL, GOODBYE) and size > 65536 or kind == PING and size != 8
                or kind in (CREDIT, WANT, RETURN) and size != 4 or kind == GOODBYE and size < 4):
            raise Malformed("type %x with %d bytes" % (kind, size))

    def extended_frame(self, sid, kind, flags, data):
        if sid == 0 or kind >= 0x40:
            self.control_frame(sid, kind, flags, data)
            return
        mine = self.is_mine(sid)
        if not mine and self.said is not None and sid > self.said:
            if kind == REQUEST:
                self.refund(None, self.cost(len(data)))
            return
        holder = self.mine.get(sid) if mine else self.theirs.get(sid) or self.begun.get(sid)
        charged, size = self.charge_frame(sid, mine, holder, kind, flags, data)
        if holder and kind in (REQUEST, RESPONSE, DATA):
            data = b"".join(holder.parts) + data
            holder.parts, holder.parts_size, holder.parts_charged = [], 0, 0
            holder.parts_flag = None
        if size > self.max_message:
            self.too_long_in_parts(sid, kind, holder, size, charged)
        elif mine:
            self.to_caller(sid, kind, flags, data, charged)
        elif kind == DATA:
            self.data_to_callee(sid, flags, data, charged)
        else:
            self.to_callee(sid, kind, flags, data)

    def too_long_in_parts(self, sid, kind, holder, size, charged):
        self.begun.pop(sid, None)
        if kind == DATA and holder:
            self.consumed(holder, charged)
        if self.is_mine(sid) and holder:
            self.give_up(holder, Status(8, oversized(size, self.max_message)))
        elif not self.is_mine(sid):
            self.too_long(sid, kind, size)

    def charge_frame(self, sid, mine, holder, kind, flags, data):
        """Takes the credit of a frame. Requests and answers get it back at once."""
        message = kind == REQUEST or kind == RESPONSE or kind == DATA and not flags & NO_DATA
        if not message or kind == RESPONSE and not holder:
            return 0, len(data)
        had_parts = holder and holder.parts_flag is not None
        size = len(data) + (holder.parts_size if had_parts else 0)
        if kind == RESPONSE and size <= FREE_ANSWER and not had_parts:
            return 0, size
        of_stream = kind == DATA or kind == RESPONSE and flags & OF_STREAM
        if had_parts and holder.parts_flag != bool(of_stream):
            raise Malformed("parts with other flags than their frame")
        rest = len(data) + (0 if had_parts else 256)
        if of_stream:
            if not holder or holder.ended or holder.unary:
                return 0, size
            self.charge(holder, rest)
            return self.cost(size), size
        self.charge(self, rest)
        self.consumed(None, self.cost(size))
        return 0, size

    def refund(self, stream, cost):
        if stream is None:
            self.charge(self, cost)
        self.consumed(stream, cost)

    def part(self, sid, flags, data):
        mine = self.is_mine(sid)
        holder = self.mine.get(sid) if mine else self.theirs.get(sid) or self.begun.get(sid)
        if flags & RESET:
            if data:
                raise Malformed("a reset with data")
            if holder:
                self.forget_parts(sid, holder)
            return
        of_stream = bool(flags & OF_STREAM)
        late = not mine and self.said is not None and sid > self.said
        if not mine and not holder and not of_stream and sid > self.highest and not late:
            self.highest = sid
            holder = self.begun[sid] = Stream(self, sid, True)
        if sid in self.begun and of_stream:
            raise Malformed("a part of a stream's credit on a request")
        fits = holder and not holder.ended and (
            not of_stream and (sid in self.begun or mine and holder.unary)
            or of_stream and not holder.unary)
        if not fits:
            if not of_stream:
                self.refund(None, len(data))
            return
        if holder.parts_flag not in (None, of_stream):
            raise Malformed("parts with different flags")
        cost = len(data) + (256 if holder.parts_flag is None else 0)
        holder.parts_flag = of_stream
        self.charge(holder if of_stream else self, cost)
        holder.parts_charged += cost
        holder.parts_size += len(data)
        if holder.parts_size <= self.max_message:
            holder.parts.append(data)

    def forget_parts(self, sid, holder):
        self.consumed(holder if holder.parts_flag else None, holder.parts_charged)
        holder.parts, holder.parts_size, holder.parts_charged = [], 0, 0
        holder.parts_flag = None
        self.begun.pop(sid, None)

    def control_frame(self, sid, kind, flags, data):
        holder = self if sid == 0 else (self.mine if self.is_mine(sid) else self.theirs).get(sid)
        number = struct.unpack(">I", data[:4])[0] if len(data) >= 4 else 0
        if kind == PART:
            self.part(sid, flags, data)
        elif kind == CREDIT:
            if number == 0 or holder and holder.credit + number > MAX_CREDIT:
                raise Malformed("credit of %d" % number)
            if holder:
                holder.credit += number
        elif kind == WANT:
            if number > self.max_message + 256 or number == 0 and sid:
                raise Malformed("a want of %d" % number)
            if holder:
                holder.want = number
                self.grant(holder)
        elif kind == RETURN:
            if number == 0 or holder and number > holder.given:
                raise Malformed("a return of %d" % number)
            if holder:
                holder.given -= number
                self.drop_turn(holder)
        elif kind == PING and not flags & 1:
            self.control.appendleft((0, PING, 1, data, True))
        elif kind == GOODBYE:
            self.goodbye(number)
        elif kind == CANCEL:
            self.cancelled(sid, data)
        self.changed.notify_all()

    def cancelled(self, sid, data):
        if self.is_mine(sid):
            if sid in self.mine:
                self.broke(self.mine[sid], 3, "a cancel from the callee")
            return
        call = self.theirs.get(sid)
        if call is None or call.ended:
            return
        try:
            status = Status.decode(data)
        except Malformed:
            status = Status(0)
        self.forget_queued(sid)
        self.finish(call, Status(status.code or 1, status.message))

    def goodbye(self, last):
        if self.heard is not None and last > self.heard:
            raise Malformed("a goodbye that raises the last id")
        self.heard = last
        for sid, call in list(self.mine.items()):
            if sid > last:
                self.forget_queued(sid)
                self.over(call, Status(14, "not executed: the peer has said goodbye"))

    # --- ends

    def leave(self):
        """Says goodbye: what has begun finishes, then the connection closes."""
        with self.lock:
            if not self.extended:
                self.end()
                return
            self.said = self.highest
            why = Status(14, "the peer is shutting down")
            self.put_control(0, GOODBYE, 0, struct.pack(">I", self.said) + why.encode())

    def end(self):
        """Ends the connection, and all calls with it."""
        with self.lock:
            self.lose()
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def lose(self):
        if not self.lost:
            self.lost = True
            for call in list(self.mine.values()):
                self.over(call, Status(Status.LOST, "the connection has ended"))
            for call in self.theirs.values():
                call.ended = call.ended or Status(1, "the connection has ended")
                call.cause = call.cause or call.ended
            threading.Thread(target=self.end, daemon=True).start()
        self.changed.notify_all()


def listen(address):
    """Listens on unix:PATH or tcp://HOST:PORT, at the port 0 on one that is free."""
    if address.startswith("tcp://"):
        host, _, port = address[6:].rpartition(":")
        listener = socket.create_server((host.strip("[]"), int(port)))
        return listener, "tcp://%s:%d" % (host, listener.getsockname()[1])
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address.removeprefix("unix:"))
    listener.listen(128)
    return listener, address


def dial(address):
    if address.startswith("tcp://"):
        host, _, port = address[6:].rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)))
    conn = socket.socket(socket.AF_UNIX)
    conn.connect(address.removeprefix("unix:"))
    return conn
