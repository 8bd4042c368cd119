/** The beginning of a stream, which tells whether the whole fits into one part. */
import { onAbort } from "../base/abort.js";
import { readInTurn, type ChunkReader } from "../base/body.js";
import { concat } from "../base/bytes.js";
import type { Bytes } from "../types.js";

/** A stream of which more than one part has been read. */
export interface BegunStream {
  /** Its chunks are valid until the next read. */
  reader: ChunkReader;
  /** The bytes of the first part, which they fill. */
  first: Uint8Array;
  /** The bytes that were read beyond the first part. */
  rest: Uint8Array;
}

/** Up to this size a body is collected as chunks, and from here on in the buffer of a part: chunks would take twice the memory. */
const MAX_CHUNKED_BYTES = 1 << 18;

/**
 * Reads a stream to its end, and returns its bytes; or until there is more than one part.
 *
 * @throws TypeError for a stream of anything but bytes; the stream's own error; the signal's reason
 */
export async function readFirstPart(
  body: ReadableStream<Uint8Array>,
  partSize: number,
  signal: AbortSignal | undefined,
): Promise<Bytes | BegunStream> {
  const reader = readInTurn(body as ReadableStream<Bytes>);
  const leave = onAbort(signal, () => void reader.cancel(signal?.reason).catch(() => {}));
  const gathered = new GatheredBytes(partSize);
  try {
    for (;;) {
      const chunk = await readChunk(reader);
      signal?.throwIfAborted();
      if (chunk === undefined) return gathered.all();
      const rest = gathered.add(chunk);
      if (rest !== undefined) return { reader, first: gathered.all(), rest };
    }
  } catch (error) {
    void reader.cancel(error).catch(() => {});
    throw error;
  } finally {
    leave();
  }
}

/** Reads the next bytes of a stream; undefined at the end. */
export async function readChunk(reader: ChunkReader): Promise<Uint8Array | undefined> {
  const { done, value } = await reader.read();
  if (!done && !(value instanceof Uint8Array)) throw new TypeError("a stream must yield Uint8Array");
  return value;
}

/** Bytes of a body, up to one part. */
class GatheredBytes {
  readonly #partSize: number;
  readonly #chunks: Uint8Array[] = [];
  #part: Bytes | undefined;
  #size = 0;

  constructor(partSize: number) {
    this.#partSize = partSize;
  }

  /** Adds a chunk. Returns the bytes that no longer fit, if any. */
  add(chunk: Uint8Array): Uint8Array | undefined {
    if (this.#part !== undefined) return this.#fill(this.#part, chunk);
    this.#chunks.push(chunk);
    this.#size += chunk.byteLength;
    if (this.#size <= MAX_CHUNKED_BYTES) {
      // The next read may use the buffer of this chunk again.
      this.#chunks[this.#chunks.length - 1] = chunk.slice();
      return undefined;
    }
    const part = (this.#part = new Uint8Array(this.#partSize));
    this.#size = 0;
    let rest: Uint8Array | undefined;
    // Only the last one can be larger than the rest of the part.
    for (const gathered of this.#chunks.splice(0)) rest = this.#fill(part, gathered);
    return rest;
  }

  all(): Bytes {
    return this.#part === undefined ? concat(this.#chunks) : this.#part.subarray(0, this.#size);
  }

  #fill(part: Bytes, chunk: Uint8Array): Uint8Array | undefined {
    const fitting = chunk.subarray(0, this.#partSize - this.#size);
    part.set(fitting, this.#size);
    this.#size += fitting.byteLength;
    return fitting.byteLength < chunk.byteLength ? chunk.subarray(fitting.byteLength) : undefined;
  }
}
