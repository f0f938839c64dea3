# Copyright The ttrpc Authors.
# SPDX-License-Identifier: Apache-2.0

"""The conformance service and client on ttrpc.py.

conformance.py server [ADDRESS]   serves, and prints the address
conformance.py client             reads commands as lines of JSON, writes results
"""

import itertools
import json
import os
import sys
import tempfile
import threading
import time

import ttrpc
from ttrpc import Status, block, field

SERVICE = "ttrpc.conformance.v1.Conformance"


class Ask:
    """The message Request of conformance.proto, which is read only."""

    def __init__(self, data):
        self.text, self.size, self.count, self.delay, self.status = "", 0, 0, 0, None
        self.now = self.show = False
        for number, value in ttrpc.fields(data):
            if number == 1:
                self.text = ttrpc.text(value)
            elif number == 2:
                self.size = value
            elif number == 3:
                self.count = value
            elif number == 4:
                self.delay = value / 1000
            elif number == 5:
                self.status = Status.decode(ttrpc.whole(value, bytes))
            elif number == 6:
                self.now = bool(value)
            elif number == 7:
                self.show = bool(value)


def answer(ask, call, index=0, received=0, code=0, text=None):
    """Encodes the message Answer."""
    if text is None:
        text = "x" * ask.size or ask.text
    out = field(1, text) + field(2, index) + field(3, received) + field(4, code)
    if ask and ask.show:
        for key, value in call.metadata:
            out += block(5, field(1, key) + field(2, value))
        if call.deadline is not None:
            out += field(6, max(1, int((call.deadline - time.monotonic()) * 1000)))
    return out


def do(call, data, index=0):
    ask = Ask(data)
    if ask.delay:
        call.wait(ask.delay)
    if ask.status:
        raise ask.status
    return ask, answer(ask, call, index)


def unary(call, data):
    return do(call, data)[1]


def fail(call, data):
    raise Status.decode(data)


def client_stream(call, _):
    texts, last = [], None
    while not (last and last.now):
        data = call.receive()
        if data is None:
            break
        last, _ = do(call, data)
        texts.append(last.text)
    return answer(last, call, received=len(texts), text="".join(texts))


def server_stream(call, data):
    ask = Ask(data)
    for i in range(ask.count):
        if ask.delay:
            call.wait(ask.delay)
        call.send(answer(ask, call, i))
    if ask.status:
        raise ask.status


def bidi(call, _):
    for i in itertools.count():
        data = call.receive()
        if data is None:
            return
        ask, out = do(call, data, i)
        call.send(out)
        if ask.now:
            return


class Waits:
    """How the calls of Wait have ended, by the text of their requests."""

    def __init__(self):
        self.changed, self.codes = threading.Condition(), {}

    def wait(self, call, data):
        call.wait()
        with self.changed:
            code = call.cause.code
            self.codes[Ask(data).text] = code if call.conn.extended or code == 4 else 1
            self.changed.notify_all()
        raise call.cause

    def ended(self, call, data):
        key = Ask(data).text
        with self.changed:
            if not self.changed.wait_for(lambda: key in self.codes, 5):
                raise Status(5, "no Wait has ended that has the text " + key)
            return answer(None, call, code=self.codes[key], text=key)


def call_back(call, data):
    return call.conn.call(SERVICE, "Unary", data)


def leave(call, data):
    threading.Timer(0, call.conn.leave).start()
    return answer(Ask(data), call)


def methods():
    waits, method = Waits(), ttrpc.Method
    return {SERVICE: {
        "Unary": method(unary), "Fail": method(fail),
        "ClientStream": method(client_stream, client_streams=True),
        "ServerStream": method(server_stream, server_streams=True),
        "Bidi": method(bidi, True, True),
        "Wait": method(waits.wait), "Ended": method(waits.ended),
        "CallBack": method(call_back), "Leave": method(leave),
    }}


def server(address=None):
    where = address or "unix:" + os.path.join(tempfile.mkdtemp(prefix="ttrpc"), "s")
    listener, where = ttrpc.listen(where)
    print(where, flush=True)
    if not address:
        threading.Thread(target=until_closed, args=(where,), daemon=True).start()
    served = methods()
    while True:
        sock, _ = listener.accept()
        ttrpc.Connection(sock, False, served, extend=True)


def until_closed(where):
    """A server that was started by the runner ends with its standard input."""
    sys.stdin.buffer.read()
    os.unlink(where.removeprefix("unix:"))
    os.rmdir(os.path.dirname(where.removeprefix("unix:")))
    os._exit(0)


class Client:
    """Carries out commands. Each call has a thread, its result is one line."""

    KINDS = {"Unary": (0, 0), "ClientStream": (1, 0), "ServerStream": (0, 1), "Bidi": (1, 1)}

    def __init__(self):
        self.connections, self.calls = {}, {}
        self.lock = threading.Lock()

    def reply(self, **result):
        with self.lock:
            print(json.dumps(result), flush=True)

    def connection(self, command):
        address = command["address"]
        if address not in self.connections:
            extended, serves = command.get("extended", False), command.get("serves", False)
            conn = ttrpc.Connection(ttrpc.dial(address), True, methods() if serves else None,
                                    extend=extended)
            self.connections[address] = conn
            if extended:
                conn.hello(serves)
        return self.connections[address]

    def run(self):
        for line in sys.stdin:
            command = json.loads(line)
            ident, what = command["id"], command["do"]
            if what == "call":
                ready = threading.Event()
                threading.Thread(target=self.call, args=(command, ready), daemon=True).start()
                ready.wait()
            elif what == "cancel":
                self.calls[command["call"]].cancel()
                self.reply(id=ident)
            elif what in ("close", "leave"):
                conn = self.connections.pop(command["address"])
                conn.leave() if what == "leave" else conn.end()
                self.reply(id=ident)
            else:
                self.reply(id=ident, error="%r is no command of this client" % what)

    def call(self, command, ready):
        result = {"id": command["id"], "code": 0, "messages": []}
        try:
            conn = self.connection(command)
            stream = self.open(conn, command)
            self.calls[command["id"]] = stream
        except Status as s:
            stream = None
            self.fail(result, s)
        except OSError as e:
            stream = None
            self.fail(result, Status(Status.LOST, str(e)))
        ready.set()
        if stream:
            try:
                self.receive(stream, command, result["messages"])
            except Status as s:
                self.fail(result, s)
        self.reply(**result)

    def fail(self, result, status):
        result.update(code=status.code, text=status.message,
                      details=[d.hex() for d in status.details])

    def open(self, conn, command):
        client_streams, server_streams = self.KINDS.get(command["method"], (0, 0))
        messages = [bytes.fromhex(m) for m in command.get("messages", [])]
        timeout = command["timeout_ms"] / 1000 if "timeout_ms" in command else None
        first = b"" if client_streams else messages[0]
        return conn.open(
            SERVICE, command["method"], first, client_streams, server_streams, timeout,
            [tuple(p) for p in command.get("metadata", [])],
            unary=not client_streams and not server_streams)

    def receive(self, stream, command, out):
        if stream.client_streams:
            for message in command.get("messages", []):
                stream.send(bytes.fromhex(message))
            if not command.get("keep_open"):
                stream.close_send()
        if not stream.server_streams:
            out.append(checked(stream.result()))
            return
        while True:
            message = stream.receive()
            if message is None:
                return
            out.append(checked(message))


def checked(message):
    """Returns an Answer in hexadecimal, if it is one."""
    try:
        list(ttrpc.fields(message))
    except ttrpc.Malformed as e:
        raise Status(Status.LOST, "the answer does not parse: %s" % e)
    return message.hex()


if __name__ == "__main__":
    if sys.argv[1:2] == ["server"]:
        server(*sys.argv[2:3])
    elif sys.argv[1:] == ["client"]:
        Client().run()
    else:
        sys.exit(__doc__)
