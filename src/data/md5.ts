import { utf8 } from "../base/bytes.js";

// RFC 1321. WebCrypto has no MD5, and node:crypto refuses it under FIPS. MD5 only spreads keys: a SHA-256 beside it tells
// which function an entry belongs to, so a collision is a miss.
const SHIFTS = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21];
let constants: Int32Array | undefined;

/** Returns the MD5 of bytes, or of a text's UTF-8 bytes, in lower-case hexadecimal. */
export function md5(data: string | Uint8Array): string {
  const bytes = typeof data === "string" ? utf8(data) : data;
  // Math.sin is not the same to the last bit everywhere; the closest of these products to a whole number is 0.015 away.
  constants ??= Int32Array.from({ length: 64 }, (_, i) => Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32));
  const size = bytes.length;
  const tail = new Uint8Array(size % 64 < 56 ? 64 : 128);
  tail.set(bytes.subarray(size - (size % 64)));
  tail[size % 64] = 0x80;
  const end = new DataView(tail.buffer);
  end.setUint32(tail.length - 8, size * 8, true);
  end.setUint32(tail.length - 4, Math.floor(size / 2 ** 29), true);

  const state = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476);
  const body = new DataView(bytes.buffer, bytes.byteOffset, size);
  for (let at = 0; at + 64 <= size; at += 64) mix(state, body, at, constants);
  for (let at = 0; at < tail.length; at += 64) mix(state, end, at, constants);

  let hex = "";
  for (const byte of new Uint8Array(new Uint32Array(state).buffer)) hex += (byte < 16 ? "0" : "") + byte.toString(16);
  return hex;
}

function mix(state: Int32Array, block: DataView, at: number, k: Int32Array): void {
  let a = state[0] as number;
  let b = state[1] as number;
  let c = state[2] as number;
  let d = state[3] as number;
  for (let i = 0; i < 64; i++) {
    let f: number;
    let word = i;
    if (i < 16) f = (b & c) | (~b & d);
    else if (i < 32) {
      f = (d & b) | (~d & c);
      word = 5 * i + 1;
    } else if (i < 48) {
      f = b ^ c ^ d;
      word = 3 * i + 5;
    } else {
      f = c ^ (b | ~d);
      word = 7 * i;
    }
    const sum = (a + f + (k[i] as number) + block.getInt32(at + (word & 15) * 4, true)) | 0;
    const shift = SHIFTS[((i >> 4) << 2) | (i & 3)] as number;
    a = d;
    d = c;
    c = b;
    b = (b + ((sum << shift) | (sum >>> (32 - shift)))) | 0;
  }
  state[0] = (state[0] as number) + a;
  state[1] = (state[1] as number) + b;
  state[2] = (state[2] as number) + c;
  state[3] = (state[3] as number) + d;
}
