// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

/**
 * Channels between a page and a Go program with package libchan, whose codec is libchan.JSON:
 *
 *     const session = await dial("wss://server.example/chat");
 *     const requests = session.open("chat");
 *     const [events, mine] = channel();
 *     await requests.send({ Name: "Ada", Events: events }); // the server has that end now
 *     for await (const event of mine) console.log(event);
 *
 * Messages are what JSON has, and ends of channels at any depth. Whoever sends an end has given
 * it away. PROTOCOL.md has the words that are used here.
 */
import { connect, StatusError } from "./ttrpc.js";
import { decode, decodeStatus, decodeText, encode, encodeStatus, encodeText } from "./wire.js";

export { StatusError };

const service = "libchan.v1.Session";
const refKey = "$libchan";
const maxRefs = 1000;
const maxBacklog = 1000;
const buffered = 16; // messages that wait in a channel without a capacity

const dropped = () => new StatusError(10, "libchan: the other end was dropped");
const closed = () => new StatusError(9, "libchan: the channel is closed");
const gone = () => new StatusError(9, "libchan: the channel's end was given away");

/** A channel's messages, between its two sides, each of which is a handle or beyond a session. */
class Core {
  #queue = [];
  #changed = []; // who waits for a change
  #untaken;

  constructor(capacity, untaken = 0) {
    this.capacity = capacity; // -1 for none
    this.#untaken = untaken; // with those that were sent before this side got the sending end
    this.end = undefined; // {error} when the sender has ended
    this.stopped = undefined; // why the receiver takes no more
    this.onStop = () => {};
    this.onEndTaken = () => {};
    this.onTaken = () => {}; // of what was sent here
  }

  /** How many messages count for the capacity. */
  get untaken() {
    return this.capacity < 0 ? 0 : this.#untaken;
  }

  /** Takes note that one was taken that does not wait here. */
  tookAhead() {
    this.#untaken--;
    this.onTaken();
    this.#change();
  }

  /** Adds a message, which tells taken when it was. */
  put(message, taken = () => this.onTaken()) {
    if (this.stopped) throw this.stopped;
    if (this.end) throw closed();
    this.#untaken++;
    this.#queue.push({
      message,
      taken: () => {
        this.#untaken--;
        taken();
        this.#change();
      },
    });
    this.#change();
  }

  /** Waits until Send may return, or until there is room for what a peer sends. */
  async room(isSend) {
    const isFull = () => (isSend && this.capacity >= 0 ? this.#untaken > this.capacity : this.#queue.length >= buffered);
    while (isFull() && !this.stopped) await this.#change1();
    if (this.stopped && isSend) throw this.stopped;
  }

  /** Waits for the next message, and returns undefined at the end. */
  async take() {
    for (;;) {
      if (this.stopped) throw this.stopped;
      const first = this.#queue.shift();
      if (first) {
        this.#change();
        return first;
      }
      if (this.end) {
        this.onEndTaken();
        if (this.end.error) throw this.end.error;
        return undefined;
      }
      await this.#change1();
    }
  }

  /** Ends the channel: what was sent before can be received. */
  close(error) {
    if (this.end) return;
    this.end = { error };
    this.#change();
  }

  /** Has no more be received. */
  stop(cause) {
    if (this.stopped) return;
    this.stopped = cause;
    for (const { message } of this.#queue.splice(0)) message.ends.forEach((e) => e.drop());
    this.onStop(cause);
    this.#change();
  }

  #change() {
    for (const wake of this.#changed.splice(0)) wake();
  }

  #change1() {
    return new Promise((resolve) => this.#changed.push(resolve));
  }
}

/** An end of a channel, as messages carry it. */
class End {
  constructor(core, sends, start = () => {}, release = () => {}) {
    Object.assign(this, { core, sends, start, release });
  }

  /** Lets go of it. */
  drop(error = dropped()) {
    this.release();
    this.sends ? this.core.close(error) : this.core.stop(error);
  }
}

class Handle {
  #end;
  constructor(end) {
    this.#end = end;
  }

  /** Returns the end, unless it was given away. */
  get end() {
    if (!this.#end) throw gone();
    return this.#end;
  }

  /** Takes the end out of the handle. */
  static give(handle) {
    const end = handle.end;
    handle.#end = undefined;
    return end;
  }
}

/** The sending end of a channel. */
export class Sender extends Handle {
  /** Sends a message. The promise resolves when there was room for it, or it was received. */
  async send(value) {
    const { core } = this.end;
    if (core.stopped) throw core.stopped;
    if (core.end) throw closed();
    core.put(encodeValue(value, this));
    await core.room(true);
  }

  /** Ends the channel, after all that was sent. An error is what its receiver gets then. */
  close(error) {
    this.end.core.close(error);
    this.end.start();
  }
}

/** The receiving end of a channel, which can be iterated over. */
export class Receiver extends Handle {
  /** Returns {value}, or {done: true} at the end. It rejects with the sender's error. */
  async receive() {
    const taken = await this.end.core.take();
    if (!taken) return { value: undefined, done: true };
    const value = () => decodeValue(taken.message);
    try {
      return { value: value(), done: false };
    } finally {
      taken.taken();
    }
  }

  /** Takes no more, and lets the sender know why. */
  cancel(cause = new StatusError(1, "libchan: the receiver takes no more")) {
    this.end.core.stop(cause);
  }

  [Symbol.asyncIterator]() {
    return { next: () => this.receive(), return: async () => (this.cancel(), { value: undefined, done: true }) };
  }
}

/**
 * Makes a channel. With a capacity, send waits while more messages than that are not received;
 * with 0 until its own is.
 *
 * @returns {[Sender, Receiver]}
 */
export function channel(capacity = -1) {
  const core = new Core(capacity);
  return [new Sender(new End(core, true)), new Receiver(new End(core, false))];
}

/** Encodes a value, with the ends in it. They are given away if that succeeds. */
function encodeValue(value, carrier) {
  const handles = [];
  const walk = (v, path) => {
    if (v instanceof Handle) {
      v.end; // throws if it was given away
      if (v === carrier || handles.includes(v)) throw new TypeError(`libchan: ${path} is an end that cannot be sent here`);
      if (handles.length === maxRefs) throw new TypeError(`libchan: a message with more than ${maxRefs} ends`);
      return { [refKey]: handles.push(v) - 1 };
    }
    if (typeof v === "function" || typeof v === "symbol" || typeof v === "bigint") throw new TypeError(`libchan: ${path} is a ${typeof v}`);
    if (v instanceof Uint8Array) return btoa(Array.from(v, (c) => String.fromCharCode(c)).join(""));
    if (Array.isArray(v)) return v.map((e, i) => walk(e, `${path}[${i}]`));
    if (v === null || typeof v !== "object" || typeof v.toJSON === "function") return v;
    return Object.fromEntries(Object.entries(v).map(([k, e]) => [isEscaped(k) ? `$${k}` : k, walk(e, `${path}.${k}`)]));
  };
  const text = JSON.stringify(walk(value, "message"));
  if (text === undefined) throw new TypeError("libchan: message is undefined");
  return { codec: "json", body: encodeText(text), ends: handles.map(Handle.give) };
}

const isEscaped = (key) => /^\$+libchan$/.test(key);

/** Decodes a message, and claims the ends in it. Those that nothing refers to are let go of. */
function decodeValue({ codec, body, ends }) {
  const used = new Set();
  const walk = (v) => {
    if (Array.isArray(v)) return v.map(walk);
    if (v === null || typeof v !== "object") return v;
    if (refKey in v) {
      const i = v[refKey];
      if (Object.keys(v).length !== 1 || !ends[i] || used.has(i)) throw new Error("libchan: a message with a bad reference");
      used.add(i);
      return ends[i].sends ? new Sender(ends[i]) : new Receiver(ends[i]);
    }
    return Object.fromEntries(Object.entries(v).map(([k, e]) => [isEscaped(k) ? k.slice(1) : k, walk(e)]));
  };
  try {
    if (codec !== "json") throw new Error(`libchan: a message in the codec ${codec}; give the other side libchan.WithCodec(libchan.JSON)`);
    const value = walk(JSON.parse(decodeText(body)));
    used.forEach((i) => ends[i].start());
    return value;
  } catch (error) {
    used.clear();
    throw error;
  } finally {
    ends.forEach((e, i) => used.has(i) || e.drop());
  }
}

/**
 * Connects to a server with libchan, and begins a session.
 *
 * @param {string|WebSocket} socket a URL, or a WebSocket that is new
 * @param {object} [options] those of ttrpc.js's connect, and
 * @param {function(string)} [options.names] throws for names of channels that are not wanted
 * @returns {Promise<Session>}
 */
export async function dial(socket, options = {}) {
  const session = new Session(options.names ?? (() => {}));
  const services = { ...options.services, [service]: session.methods };
  const connection = await connect(socket, { ...options, services });
  try {
    await session.begin(connection);
  } catch (error) {
    connection.close();
    throw error;
  }
  return session;
}

/** The channels on a connection. See dial. */
export class Session {
  #names;
  #control;
  #far = 0; // what the peer calls the session
  #codec = ""; // of the peer's messages that name none
  #last = -1; // id
  #table = new Map(); // by id: what is announced or has a stream
  #opened = 0;
  #accepted = 0; // of those opened
  #taken = 0; // new channels of the peer's that were accepted
  #streams = { opened: 0, handled: 0 };
  #isDraining = false;
  #backlog = [];
  #waiting = []; // who waits for anything of the session's
  #tellClosed;

  constructor(names) {
    this.#names = names;
    this.error = undefined;
    /** Resolves with the reason when the session has ended. */
    this.closed = new Promise((resolve) => (this.#tellClosed = resolve));
    this.methods = { Meet: (b) => this.#meet(b), Open: (b, stream) => this.#open(b, stream) };
  }

  async begin(connection) {
    this.connection = connection;
    const hello = encode([1, 1], [2, 1], [4, "json"]);
    this.#control = await connection.open(service, "Control", encode([1, hello]));
    connection.closed.then((error) => this.#end(error));
    connection.draining.then(() => this.#drain());
    const first = await this.#control.receive();
    const answer = decode(decode(first ?? new Uint8Array()).bytes(1) ?? new Uint8Array());
    if (answer.number(3) !== 1 || !this.#far) throw new StatusError(13, "libchan: no session: a malformed answer");
    this.#listen();
  }

  #meet(b) {
    const hello = decode(b);
    if (hello.number(3) !== 1) throw new StatusError(5, `libchan: no session is called ${hello.number(3)}`);
    if (this.#far) throw new StatusError(6, "libchan: the session has begun");
    this.#far = hello.number(2);
    this.#codec = hello.text(4);
  }

  /** Opens a channel to the peer, which gets it by WaitReceiveChannel or Accept. */
  open(name = "", capacity = -1) {
    if (this.error) throw this.error;
    if (this.#isDraining) throw new StatusError(14, "libchan: the session is draining");
    const core = new Core(capacity);
    const far = new Far(this, core, this.#newID());
    const open = async () => {
      while (this.#opened - this.#accepted >= maxBacklog && !this.error) await this.#wait();
      this.#opened++;
      return this.#stream(far, [4, name], [5, capacity + 1]);
    };
    far.sendBy(open);
    return new Sender(new End(core, true));
  }

  /** Waits for the next channel that the peer opens: {name, channel}. */
  async accept() {
    while (this.#backlog.length === 0) {
      if (this.error) throw this.error;
      await this.#wait();
    }
    if (++this.#taken % 100 === 0) this.#tell([4, this.#taken]);
    return this.#backlog.shift();
  }

  /** Ends the session and its connection. What was sent and not received may be lost. */
  async close() {
    await this.#control?.close();
    this.connection.shutdown();
    this.#end(new StatusError(1, "libchan: the session is closed"));
    this.connection.close();
  }

  #newID() {
    return (this.#last += 2);
  }

  /** Opens the stream of a channel. */
  async #stream(far, ...more) {
    if (this.error) throw this.error;
    this.#table.set(far.id, far);
    this.#streams.opened++;
    const refused = () => {
      this.#streams.opened--; // for the peer never counts it
      if (far.id % 2 === 0) this.#tell([3, far.id]); // which nobody has attached
      this.forget(far.id);
    };
    try {
      const stream = await this.connection.open(service, "Open", encode([1, this.#far], [2, far.id], ...more));
      stream.done.then((error) => error && refused());
      return stream;
    } catch (error) {
      refused();
      throw error;
    }
  }

  /** Announces an end to the peer, and returns its Ref. */
  announce(end) {
    const far = new Far(this, end.core, this.#newID());
    far.announced = end;
    far.isInbound = end.sends;
    if (this.error) far.lost(this.error);
    else this.#table.set(far.id, far);
    end.start();
    const all = end.sends ? end.core.untaken : 0;
    const untaken = Math.min(all, Math.max(1, end.core.capacity)); // a Send that waits may be over
    let over = all - untaken;
    if (all > 0) end.core.onTaken = () => (over > 0 ? over-- : far.took(0));
    return { id: far.id, ref: encode([1, far.id], [2, end.sends], [3, end.core.capacity + 1], [8, untaken]) };
  }

  /** Makes a message of what has come. */
  parse(b) {
    const m = decode(b);
    const end = m.bytes(4);
    if (end) return { error: decodeStatus(end) ?? new StatusError(2, "") };
    const ends = m.all(3).map((r) => this.#offered(decode(r)));
    if (ends.length > maxRefs) throw new StatusError(3, `libchan: more than ${maxRefs} references`);
    return { message: { codec: m.text(2) || this.#codec, body: m.bytes(1) ?? new Uint8Array(), ends }, isLast: m.number(5) > 0 };
  }

  /** Returns the end that a Ref of the peer's offers. */
  #offered(ref) {
    const [id, sends, capacity] = [ref.number(1), ref.number(2) > 0, ref.number(3)];
    if (id === 0 || id % 2 !== 0 || capacity > 2 ** 31) throw new StatusError(3, `libchan: a message announces a channel with the id ${id}`);
    const untaken = ref.number(8);
    if (untaken > 0 && (!sends || capacity === 0 || untaken > Math.max(1, capacity - 1))) throw new StatusError(3, `libchan: a message announces a channel with ${untaken} messages in it`);
    const core = new Core(capacity - 1, untaken);
    let isClaimed = false;
    const far = new Far(this, core, id, untaken);
    far.isInbound = !sends;
    const start = () => {
      if (isClaimed) return;
      isClaimed = true;
      const open = async () => this.#stream(far, [3, true]);
      sends ? far.sendBy(open) : far.receiveBy(open);
    };
    const release = () => {
      if (!isClaimed) this.#tell([3, id]);
      isClaimed = true;
    };
    return new End(core, sends, start, release);
  }

  /** Handles the stream that the peer has opened for a channel. */
  async #open(b, stream) {
    const o = decode(b);
    const [session, id, first] = [o.number(1), o.number(2), o.bytes(6)];
    if (session !== 1 || !stream) throw new StatusError(5, `libchan: no session is called ${session}`);
    if (o.number(3) > 0) {
      const far = this.#table.get(id);
      const end = far?.announced;
      if (!end) throw new StatusError(5, `libchan: no channel with the id ${id} is announced`);
      far.announced = undefined;
      this.#streams.handled++;
      return end.sends ? far.receive(stream, first, false) : far.send(stream);
    }
    if (id === 0 || id % 2 !== 0 || this.#table.has(id)) throw new StatusError(3, `libchan: a new channel with the id ${id}`);
    if (this.#backlog.length >= maxBacklog) throw new StatusError(8, `libchan: ${maxBacklog} new channels wait to be accepted`);
    this.#names(o.text(4));
    const core = new Core(o.number(5) - 1);
    const far = new Far(this, core, id);
    far.isInbound = true;
    this.#table.set(id, far);
    this.#streams.handled++;
    this.#backlog.push({ name: o.text(4), channel: new Receiver(new End(core, false)) });
    this.#change();
    return far.receive(stream, first, false);
  }

  /** Takes what the peer tells of channels. */
  async #listen() {
    try {
      for (let b; (b = await this.#control.receive()); ) {
        const m = decode(b);
        if (m.bytes(1)) throw new StatusError(3, "libchan: a second Hello");
        for (const r of m.all(2).map(decode)) {
          const cause = r.bytes(4);
          this.#table.get(r.number(1))?.reported(r.number(2), r.number(3) > 0, cause && decodeStatus(cause));
        }
        for (const id of m.all(3)) this.lose(id);
        this.#accepted = Math.max(this.#accepted, m.number(4));
        if (m.number(5)) this.#drain();
        this.#change();
      }
      this.#end(new StatusError(14, "libchan: the session has ended: the peer has closed it"));
    } catch (error) {
      this.#end(new StatusError(14, `libchan: the session has ended: ${error.message}`));
    }
    this.#control.close();
  }

  /** Takes note that nobody will attach to what was announced. */
  lose(id) {
    const far = this.#table.get(id);
    if (!far?.announced) return;
    this.forget(id);
    far.announced.drop();
  }

  /** Tells the peer of a channel. */
  report(id, taken, isFinal, cause) {
    this.#tell([2, encode([1, id], [2, taken], [3, isFinal], [4, cause && encodeStatus(cause)])]);
  }

  #tell(...fields) {
    if (!this.error) this.#control.send(encode(...fields)).catch((error) => this.#end(error));
  }

  forget(id) {
    this.#table.delete(id);
    this.#idle();
  }

  #drain() {
    if (this.#isDraining || this.error) return;
    this.#isDraining = true;
    this.#tell([5, true]);
    this.#idle();
  }

  /** Tells a peer that drains that there are no more channels here. */
  #idle() {
    if (!this.#isDraining || this.#table.size > 0 || this.#backlog.length > 0) return;
    this.#tell([6, encode([1, this.#streams.opened], [2, this.#streams.handled])]);
  }

  #end(error) {
    if (this.error) return;
    this.error = error;
    for (const far of this.#table.values()) far.lost(error);
    this.#table.clear();
    this.#change();
    this.#tellClosed(error);
  }

  #change() {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #wait() {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** The side of a channel that is beyond a session. */
class Far {
  #session;
  #core;
  #sent = []; // messages that the peer has not taken
  #taken = 0; // that the peer has taken of ours, or we of the peer's
  #told = 0;
  #refs = 0; // in messages, since the last report
  #hadRefs = false;
  #isFinal = false;

  constructor(session, core, id, untaken = 0) {
    for (let i = 0; i < untaken; i++) this.#sent.push({ taken: () => core.tookAhead(), ids: [] });
    this.#session = session;
    this.#core = core;
    this.id = id;
    this.announced = undefined; // the End that the peer may attach to
    this.isInbound = false; // whether the peer sends
  }

  /** Sends what comes by a stream that is opened when something does. */
  async sendBy(open) {
    const first = await this.#core.take().catch((error) => ({ error }));
    try {
      const stream = await open().catch((error) => {
        first?.message?.ends.forEach((e) => e.drop(error));
        throw error;
      });
      await this.send(stream, { next: first });
      await stream.close();
    } catch (error) {
      this.#core.stop(error);
    }
  }

  /** Sends what comes until the end. */
  async send(stream, ahead) {
    stream.done.then((error) => {
      if (!error) return; // the report is to come
      if (!this.#core.end) this.#core.stop(error); // the channel was refused
      setTimeout(() => this.#lose()); // when a session that has ended has told why
    });
    const next = () => this.#core.take().catch((error) => ({ error }));
    for (let item = ahead ? ahead.next : await next(); item; item = await next()) {
      if (item.error) {
        if (this.#core.stopped) break; // the peer takes no more
        await stream.send(encode([4, encodeStatus(item.error)]));
        break;
      }
      const refs = item.message.ends.map((e) => this.#session.announce(e));
      this.#hadRefs ||= refs.length > 0;
      this.#sent.push({ taken: item.taken, ids: refs.map((r) => r.id) });
      await stream.send(encode([1, item.message.body], [2, item.message.codec === "json" ? "" : item.message.codec], [3, refs.map((r) => r.ref)]));
    }
    if (!this.#hadRefs && this.#core.capacity < 0) this.#session.forget(this.id);
  }

  /** Takes a report of the peer's. */
  reported(taken, isFinal, cause) {
    while (this.#taken < taken && this.#sent.length > 0) {
      this.#taken++;
      this.#sent.shift().taken();
    }
    if (!isFinal) return;
    this.#lose();
    if (cause) this.#core.stop(cause);
  }

  /** Lets go of what was in messages that are certainly not taken. */
  #lose() {
    for (const { ids } of this.#sent.splice(0)) ids.forEach((id) => this.#session.lose(id));
    this.#session.forget(this.id);
  }

  /** Receives by a stream of one's own. */
  async receiveBy(open) {
    try {
      await this.receive(await open());
    } catch (error) {
      this.#core.close(error);
    }
  }

  /** Receives until the peer's end. */
  async receive(stream, first) {
    const stopped = new Promise((resolve) => (this.#core.onStop = resolve));
    stopped.then((cause) => this.#final(cause));
    if (this.#taken > 0) this.#session.report(this.id, this.#taken, false); // before the peer had attached
    const all = this.#receiveAll(stream, first);
    all.catch(() => {});
    await Promise.race([stopped, all]);
  }

  async #receiveAll(stream, first) {
    const core = this.#core;
    const ended = new Promise((resolve) => (core.onEndTaken = resolve));
    try {
      for (let b = first ?? (await stream.receive()); b && !core.stopped; b = await stream.receive()) {
        const { message, error, isLast } = this.#session.parse(b);
        if (error) {
          core.close(error);
          break;
        }
        await core.room(false);
        if (!core.stopped) core.put(message, () => this.took(message.ends.length));
        if (isLast) break; // the stream is ours to end
      }
      core.close();
    } catch (error) {
      core.close(error);
    }
    await ended;
    if (core.capacity >= 0 || this.#hadRefs) this.#final();
    else this.#session.forget(this.id);
  }

  /** Takes note that a message of the peer's was taken. */
  took(refs) {
    this.#taken++;
    this.#refs += refs;
    this.#hadRefs ||= refs > 0;
    if (this.#core.capacity >= 0 || this.#taken - this.#told >= 1024 || this.#refs >= 250) {
      this.#session.report(this.id, this.#taken, false);
      [this.#told, this.#refs] = [this.#taken, 0];
    }
  }

  #final(cause) {
    if (this.#isFinal) return;
    this.#isFinal = true;
    this.#session.report(this.id, this.#taken, true, cause);
    this.#session.forget(this.id);
  }

  /** Ends with the session. */
  lost(error) {
    this.isInbound ? this.#core.close(error) : this.#core.stop(error);
  }
}
