// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { connect } from "../ttrpc.js";
import { decode, encode, encodeText, frame, Frames, Type, uint32 } from "../wire.js";

const none = new Uint8Array(0);

/** A WebSocket whose server is the test. */
class Server {
  sent = []; // frames of the client's
  #frames = new Frames();

  send(b) {
    this.sent.push(...this.#frames.add(b));
  }

  close() {
    this.isClosed = true;
  }

  /** Has the client receive frames, in one message. */
  says(...frames) {
    this.onmessage({ data: Uint8Array.from(Buffer.concat(frames)).buffer });
  }

  /** Waits for a frame of the client's. */
  async gets(type) {
    for (;;) {
      const at = this.sent.findIndex((f) => f.type === type);
      if (at >= 0) return this.sent.splice(at, 1)[0];
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

const hello = (...more) => encode([1, 1], [3, 1 << 20], [4, 8192], [5, 65536], [6, true], ...more);
const agreement = (h = hello()) => frame(1, Type.response, 0, encode([2, h]));

const connections = [];
after(() => connections.forEach((c) => c.close())); // else their keep-alive goes on

async function agreed(options) {
  const server = new Server();
  const connecting = connect(server, options);
  server.onopen();
  await server.gets(Type.request);
  server.says(agreement());
  const connection = await connecting;
  connections.push(connection);
  return { server, connection };
}

test("servers that do not agree", async () => {
  for (const [answer, want] of [
    [frame(1, Type.response, 0, encode([1, encode([1, 12], [2, "service x"])])), /does not agree to the extended mode: service x/],
    [agreement(encode([1, 1], [3, 1], [4, 0], [5, 1])), /malformed Hello/],
    [agreement(Uint8Array.of(0xff)), /malformed protobuf/],
    [Uint8Array.of(0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0), /a frame of 4278190080 bytes/],
  ]) {
    const server = new Server();
    const connecting = connect(server);
    server.onopen();
    server.says(answer);
    await assert.rejects(connecting, want);
    assert.ok(server.isClosed);
  }
});

test("violations end the connection", async () => {
  const open = frame(2, Type.request, 6, encode([1, "s"], [2, "m"]));
  const big = (type, flags, id = 2) => frame(id, type, flags, new Uint8Array(65_000));
  for (const [name, frames, want] of [
    ["an unknown type", [frame(0, 0x50, 0, none)], /a frame of type 80/],
    ["a frame that is to come in parts", [frame(2, Type.data, 0, new Uint8Array(262_145))], /which is to come in parts/],
    ["messages without credit", [open, big(Type.data, 0), big(Type.data, 0)], /without credit/],
    ["parts without credit", [open, big(Type.part, 2), big(Type.part, 2)], /without credit/],
    ["requests without credit", Array.from({ length: 17 }, () => big(Type.part, 0, 4)), /without credit/],
    ["parts of two kinds", [open, frame(2, Type.part, 2, none), frame(2, Type.part, 0, none)], /different flags/],
    ["credit of two bytes", [frame(0, Type.credit, 0, Uint8Array.of(1, 2))], /./],
  ]) {
    const { server, connection } = await agreed({ services: { s: { m: () => new Promise(() => {}) } } });
    const call = connection.call("s", "m", none);
    await server.gets(Type.request);
    server.says(...frames);
    await assert.rejects(call, want, name);
    assert.equal((await connection.closed).code, 14, name);
    assert.ok(server.isClosed, name);
  }
});

test("unknown frames that may be ignored, and late ones", async () => {
  const { server, connection } = await agreed();
  server.says(frame(7, 0x80, 9, none), frame(99, Type.data, 0, encodeText("late")), frame(99, Type.response, 0, none), frame(4, Type.credit, 0, uint32(1)));
  server.says(frame(0, Type.ping, 0, new Uint8Array(8).fill(7)));
  const pong = await server.gets(Type.ping);
  assert.deepEqual([pong.flags, pong.data[0], connection.error], [1, 7, undefined]);
});

test("credit, one message after the other", async () => {
  const { server, connection } = await agreed();
  const stream = await connection.open("s", "m");
  const request = await server.gets(Type.request);
  assert.equal(request.flags, 6);
  const sends = [3000, 3000, 3000, 100_000].map((n) => stream.send(new Uint8Array(n)));
  await Promise.all(sends.slice(0, 2));
  const credit = (n, flags = 0) => server.says(frame(stream.id, Type.credit, flags, uint32(n)));
  assert.equal(server.sent.length, 2); // the third waits without asking
  credit(6512);
  await sends[2];
  const want = await server.gets(Type.want);
  assert.deepEqual([...want.data], [...uint32(100_256)]);
  credit(95_320, 1);
  await sends[3];
  const sizes = server.sent.map((f) => [f.type, f.data.length]);
  assert.deepEqual(sizes, [[3, 3000], [3, 3000], [3, 3000], [0x40, 65536], [3, 34464]]);
  await assert.rejects(stream.send(new Uint8Array((1 << 20) + 1)), /1048576 are the most/);
});

test("requests wait for credit of the connection's", async () => {
  const { server, connection } = await agreed();
  const first = connection.call("s", "m", new Uint8Array(60_000));
  const second = connection.call("s", "m", new Uint8Array(50_000));
  await server.gets(Type.request);
  const want = await server.gets(Type.want);
  const n = new DataView(want.data.buffer, want.data.byteOffset).getUint32(0);
  assert.ok(n > 50_256 && n < 50_300, n);
  server.says(frame(0, Type.credit, 1, uint32(n)));
  const request = await server.gets(Type.request);
  assert.equal((await server.gets(Type.want)).data[3], 0); // none waits any more
  server.says(frame(3, Type.response, 0, encode([2, encodeText("one")])), frame(request.id, Type.response, 0, encode([1, encode([1, 5], [2, "two"])])));
  assert.equal(Buffer.from(await first).toString(), "one");
  await assert.rejects(second, { code: 5, message: "two" });
});

test("a call is cancelled, and a goodbye ends what it does not serve", async () => {
  const { server, connection } = await agreed();
  const abort = new AbortController();
  const cancelled = connection.call("s", "m", none, abort.signal);
  await server.gets(Type.request);
  abort.abort();
  await assert.rejects(cancelled, { code: 1 });
  assert.equal((await server.gets(Type.cancel)).id, 3);
  const [served, unserved] = [connection.call("s", "m", none), connection.call("s", "m", none)];
  await server.gets(Type.request);
  await server.gets(Type.request);
  server.says(frame(0, Type.goodbye, 0, uint32(5)));
  await connection.draining;
  await assert.rejects(unserved, /shutting down/);
  await assert.rejects(connection.call("s", "m", none), /draining/);
  server.says(frame(5, Type.response, 0, none));
  assert.equal((await served).length, 0);
  assert.match((await connection.closed).message, /in order/);
});

test("handlers", async () => {
  const services = { s: { echo: (b) => b, fail: () => Promise.reject(new Error("no")), all: async (b, stream) => { for (let m; (m = await stream.receive()); ) await stream.send(m); } } };
  const { server, connection } = await agreed({ services });
  const request = (id, method, flags = 0) => frame(id, Type.request, flags, encode([1, "s"], [2, method], [3, encodeText("hi")]));
  const answer = async () => {
    const m = decode((await server.gets(Type.response)).data);
    return m.bytes(1) ? decode(m.bytes(1)).number(1) : Buffer.from(m.bytes(2)).toString();
  };
  server.says(request(2, "echo"));
  assert.equal(await answer(), "hi");
  server.says(request(4, "fail"));
  assert.equal(await answer(), 2);
  server.says(request(6, "none"));
  assert.equal(await answer(), 12);
  server.says(request(6, "echo"), request(1, "echo"), request(7, "echo"));
  assert.equal(await answer(), 3); // the id is used up; and odd ones are no requests
  server.says(frame(10, Type.request, 0, Uint8Array.of(0xff)));
  assert.equal(await answer(), 2);
  server.says(request(12, "all", 6), frame(12, Type.data, 0, encodeText("a")), frame(12, Type.data, 5, none));
  assert.equal(Buffer.from((await server.gets(Type.data)).data).toString(), "a");
  assert.equal((await server.gets(Type.data)).flags, 5);
  assert.equal(connection.error, undefined);
});
