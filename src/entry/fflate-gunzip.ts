/**
 * Inflates gzip by fflate, where there is no `node:zlib`. Loaded when first needed: see gzip.ts.
 *
 * fflate inflates, and leaves to its caller what makes gzip safe: checksums, sizes, what follows the last member, and
 * limits. `GzipReader` adds them.
 */
// The build without worker threads of Node, which every runtime can load.
import { type FlateError, FlateErrorCode, Gunzip, inflateSync } from "fflate/browser";
import { tooLarge } from "../base/body.js";
import { concat } from "../base/bytes.js";
import type { Bytes } from "../types.js";
import { damage } from "./damage.js";
import type { Direction, Engine } from "./gzip-stream.js";
import { crc32, HEADER, TRAILER } from "./members.js";

/** Compressed bytes that are inflated at a time. Their output, at most 4 MiB, is all that a stream holds back. */
const SLICE = 4_096;
/** DEFLATE turns no byte into more than these. */
const MAX_RATIO = 1_032;
/** Near a limit, slices shrink to this: 64 KiB of output, half of what the decoder works with anyway. */
const MIN_SLICE = 64;
/** Plain bytes up to which a value is inflated at once. */
const SMALL = 4_096;
/** No header of a real program comes near. */
const MAX_HEADER = 262_144;

/** Decompresses streams of any number of members. */
export const decompression: Direction = { sliceSize: SLICE, start: (emit) => new GzipReader(emit) };

/**
 * Decompresses a whole value, of any number of members. Beyond `maxBytes`, no output is allocated but the decoder's working
 * memory, about 300 KiB.
 */
export function gunzipFflate(data: Bytes, maxBytes: number): Bytes {
  const small = inflateSmall(data, maxBytes);
  if (small !== undefined) return small;
  const chunks: Bytes[] = [];
  let size = 0;
  const reader = new GzipReader((chunk) => {
    size += chunk.byteLength;
    if (size > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  });
  for (let at = 0; at < data.byteLength;) {
    const slice = Math.min(SLICE, Math.max(MIN_SLICE, Math.floor((maxBytes - size) / MAX_RATIO)));
    reader.push(data.subarray(at, at + slice));
    at += slice;
  }
  reader.end();
  const [only] = chunks;
  return only !== undefined && chunks.length === 1 ? only : concat(chunks);
}

/**
 * The content of a single small member without extras, as our own writers make them; undefined for all else, damaged data
 * included. The decoder of streams needs 200 KiB of memory, which takes longer than to inflate so little.
 */
function inflateSmall(data: Bytes, maxBytes: number): Bytes | undefined {
  const end = data.byteLength - TRAILER;
  if (end < 12 || data[0] !== 0x1f || data[1] !== 0x8b || data[2] !== 8 || data[3] !== 0) return undefined;
  const trailer = new DataView(data.buffer, data.byteOffset + end, TRAILER);
  const crc = trailer.getInt32(0, true);
  const size = trailer.getUint32(4, true);
  if (size > Math.min(SMALL, maxBytes)) return undefined;
  // fflate passes over what follows the DEFLATE data. With the checksum a second time, the data may have ended there.
  for (let at = data.indexOf(data[end]!, 10); at < end; at = data.indexOf(data[end]!, at + 1)) {
    if (data[at + 1] === data[end + 1] && data[at + 2] === data[end + 2] && data[at + 3] === data[end + 3])
      return undefined;
  }
  try {
    // With one byte to spare, as fflate writes no further than there is room, and says nothing.
    const plain = inflateSync(data.subarray(10, end), { out: new Uint8Array(size + 1) });
    return plain.byteLength === size && crc32(plain, 0) === crc ? (plain.slice() as Bytes) : undefined;
  } catch {
    return undefined;
  }
}

/** Reads gzip as RFC 1952 wants it read: checks the checksum and size of each member, and that nothing follows the last. */
class GzipReader implements Engine {
  readonly #gunzip: Gunzip;
  /** Compressed input, from the last 8 bytes before the slice that was inflated last: a trailer may begin there. */
  #recent: Bytes = new Uint8Array(0);
  /** Offset of `#recent` in the input. */
  #start = 0;
  /** Offset behind the last member that is known to have ended. fflate tells once it has the header of the next. */
  #end = -1;
  #hasBegun = false;
  #hasInflated = false;
  #crc = 0;
  #size = 0;

  constructor(emit: (chunk: Bytes) => void) {
    this.#gunzip = new Gunzip((chunk) => {
      if (!this.#hasBegun) this.#begin(0);
      this.#hasInflated = true;
      this.#crc = crc32(chunk, this.#crc);
      this.#size += chunk.byteLength;
      if (chunk.byteLength > 0) emit(chunk as Bytes);
    });
    this.#gunzip.onmember = (offset) => {
      this.#finish(offset);
      this.#begin(offset);
    };
  }

  push(slice: Bytes): void {
    this.#recent = concat([this.#recent, slice]);
    this.#hasInflated = false;
    try {
      this.#gunzip.push(slice);
    } catch (error) {
      // Only the errors of fflate have a number as their code.
      if (typeof (error as { code?: unknown }).code !== "number") throw error;
      const isHeader = (error as FlateError).code === FlateErrorCode.InvalidHeader;
      throw damage(isHeader && this.#hasBegun ? "data follows its end" : (error as Error).message, error);
    }
    if (this.#hasInflated) {
      const done = Math.max(0, this.#recent.byteLength - slice.byteLength - TRAILER);
      this.#recent = this.#recent.subarray(done);
      this.#start += done;
    } else if (this.#recent.byteLength > MAX_HEADER) {
      throw damage("a header has no end");
    }
  }

  end(): void {
    const total = this.#start + this.#recent.byteLength;
    // Behind the input, a header makes fflate tell whether the last member has ended.
    this.push(HEADER);
    if (this.#end !== total) throw damage("unexpected end of data");
  }

  #begin(offset: number): void {
    if ((this.#recent[offset - this.#start + 3]! & 0xe0) !== 0) throw damage("unknown header flags");
    this.#hasBegun = true;
    this.#crc = 0;
    this.#size = 0;
  }

  #finish(offset: number): void {
    const { buffer, byteOffset } = this.#recent;
    const trailer = new DataView(buffer, byteOffset + offset - this.#start - TRAILER, TRAILER);
    if (trailer.getInt32(0, true) !== this.#crc) throw damage("incorrect checksum");
    // The length of members beyond 4 GiB is written modulo 2^32.
    if (trailer.getUint32(4, true) !== this.#size >>> 0) throw damage("incorrect length");
    this.#end = offset;
  }
}
