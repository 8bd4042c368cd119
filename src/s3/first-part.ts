/** The beginning of a stream, which tells whether it fits into one part. */
import { onAbort } from "../base/abort.js";
import { concat } from "../base/bytes.js";
import type { Bytes } from "../types.js";

/** A stream of which more than a part has been read. */
export interface Begun {
  reader: ReadableStreamDefaultReader<Uint8Array>;
  /** A part, full. */
  first: Uint8Array;
  /** What was read beyond it. */
  rest: Uint8Array;
}

/** A body is collected in chunks up to here, and from here on in the buffer of a part: chunks that are kept cost twice. */
const FEW = 1 << 18;

/** Reads until the end, or until there is more than one part. */
export async function begin(
  body: ReadableStream<Uint8Array>,
  partSize: number,
  signal: AbortSignal | undefined,
): Promise<Bytes | Begun> {
  const reader = body.getReader();
  const leave = onAbort(signal, () => void reader.cancel(signal?.reason).catch(() => {}));
  try {
    const read: Uint8Array[] = [];
    let first: Bytes | undefined;
    let size = 0;
    for (;;) {
      const { done, value } = await reader.read();
      signal?.throwIfAborted();
      if (done) return first === undefined ? concat(read) : first.subarray(0, size);
      if (!(value instanceof Uint8Array)) throw new TypeError("a stream must yield Uint8Array");
      read.push(value);
      if (first === undefined && size + value.byteLength > FEW) {
        first = new Uint8Array(partSize);
        size = 0;
      }
      if (first === undefined) {
        size += value.byteLength;
        continue;
      }
      for (const chunk of read.splice(0)) {
        const fits = chunk.subarray(0, partSize - size);
        first.set(fits, size);
        size += fits.byteLength;
        if (fits.byteLength < chunk.byteLength) return { reader, first, rest: chunk.subarray(fits.byteLength) };
      }
    }
  } catch (error) {
    void reader.cancel(error).catch(() => {});
    throw error;
  } finally {
    leave();
  }
}
