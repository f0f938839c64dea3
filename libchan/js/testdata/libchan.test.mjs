// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { connect as connectTo } from "node:net";
import { test } from "node:test";

import { channel, dial, StatusError } from "../libchan.js";
import { decode, encode, Frames, frame, varint } from "../wire.js";

const hex = (b) => Buffer.from(b).toString("hex");

/** A socket of node's that looks like a WebSocket: ttrpc is a stream of bytes on either. */
class Socket {
  constructor() {
    this.sent = [];
    const c = connectTo(process.env.TTRPC_TEST_SERVER);
    c.on("connect", () => this.onopen());
    c.on("data", (b) => this.onmessage({ data: Uint8Array.from(b).buffer }));
    c.on("close", () => this.onclose({ code: 1000, reason: "" }));
    c.on("error", () => this.onerror());
    this.send = (b) => c.write(b);
    this.close = () => c.end();
  }
}

/** Runs f in a session, on a channel of which requests are sent. */
async function within(f, options) {
  const session = await dial(new Socket(), options);
  const requests = session.open("requests");
  try {
    await f(requests, session);
    assert.equal(session.error, undefined);
  } finally {
    await session.close();
  }
}

async function all(receiver) {
  const out = [];
  for await (const v of receiver) out.push(v);
  return out;
}

test("the wire of PROTOCOL.md", () => {
  assert.equal(hex(encode([1, 0], [3, false], [4, "logs"], [2, 3], [5, 5])), "22046c6f677310032805");
  assert.equal(hex(encode([4, encode([1, 11], [2, "enough"])])), "220a080b1206656e6f756768");
  assert.equal(hex(encode([3, [9, 11]])), "1809180b");
  assert.equal(hex(varint(300)), "ac02");
  const m = decode(Buffer.from("1213080710ac021801220a080b1206656e6f756768", "hex"));
  assert.equal(decode(m.bytes(2)).number(2), 300);
  for (const bad of ["0a", "0a05", "ff", "0b", "80", "00"]) assert.throws(() => decode(Buffer.from(bad, "hex")), /malformed/, bad);
  assert.equal(decode(varint(8).length && encode([1, 2 ** 53 - 1])).number(1), 2 ** 53 - 1);
});

test("frames come in pieces of any size", () => {
  const bytes = Buffer.concat([frame(1, 2, 3, Buffer.from("abc")), frame(5, 6, 7, Buffer.from("")), frame(9, 1, 1, Buffer.from("x".repeat(100)))]);
  for (const size of [1, 7, 10, 13, 1000]) {
    const frames = new Frames();
    const got = [];
    for (let at = 0; at < bytes.length; at += size) got.push(...frames.add(bytes.subarray(at, at + size)));
    assert.deepEqual(got.map((f) => [f.id, f.type, f.flags, f.data.length]), [[1, 2, 3, 3], [5, 6, 7, 0], [9, 1, 1, 100]]);
  }
});

test("a request with a return channel", () =>
  within(async (requests) => {
    for (const text of ["hello", "", "ü€😀", "x".repeat(10_000)]) {
      const [ret, answers] = channel();
      await requests.send({ Do: "echo", Text: text, Ret: ret });
      assert.deepEqual(await all(answers), [text]);
      await assert.rejects(async () => ret.send(1), /given away/);
    }
  }));

test("calls of a server, whose answer is the end as well", () =>
  within(async (_, session) => {
    const calls = session.open("calls");
    for (let i = 0; i < 100; i++) {
      const [ret, answers] = channel();
      await calls.send({ Data: `call ${i}`, Ret: ret });
      assert.deepEqual(await all(answers), [`call ${i}`]);
    }
    calls.close();
  }));

test("messages of a megabyte, in parts, one after the other and both ways", () =>
  within(async (requests) => {
    await Promise.all(
      [300_000, 1_000_000, 1].map(async (size, i) => {
        const [ret, answers] = channel();
        await requests.send({ Do: "echo", Text: String(i).repeat(size), Ret: ret });
        const [answer] = await all(answers);
        assert.equal(answer.length, size);
        assert.equal(answer[0], String(i));
      }),
    );
  }));

test("many messages to the page, in order", () =>
  within(async (requests) => {
    for (const capacity of [-1, 0, 3]) {
      const [ret, answers] = channel(capacity);
      await requests.send({ Do: "count", N: 3000, Ret: ret });
      assert.deepEqual(await all(answers), Array.from({ length: 3000 }, (_, i) => i));
    }
  }));

test("many messages from the page", () =>
  within(async (requests) => {
    for (const capacity of [-1, 0, 3]) {
      const [ret, answers] = channel();
      const [tx, from] = channel(capacity);
      await requests.send({ Do: "collect", From: from, Ret: ret });
      for (let i = 0; i < 2500; i++) await tx.send("x".repeat(100));
      tx.close();
      assert.deepEqual(await all(answers), [{ Count: 2500, Size: 250_000 }]);
    }
  }));

test("errors as the end, from either side", () =>
  within(async (requests) => {
    const [ret, answers] = channel();
    await requests.send({ Do: "count", N: 2, Text: "out of luck", Ret: ret });
    assert.deepEqual([await answers.receive(), await answers.receive()], [{ value: 0, done: false }, { value: 1, done: false }]);
    await assert.rejects(answers.receive(), { message: "out of luck", code: 2 });

    const [ret2, answers2] = channel();
    const [tx, from] = channel();
    await requests.send({ Do: "collect", From: from, Ret: ret2 });
    tx.close(new StatusError(11, "no more"));
    await assert.rejects(answers2.receive(), /no more/);
    await assert.rejects(tx.send("x"), /closed/);
  }));

test("an end that the server offers", () =>
  within(async (requests) => {
    for (const n of [0, 2]) {
      const [ret, answers] = channel();
      await requests.send({ Do: "offer", N: n, Ret: ret });
      const { value } = await answers.receive();
      await value.To.send("one");
      await value.To.send("two");
      value.To.close(new Error("three"));
      assert.deepEqual(await all(answers), ["one", "two", "error: three"]);
    }
  }));

test("an end that the server offers, with messages that wait", () =>
  within(async (requests) => {
    const [ret, results] = channel();
    await requests.send({ Do: "offer", N: 2, Text: "before", Ret: ret });
    const to = (await results.receive()).value.To;
    for (let i = 0; i < 7; i++) await to.send(`after ${i}`);
    to.close();
    assert.deepEqual(await all(results), ["before", "before", ...[0, 1, 2, 3, 4, 5, 6].map((i) => `after ${i}`)]);
  }));

test("an end that is given to the server, with messages that wait", async () => {
  for (const capacity of [0, 1, 3]) {
    await within(async (requests) => {
      const [to, from] = channel(capacity);
      const sent = ["a", "b", "c", "d"].slice(0, capacity + 1);
      const waits = sent.map((v) => to.send(v));
      await requests.send({ Do: "fill", N: 7, To: to });
      assert.deepEqual(await all(from), [...sent, "0", "1", "2", "3", "4", "5", "6"]);
      await Promise.all(waits);
    });
  }
});

test("an end that is passed on, back to the server", () =>
  within(async (requests, session) => {
    const [ret, answers] = channel();
    await requests.send({ Do: "offer", N: 0, Ret: ret });
    const { value } = await answers.receive();
    await session.open("other").send({ Do: "echo", Text: "by a detour", Ret: value.To });
    assert.deepEqual(await all(answers), ["by a detour"]);
  }));

test("a receiver that takes no more", () =>
  within(async (requests, session) => {
    const [ret, answers] = channel();
    await requests.send({ Do: "count", N: 100_000, Ret: ret });
    for await (const v of answers) if (v === 10) break;
    const other = session.open("other");
    await other.send({ Do: "refuse", Text: "I have had enough" });
    await assert.rejects(async () => {
      for (;;) await other.send({ Do: "nothing" });
    }, /I have had enough/);
  }));

test("an end in a message that is not received", () =>
  within(async (requests, session) => {
    const other = session.open("other");
    await other.send({ Do: "refuse", Text: "no" });
    const [ret, answers] = channel();
    try {
      for (let i = 0; ; i++) await other.send({ Do: "echo", ...(i === 0 && { Ret: ret }) });
    } catch (error) {
      assert.match(error.message, /no/);
    }
    await assert.rejects(answers.receive(), /dropped/);
    const [ret2, answers2] = channel();
    await requests.send({ Do: "nothing", Inner: { Deep: [ret2] } }); // no field takes it for an end
    for (let i = 0; i < 3; i++) await requests.send({ Do: "nothing" });
    answers2.cancel();
  }));

test("channels that the server opens", () => {
  const names = (name) => {
    if (name === "bad") throw new StatusError(7, "no such name");
  };
  return within(async (requests, session) => {
    const [ret, answers] = channel();
    await requests.send({ Do: "open", Text: "news", Ret: ret });
    const { name, channel: news } = await session.accept();
    assert.equal(name, "news");
    assert.deepEqual(await all(news), ["hello"]);
    assert.deepEqual(await all(answers), ["<nil>"]);
    const [ret2, answers2] = channel();
    await requests.send({ Do: "open", Text: "bad", Ret: ret2 });
    await answers2.receive();
  }, { names });
});

test("a channel that the server does not want", () =>
  within(async (requests, session) => {
    const unwanted = session.open("unwanted");
    const [ret, answers] = channel();
    await unwanted.send({ Do: "echo", Text: "x", Ret: ret });
    await assert.rejects(answers.receive(), /dropped/);
    await assert.rejects(unwanted.send({}), /nobody wants this/);
  }));

test("mistakes", () =>
  within(async (requests) => {
    const [ret, answers] = channel();
    await assert.rejects(requests.send({ Do: () => {} }), /message\.Do is a function/);
    await assert.rejects(requests.send({ A: [ret, ret] }), /message\.A\[1\] is an end/);
    await assert.rejects(requests.send({ A: requests }), /message\.A is an end/);
    await assert.rejects(requests.send(undefined), /undefined/);
    // After all that the end is still good.
    await requests.send({ Do: "echo", Text: "fine", Ret: ret });
    assert.deepEqual(await all(answers), ["fine"]);
    requests.close();
    await assert.rejects(requests.send({}), /closed/);
  }));

test("keys that look like references", async () => {
  const [tx, rx] = channel();
  const value = { $libchan: 1, $$libchan: 2, $other: 3, list: [new Uint8Array([1, 2, 3])] };
  await tx.send(value);
  assert.deepEqual(await rx.receive(), { value: { ...value, list: ["AQID"] }, done: false });
});

test("a server that shuts the session down", async () => {
  const session = await dial(new Socket());
  const requests = session.open("requests");
  await requests.send({ Do: "shutdown" });
  await assert.rejects(async () => {
    for (;;) {
      session.open("more").close();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }, /draining/);
  requests.close();
  assert.match((await session.closed).message, /ended/);
  await session.close();
});

test("the connection is lost", async () => {
  const socket = new Socket();
  const session = await dial(socket);
  const requests = session.open("requests");
  const [ret, answers] = channel();
  await requests.send({ Do: "nothing", Ret: ret });
  const waits = answers.receive();
  const accepts = session.accept();
  socket.close();
  socket.onclose({ code: 1006, reason: "" });
  const lost = /connection has ended: the websocket was closed with code 1006/;
  await Promise.all([assert.rejects(waits, lost), assert.rejects(accepts, lost)]);
  await assert.rejects(requests.send({}), /has ended/);
});

test("pings, of which one is not answered", async () => {
  const socket = new Socket();
  const session = await dial(socket, { interval: 5, timeout: 1000 });
  let pings = 0;
  const [send, onmessage] = [socket.send, socket.onmessage];
  socket.send = (b) => {
    if (b[8] === 0x44) pings++;
    send(b);
  };
  while (pings < 3) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(session.error, undefined);
  socket.onmessage = () => {};
  assert.match((await session.closed).message, /does not answer pings/);
  socket.onmessage = onmessage;
});
