/** Compresses by fflate, where there is no `node:zlib`. Loaded when first needed: see gzip.ts. */
// The build without worker threads of Node, which every runtime can load.
import { Deflate, gzipSync } from "fflate/browser";
import { concat } from "../base/bytes.js";
import type { Bytes } from "../types.js";
import { LEVEL } from "./damage.js";
import type { Direction, Engine } from "./gzip-stream.js";
import { crc32, HEADER, TRAILER } from "./members.js";

// Without a time in the header, so that equal bytes in give equal bytes out.
const OPTIONS = { level: LEVEL, mtime: 0 } as const;
/** How far back DEFLATE refers, and the plain bytes that are compressed at a time. */
const WINDOW = 32_768;

/** Compresses streams. */
export const compression: Direction = { sliceSize: WINDOW, start: (emit) => new GzipWriter(emit) };

/** Compresses a whole value. */
export function gzipFflate(data: Bytes): Bytes {
  return gzipSync(data, OPTIONS) as Bytes;
}

/**
 * Writes gzip as it flows, and avoids a fault of fflate 0.8.3 (https://github.com/101arrowz/fflate/issues/260): until its
 * window is full, its streaming compressor takes the memory before the first byte for zeros that were written, and refers
 * to them, which no decompressor accepts. Such a reference begins at a zero byte of the first window. A first window
 * without any is safe; one that has some is stored as it is, and given to fflate as the window to begin with.
 */
class GzipWriter implements Engine {
  readonly #emit: (chunk: Bytes) => void;
  /** Until the first window is full. */
  #gathered: Bytes | undefined = new Uint8Array(0);
  #deflate: Deflate | undefined;
  #crc = 0;
  #size = 0;

  constructor(emit: (chunk: Bytes) => void) {
    this.#emit = emit;
  }

  push(slice: Bytes): void {
    this.#crc = crc32(slice, this.#crc);
    this.#size += slice.byteLength;
    let rest = slice;
    if (this.#gathered !== undefined) {
      const missing = WINDOW - this.#gathered.byteLength;
      this.#gathered = concat([this.#gathered, slice.subarray(0, missing)]);
      if (this.#gathered.byteLength < WINDOW) return;
      this.#deflate = this.#begin(this.#gathered);
      this.#gathered = undefined;
      rest = slice.subarray(missing);
    }
    this.#deflate!.push(rest);
  }

  end(): void {
    if (this.#gathered !== undefined) return this.#emit(gzipFflate(this.#gathered));
    this.#deflate!.push(new Uint8Array(0), true);
    const trailer = new DataView(new ArrayBuffer(TRAILER));
    trailer.setInt32(0, this.#crc, true);
    trailer.setUint32(4, this.#size >>> 0, true);
    this.#emit(new Uint8Array(trailer.buffer));
  }

  #begin(first: Bytes): Deflate {
    const ondata = (chunk: Uint8Array) => this.#emit(chunk as Bytes);
    this.#emit(HEADER.slice());
    if (!first.includes(0)) {
      const deflate = new Deflate({ level: LEVEL }, ondata);
      deflate.push(first);
      return deflate;
    }
    // A block of type 0 that is not the last, its length and the complement of that.
    this.#emit(concat([Uint8Array.of(0, WINDOW & 0xff, WINDOW >> 8, ~WINDOW & 0xff, (~WINDOW >> 8) & 0xff), first]));
    return new Deflate({ level: LEVEL, dictionary: first }, ondata);
  }
}
