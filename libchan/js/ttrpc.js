// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

/**
 * Ttrpc in its extended mode over a WebSocket whose other end is a Listener of
 * transport/websocket: calls and streams in both directions, credit, large messages in
 * parts, keep-alive and goodbye. PROTOCOL.md has the words that are used here. Files do not
 * pass, and no metadata.
 *
 *     const connection = await connect("wss://server.example/ttrpc");
 *     const answer = await connection.call("example.Echo", "Say", bytes);
 */
import { concat, decode, decodeStatus, empty, encode, encodeStatus, frame, Frames, readUint32, StatusError, Type, uint32 } from "./wire.js";

export { StatusError };

const largestPart = 65536;
const freeAnswer = 2048;
const costOf = (size) => size + 256;
const lost = (why) => new StatusError(14, `ttrpc: the connection has ended: ${why}`);

/**
 * Connects, and agrees with the server on the extended mode.
 *
 * @param {string|WebSocket} socket a URL, or a WebSocket that is new
 * @param {object} [options]
 * @param {object} [options.services] what the server may call: for each service an object of
 *   its methods, functions (payload, stream) that return the answer's bytes, or a promise of
 *   them; stream is undefined in a unary call
 * @param {number} [options.interval] of pings, in ms
 * @param {number} [options.timeout] of their answers, in ms
 * @returns {Promise<Connection>}
 */
export async function connect(socket, options = {}) {
  const connection = new Connection(typeof socket === "string" ? new WebSocket(socket) : socket, options);
  await connection.agreed;
  return connection;
}

/** One direction of credit that this end gives: of a stream, or of the connection. */
class Window {
  constructor(size) {
    this.size = size;
    this.left = size; // what the peer may send
    this.back = 0; // what was consumed and not given back
    this.beyond = 0; // what was given beyond the size
  }

  /** Charges what has arrived. */
  charge(n) {
    this.left -= n;
    if (this.left < 0) throw new Error("the peer sends without credit");
  }

  /** Takes note of what was consumed. */
  consume(n) {
    const above = Math.min(n, this.beyond);
    this.beyond -= above;
    this.back += n - above;
  }

  /** Returns what is to be given back now: all, if that is at least a share of the size. */
  due(share) {
    const n = this.back >= this.size * share ? this.back : 0;
    this.back -= n;
    this.left += n;
    return n;
  }

  /** Returns what makes a message of cost n possible. */
  grant(n) {
    const missing = Math.max(n - this.left, 0);
    this.beyond += Math.max(missing - this.back, 0);
    this.back = Math.max(this.back - missing, 0);
    this.left += missing;
    return missing;
  }
}

/** A stream, of this end's or of the peer's. */
export class Stream {
  #connection;
  #sends = Promise.resolve(); // the last send
  #wake = () => {};
  #queue = []; // messages that have arrived
  #waiting; // the receive that waits
  #noMore = false; // the peer sends no more
  #closed = false; // this end sends no more
  #over = false;
  #tellDone;

  constructor(connection, id, isOwn) {
    this.#connection = connection;
    this.id = id;
    this.isOwn = isOwn;
    this.credit = connection.peer.window;
    this.window = new Window(connection.hello.window);
    this.wanted = 0; // by the peer, for a large message
    this.wantsEnd = false; // and that is its answer
    this.error = undefined;
    /** Resolves when the stream has ended, with its error or undefined. */
    this.done = new Promise((resolve) => (this.#tellDone = resolve));
  }

  get isOver() {
    return this.#over;
  }

  /** Sends a message, once there is credit for it and those before have left. */
  send(data) {
    const sent = this.#sends.then(() => this.#send(data));
    this.#sends = sent.catch(() => {});
    return sent;
  }

  async #send(data) {
    const { peer } = this.#connection;
    if (data.length > peer.maxMessage) {
      throw new StatusError(8, `ttrpc: a message of ${data.length} bytes, and ${peer.maxMessage} are the most`);
    }
    const cost = costOf(data.length);
    this.#check();
    if (this.credit < cost && cost > peer.window / 2) this.#connection.frame(this.id, Type.want, 0, uint32(cost));
    while (this.credit < cost) {
      await new Promise((resolve) => (this.#wake = resolve));
      this.#check();
    }
    this.credit -= cost;
    this.#connection.message(this.id, Type.data, 0, data, 2);
  }

  #check() {
    if (this.#over || this.#closed) throw this.error ?? new StatusError(14, "ttrpc: the stream has ended");
  }

  /** Takes credit that the peer gives. */
  credited(n) {
    this.credit += n;
    this.#wake();
  }

  /** Ends what this end sends on a stream that it has opened, after all before. */
  close() {
    this.#sends = this.#sends.then(() => {
      if (!this.#over && !this.#closed) this.#connection.frame(this.id, Type.data, 5, empty);
      this.#closed = true;
    });
    return this.#sends;
  }

  /** Waits until what was sent has left. */
  get sent() {
    return this.#sends;
  }

  /** Gives up a stream that this end has opened. */
  cancel(error = new StatusError(1, "cancelled")) {
    if (this.#over || !this.isOwn) return;
    this.#connection.frame(this.id, Type.cancel, 0, encodeStatus(error));
    this.finish(error);
  }

  /** Returns a promise of the next message, or of null at the end. It rejects after an error. */
  receive() {
    if (this.#waiting) return Promise.reject(new Error("ttrpc: a receive waits already"));
    const first = this.#queue.shift();
    if (first) return Promise.resolve(this.#take(first));
    if (this.#noMore) return this.error ? Promise.reject(this.error) : Promise.resolve(null);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#connection.grant();
    });
  }

  /** Whether the peer may be given what a large message takes. */
  get isReady() {
    return this.wanted > 0 && this.#queue.length === 0 && (this.wantsEnd || this.#waiting !== undefined);
  }

  #take({ data, cost }) {
    this.window.consume(cost);
    const due = this.window.due(0.5);
    if (due > 0 && !this.#over) this.#connection.frame(this.id, Type.credit, 0, uint32(due));
    this.#connection.grant();
    return data;
  }

  /** Takes a message that has arrived, with what it has cost of the stream's credit. */
  arrived(data, cost) {
    this.wanted = 0;
    if (!this.#waiting) {
      this.#queue.push({ data, cost });
      return;
    }
    const { resolve } = this.#waiting;
    this.#waiting = undefined;
    resolve(this.#take({ data, cost }));
  }

  /** Takes note that the peer sends no more. */
  halfClosed() {
    this.#noMore = true;
    if (!this.#waiting) return;
    const { resolve, reject } = this.#waiting;
    this.#waiting = undefined;
    this.error ? reject(this.error) : resolve(null);
  }

  /** Ends the stream. What has arrived can still be received. */
  finish(error) {
    if (this.#over) return;
    this.#over = true;
    this.error = error;
    this.window.beyond = 0;
    this.#connection.forget(this);
    this.#wake();
    this.halfClosed();
    this.#tellDone(error);
  }
}

/** A connection in extended mode. See connect. */
export class Connection {
  #socket;
  #frames = new Frames();
  #services;
  #streams = new Map(); // by id
  #parts = new Map(); // by id: what has come of a message
  #lastOwn = -1;
  #lastPeer = 0;
  #paying = Promise.resolve(); // the last request or large answer
  #wake = () => {};
  #turn; // whose message beyond the windows is awaited: a stream, the connection, or nobody
  #wanted = 0; // by a request or answer of the peer's
  #window;
  #heard = true;
  #timer;
  #closing = false;
  #tell = {};

  constructor(socket, { services = {}, interval = 30_000, timeout = 30_000 } = {}) {
    this.#socket = socket;
    this.#services = services;
    this.hello = { maxMessage: 4 << 20, window: 64 << 10, connectionWindow: 1 << 20 };
    this.#window = new Window(this.hello.connectionWindow);
    this.peer = undefined; // what its Hello says
    this.credit = 0; // of the connection
    this.error = undefined;
    /** Resolves when both ends have agreed. */
    this.agreed = new Promise((resolve, reject) => (this.#tell.agreed = { resolve, reject }));
    /** Resolves with the reason when the connection has ended. */
    this.closed = new Promise((resolve) => (this.#tell.closed = resolve));
    /** Resolves when either end begins to leave: no more streams are opened. */
    this.draining = new Promise((resolve) => (this.#tell.draining = resolve));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#begin(interval, timeout);
    socket.onclose = (e) => this.fail(lost(e?.reason || `the websocket was closed with code ${e?.code}`));
    socket.onerror = () => this.fail(lost("the websocket has failed"));
    socket.onmessage = (e) => {
      this.#heard = true;
      try {
        for (const f of this.#frames.add(new Uint8Array(e.data))) {
          if (!this.error) this.#handle(f);
        }
      } catch (err) {
        this.fail(lost(err.message));
      }
    };
  }

  #begin(interval, timeout) {
    const h = this.hello;
    const hello = encode([1, 1], [3, h.maxMessage], [4, h.window], [5, h.connectionWindow], [6, true]);
    this.frame(1, Type.request, 0, encode([1, "ttrpc.extensions.v1.Connection"], [2, "Hello"], [3, hello]));
    this.#lastOwn = 1;
    let pinged = false;
    const tick = () => {
      if (!this.#heard && pinged) return this.fail(lost("the peer does not answer pings"));
      pinged = !this.#heard;
      if (pinged && this.peer) this.frame(0, Type.ping, 0, new Uint8Array(8));
      this.#heard = false;
      this.#timer = setTimeout(tick, pinged ? timeout : interval);
    };
    this.#timer = setTimeout(tick, interval);
  }

  /** Sends a frame at once. */
  frame(id, type, flags, data) {
    if (!this.error) this.#socket.send(frame(id, type, flags, data));
  }

  /** Sends a frame that may be large, in parts if it is. */
  message(id, type, flags, data, partFlags) {
    let at = 0;
    for (; data.length - at > largestPart; at += largestPart) {
      this.frame(id, Type.part, partFlags, data.subarray(at, at + largestPart));
    }
    this.frame(id, type, flags, data.subarray(at));
  }

  /**
   * Makes a call, and returns the answer's bytes.
   *
   * @param {Uint8Array} payload
   * @param {AbortSignal} [signal]
   */
  async call(service, method, payload, signal) {
    const stream = await this.#request(service, method, payload, 0);
    const abort = () => stream.cancel();
    signal?.aborted ? abort() : signal?.addEventListener("abort", abort);
    const error = await stream.done;
    signal?.removeEventListener("abort", abort);
    if (error) throw error;
    return stream.answer;
  }

  /** Opens a stream on which both sides send. A payload is its first message. */
  open(service, method, payload) {
    return this.#request(service, method, payload ?? empty, payload ? 2 : 6);
  }

  #request(service, method, payload, flags) {
    const data = encode([1, service], [2, method], [3, payload]);
    return this.#pay(costOf(data.length), () => {
      if (this.#closing) throw new StatusError(14, "ttrpc: the connection is draining");
      this.#lastOwn += 2;
      const stream = new Stream(this, this.#lastOwn, true);
      stream.isUnary = flags === 0;
      this.#streams.set(stream.id, stream);
      this.message(stream.id, Type.request, flags, data, 0);
      return stream;
    });
  }

  /** Has a request or an answer sent when there is credit for it, one after the other. */
  #pay(cost, send) {
    const sent = this.#paying.then(async () => {
      await this.agreed;
      const asks = this.credit < cost;
      if (asks) this.frame(0, Type.want, 0, uint32(cost));
      while (this.credit < cost && !this.error) await new Promise((resolve) => (this.#wake = resolve));
      if (this.error) throw this.error;
      try {
        const result = send();
        this.credit -= cost;
        return result;
      } finally {
        if (asks) this.frame(0, Type.want, 0, uint32(0));
      }
    });
    this.#paying = sent.catch(() => {});
    return sent;
  }

  /** Gives whose turn it is what a large message takes. */
  grant() {
    if (this.#turn?.window.beyond > 0 || this.error) return;
    this.#turn = undefined;
    if (this.#wanted > this.#window.size / 2 && this.#window.left < this.#wanted) {
      this.#give(0, this, this.#wanted);
      this.#wanted = 0;
      return;
    }
    for (const s of this.#streams.values()) {
      if (s.isReady) {
        this.#give(s.id, s, s.wanted);
        s.wanted = 0;
        if (this.#turn) return;
      }
    }
  }

  #give(id, who, wanted) {
    const missing = who.window.grant(wanted);
    if (missing > 0) this.frame(id, Type.credit, 1, uint32(missing));
    if (who.window.beyond > 0) this.#turn = who;
  }

  /** What the peer may send of requests and answers. */
  get window() {
    return this.#window;
  }

  /** Gives back what requests and answers have cost: they wait for nobody here. */
  #consume(cost) {
    this.#window.consume(cost);
    const due = this.#window.due(this.#wanted > 0 ? 0 : 0.25);
    if (due > 0) this.frame(0, Type.credit, 0, uint32(due));
    this.grant();
  }

  /** Forgets a stream that has ended. */
  forget(stream) {
    this.#streams.delete(stream.id);
    if (this.#turn === stream) this.#turn = undefined;
    this.grant();
    this.#leave();
  }

  #handle({ id, type, flags, data }) {
    if (!this.peer) {
      if (id === 1 && type === Type.response) this.#agree(data);
      return;
    }
    if (data.length > 4 * largestPart) throw new Error(`a frame of ${data.length} bytes, which is to come in parts`);
    const stream = this.#streams.get(id);
    switch (type) {
      case Type.part:
        return this.#part(id, flags, data, stream);
      case Type.request:
      case Type.response:
      case Type.data:
        return this.#whole(id, type, flags, data, stream);
      case Type.cancel:
        if (stream && !stream.isOwn) this.#answer(stream, decodeStatus(data) ?? new StatusError(1, "cancelled"));
        return;
      case Type.credit:
        if (id === 0) {
          this.credit += readUint32(data);
          this.#wake();
        } else stream?.credited(readUint32(data));
        return;
      case Type.want:
        return this.#want(id, flags, readUint32(data), stream);
      case Type.return: {
        const window = id === 0 ? this.#window : stream?.window;
        if (window) [window.left, window.beyond] = [window.left - readUint32(data), Math.max(window.beyond - readUint32(data), 0)];
        return this.grant();
      }
      case Type.ping:
        if (!(flags & 1)) this.frame(0, Type.ping, 1, data);
        return;
      case Type.goodbye:
        return this.#goodbye(readUint32(data));
      default:
        if (type >= 0x40 && type < 0x80) throw new Error(`a frame of type ${type}`);
    }
  }

  #agree(data) {
    const answer = decode(data);
    const error = decodeStatus(answer.bytes(1) ?? empty);
    if (error) return this.fail(new StatusError(error.code, `ttrpc: the server does not agree to the extended mode: ${error.message}`));
    const h = decode(answer.bytes(2) ?? empty);
    const peer = { maxMessage: h.number(3), window: h.number(4), connectionWindow: h.number(5), serves: h.number(6) > 0 };
    if (!(h.number(1) && peer.maxMessage && peer.window && peer.connectionWindow)) return this.fail(lost("a malformed Hello"));
    peer.maxMessage = Math.min(peer.maxMessage, this.hello.maxMessage);
    this.peer = peer;
    this.credit = peer.connectionWindow;
    this.#tell.agreed.resolve();
  }

  #part(id, flags, data, stream) {
    let got = this.#parts.get(id);
    if (flags & 1) {
      this.#parts.delete(id);
      if (got?.ofStream) stream?.window.consume(got.cost);
      else if (got) this.#consume(got.cost);
      return;
    }
    const ofStream = (flags & 2) !== 0;
    if (ofStream && !stream) return; // it is late
    if (!got) this.#parts.set(id, (got = { pieces: [], size: 0, cost: 256, ofStream }));
    if (got.ofStream !== ofStream) throw new Error("parts of one message with different flags");
    (ofStream ? stream.window : this.#window).charge(data.length + (got.size === 0 ? 256 : 0));
    got.pieces.push(data);
    got.size += data.length;
    got.cost += data.length;
    if (got.size > this.hello.maxMessage) throw new Error("a message that is too large");
  }

  /** Handles a frame together with the parts before it. */
  #whole(id, type, flags, data, stream) {
    const got = this.#parts.get(id);
    this.#parts.delete(id);
    const all = got ? concat(...got.pieces, data) : data;
    const isAnswer = type === Type.response;
    const isFree = (isAnswer && !got && data.length <= freeAnswer) || (type === Type.data && (flags & 4) !== 0);
    const ofStream = type === Type.data || (isAnswer && (flags & 2) !== 0);
    const cost = isFree ? 0 : costOf(all.length);
    const window = ofStream ? stream?.window : this.#window;
    if (cost > 0) window?.charge(cost - (got?.cost ?? 0));
    if (type === Type.request) this.#called(id, flags, all);
    else if (stream && isAnswer) this.#answered(stream, all);
    else if (stream) this.#data(stream, flags, all, cost);
    if (cost > 0 && !ofStream) this.#consume(cost);
  }

  #answered(stream, data) {
    if (!stream.isOwn) return;
    const m = decode(data);
    stream.answer = m.bytes(2) ?? empty;
    stream.finish(decodeStatus(m.bytes(1) ?? empty));
  }

  #data(stream, flags, data, cost) {
    if (!(flags & 4)) stream.arrived(data, cost);
    if (!(flags & 1)) return;
    stream.isOwn ? stream.finish() : stream.halfClosed();
  }

  /** Handles a request of the peer's. */
  #called(id, flags, data) {
    if (id % 2 !== 0 || this.#closing) return;
    if (id <= this.#lastPeer) {
      const reused = new StatusError(3, "StreamID cannot be re-used and must increment");
      return this.frame(id, Type.response, 0, encode([1, encodeStatus(reused)]));
    }
    this.#lastPeer = id;
    const stream = new Stream(this, id, false);
    stream.isUnary = (flags & 3) === 0;
    this.#streams.set(id, stream);
    if (flags & 1) stream.halfClosed();
    this.#serve(stream, data);
  }

  async #serve(stream, data) {
    try {
      const m = decode(data);
      const method = this.#services[m.text(1)]?.[m.text(2)];
      if (!method) throw new StatusError(12, `method ${m.text(1)}/${m.text(2)}`);
      await this.#answer(stream, undefined, await method(m.bytes(3) ?? empty, stream.isUnary ? undefined : stream));
    } catch (error) {
      await this.#answer(stream, error);
    }
  }

  /** Ends a stream of the peer's, after what was sent on it. */
  async #answer(stream, error, payload = empty) {
    if (!error) await stream.sent;
    if (stream.isOver) return;
    if (!stream.isUnary && !error) {
      this.frame(stream.id, Type.data, 5, empty);
      return stream.finish();
    }
    const answer = error ? encode([1, encodeStatus(error)]) : payload.length > 0 ? encode([2, payload]) : empty;
    if (answer.length <= freeAnswer) {
      this.frame(stream.id, Type.response, 0, answer);
      return stream.finish(error);
    }
    const send = () => {
      if (stream.isOver) return;
      this.message(stream.id, Type.response, 0, answer, 0);
      stream.finish();
    };
    await this.#pay(costOf(answer.length), send).catch(() => {}); // the connection has ended
  }

  #want(id, flags, n, stream) {
    if (id === 0) {
      this.#wanted = n;
      return this.#consume(0);
    }
    if (!stream) return;
    stream.wanted = n;
    stream.wantsEnd = (flags & 1) !== 0;
    this.grant();
  }

  #goodbye(last) {
    this.#closing = true;
    this.#tell.draining();
    for (const s of [...this.#streams.values()]) {
      if (s.isOwn && s.id > last) s.finish(new StatusError(14, "ttrpc: the peer is shutting down"));
    }
    this.#leave();
  }

  /** Ends a connection that drains and has no stream. */
  #leave() {
    if (this.#closing && this.#streams.size === 0) this.fail(new StatusError(14, "ttrpc: the connection was closed in order"));
  }

  /** Leaves in order: opens and serves nothing more, and ends with the last stream. */
  shutdown() {
    this.frame(0, Type.goodbye, 0, uint32(this.#lastPeer));
    this.#closing = true;
    this.#tell.draining();
    this.#leave();
    return this.closed;
  }

  /** Ends the connection at once. */
  close() {
    this.fail(new StatusError(1, "ttrpc: closed"));
  }

  /** Ends the connection for a reason, which all that waits gets. */
  fail(error) {
    if (this.error) return;
    this.error = error;
    clearTimeout(this.#timer);
    this.#socket.close();
    for (const s of [...this.#streams.values()]) s.finish(error);
    this.#wake();
    this.agreed.catch(() => {}); // perhaps nobody waits
    this.#tell.agreed.reject(error);
    this.#tell.draining();
    this.#tell.closed(error);
  }
}
