// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// What stands on the wire: protobuf, as much as is needed of it, and frames.

const text = { encoder: new TextEncoder(), decoder: new TextDecoder("utf-8", { fatal: true }) };

export const encodeText = (s) => text.encoder.encode(s);
export const decodeText = (b) => text.decoder.decode(b);
export const empty = new Uint8Array(0);

/** Joins byte arrays. */
export function concat(...all) {
  const out = new Uint8Array(all.reduce((n, b) => n + b.length, 0));
  let at = 0;
  for (const b of all) {
    out.set(b, at);
    at += b.length;
  }
  return out;
}

/** Encodes a number of up to 2^53-1 as a varint. */
export function varint(n) {
  const out = [];
  for (; n > 127; n = Math.floor(n / 128)) out.push((n % 128) | 128);
  return Uint8Array.from([...out, n]);
}

/**
 * Encodes a message from [field, value] pairs. Numbers, booleans, strings, byte arrays and
 * lists of them are values; what is 0, false, "" or undefined is left out, but no byte array.
 */
export function encode(...pairs) {
  const out = [];
  for (const [field, value] of pairs) {
    for (const v of Array.isArray(value) ? value : [value]) {
      if (v instanceof Uint8Array || (typeof v === "string" && v !== "")) {
        const b = typeof v === "string" ? encodeText(v) : v;
        out.push(varint(field * 8 + 2), varint(b.length), b);
      } else if (v) {
        out.push(varint(field * 8), varint(Number(v)));
      }
    }
  }
  return concat(...out);
}

/**
 * Decodes a message into a map from field to the list of its values: numbers and byte arrays.
 * Fields of other kinds are skipped.
 */
export function decode(b) {
  const fields = new Map();
  let at = 0;
  const number = () => {
    let n = 0;
    for (let unit = 1; ; unit *= 128) {
      if (at >= b.length || unit > 2 ** 63) throw new Error("malformed protobuf");
      const c = b[at++];
      n += (c & 127) * unit;
      if (c < 128) return n;
    }
  };
  const bytes = (n) => {
    if (at + n > b.length) throw new Error("malformed protobuf");
    at += n;
    return b.subarray(at - n, at);
  };
  while (at < b.length) {
    const tag = number();
    const [field, kind] = [Math.floor(tag / 8), tag % 8];
    let value;
    if (kind === 0) value = number();
    else if (kind === 2) value = bytes(number());
    else if (kind === 1 || kind === 5) bytes(kind === 1 ? 8 : 4);
    else throw new Error("malformed protobuf");
    if (field === 0) throw new Error("malformed protobuf");
    if (value !== undefined) fields.set(field, [...(fields.get(field) ?? []), value]);
  }
  return {
    all: (field) => fields.get(field) ?? [],
    number: (field) => Number(fields.get(field)?.at(-1) ?? 0),
    bytes: (field) => {
      const v = fields.get(field)?.at(-1);
      return v instanceof Uint8Array ? v : undefined;
    },
    text: (field) => decodeText(fields.get(field)?.at(-1) ?? empty),
  };
}

/** An error with a status: code is one of gRPC's. */
export class StatusError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "StatusError";
    this.code = code;
  }
}

/** Encodes the google.rpc.Status of an error, with the beginning of its text. */
export function encodeStatus(error) {
  return encode([1, error?.code > 0 ? error.code : 2], [2, String(error?.message ?? error).slice(0, 500).toWellFormed?.() ?? "error"]);
}

/** Decodes a google.rpc.Status, and returns undefined for success. */
export function decodeStatus(b) {
  const m = decode(b);
  return m.number(1) === 0 ? undefined : new StatusError(m.number(1), m.text(2));
}

/** The types of frames. */
export const Type = {
  request: 0x01, response: 0x02, data: 0x03, part: 0x40, files: 0x41, cancel: 0x42,
  credit: 0x43, ping: 0x44, goodbye: 0x45, metadata: 0x46, want: 0x47, return: 0x48,
};

export function uint32(n) {
  const b = new Uint8Array(4);
  new DataView(b.buffer).setUint32(0, n);
  return b;
}

export const readUint32 = (b, at = 0) => new DataView(b.buffer, b.byteOffset).getUint32(at);

/** Encodes a frame. */
export const frame = (id, type, flags, data) => concat(uint32(data.length), uint32(id), Uint8Array.of(type, flags), data);

/** Cuts the frames out of a stream of bytes, which comes in pieces of any size. */
export class Frames {
  #pieces = [];
  #size = 0;
  #need = 10;

  /** Takes a piece, and yields the frames that are complete. */
  *add(piece) {
    this.#pieces.push(piece);
    this.#size += piece.length;
    while (this.#size >= this.#need) {
      const b = this.#pieces.length === 1 ? this.#pieces[0] : concat(...this.#pieces);
      const length = readUint32(b);
      this.#need = 10 + length;
      if (length > 4 << 20) throw new Error(`a frame of ${length} bytes`);
      const whole = b.length >= this.#need;
      const rest = whole ? b.subarray(this.#need) : b;
      this.#pieces = rest.length > 0 ? [rest] : [];
      this.#size = rest.length;
      if (!whole) return;
      const got = { id: readUint32(b, 4), type: b[8], flags: b[9], data: b.subarray(10, 10 + length) };
      this.#need = 10;
      yield got;
    }
  }
}
