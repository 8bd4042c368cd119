/**
 * gzip by fflate, where there is no `node:zlib`. Loaded when first needed: see gzip.ts.
 *
 * fflate inflates, and leaves to its caller what makes gzip safe: checksums, sizes, what follows the last member, and
 * limits. `GzipReader` adds them.
 */
// The build without worker threads of Node, which every runtime can load.
import { type FlateError, FlateErrorCode, Gunzip, Gzip, gzipSync } from "fflate/browser";
import { tooLarge } from "../base/body.js";
import { concat } from "../base/bytes.js";
import type { Bytes } from "../types.js";
import { damage, LEVEL, streamDamage } from "./damage.js";

// Without a time in the header, so that equal bytes in give equal bytes out.
const OPTIONS = { level: LEVEL, mtime: 0 } as const;
/** Compressed bytes that are inflated at a time. Their output, at most 4 MiB, is all that a stream holds back. */
const SLICE = 4_096;
/** DEFLATE turns no byte into more than these. */
const MAX_RATIO = 1_032;
/** Near a limit, slices shrink to this: 64 KiB of output, half of what the decoder works with anyway. */
const MIN_SLICE = 64;
/** Plain bytes that are compressed at a time. */
const GZIP_SLICE = 65_536;
/** No header of a real program comes near. */
const MAX_HEADER = 262_144;
const TRAILER = 8;
/** The header of a member without content, which marks the end of the input. */
const END_MARK = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff);

/** Compresses a whole value. */
export function gzipFflate(data: Bytes): Bytes {
  return gzipSync(data, OPTIONS) as Bytes;
}

/**
 * Decompresses a whole value, of any number of members. Beyond `maxBytes`, no output is allocated but the decoder's working
 * memory, about 300 KiB.
 */
export function gunzipFflate(data: Bytes, maxBytes: number): Bytes {
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

/** Compresses a stream. */
export function gzipStreamFflate(source: ReadableStream<Bytes>): ReadableStream<Bytes> {
  return through(source, GZIP_SLICE, (emit) => {
    const gzip = new Gzip(OPTIONS, (chunk) => emit(chunk as Bytes));
    return { push: (slice) => gzip.push(slice), end: () => gzip.push(new Uint8Array(0), true) };
  });
}

/** Decompresses a stream of any number of members. */
export function gunzipStreamFflate(source: ReadableStream<Bytes>): ReadableStream<Bytes> {
  return through(source, SLICE, (emit) => new GzipReader(emit));
}

interface Engine {
  push(slice: Bytes): void;
  end(): void;
}

/**
 * A stream through an engine that works at once. It is given a slice of its source only when all that it made of the slices
 * before has been read. The source's errors pass unchanged; cancelling cancels the source.
 */
function through(
  source: ReadableStream<Bytes>,
  sliceSize: number,
  start: (emit: (chunk: Bytes) => void) => Engine,
): ReadableStream<Bytes> {
  const reader = source.getReader();
  const ready: Bytes[] = [];
  const engine = start((chunk) => {
    if (chunk.byteLength > 0) ready.push(chunk);
  });
  let input: Bytes = new Uint8Array(0);
  let ended = false;
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        for (;;) {
          const chunk = ready.shift();
          if (chunk !== undefined) return controller.enqueue(chunk);
          if (ended) return controller.close();
          if (input.byteLength === 0) {
            const { done, value } = await reader.read();
            if (done) ended = true;
            else input = value;
          }
          const slice = input.subarray(0, sliceSize);
          input = input.subarray(sliceSize);
          try {
            if (ended) engine.end();
            else if (slice.byteLength > 0) engine.push(slice);
          } catch (error) {
            const failure = streamDamage(error);
            reader.cancel(failure).catch(() => {});
            throw failure;
          }
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
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
      // What fflate throws has a number as its code.
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
    this.push(END_MARK);
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

const CRC_TABLE = /* @__PURE__ */ Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/** Continues the CRC-32 of RFC 1952 with more bytes. */
function crc32(bytes: Uint8Array, previous: number): number {
  let crc = ~previous;
  for (let i = 0; i < bytes.length; i++) crc = CRC_TABLE[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return ~crc;
}
