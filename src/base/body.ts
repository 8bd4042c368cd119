/** Turns bodies into streams of bytes, and streams into bytes. */
import { concat, toBytes, utf8 } from "./bytes.js";
import { BucketCacheError } from "../errors.js";
import type { Body, Bytes } from "../types.js";
import { isBrowser } from "./runtime.js";

/** Returns a stream of these bytes, in one chunk. */
export function toStream(bytes: Bytes): ReadableStream<Bytes> {
  return new ReadableStream({
    start(controller) {
      if (bytes.byteLength > 0) controller.enqueue(bytes);
      controller.close();
    },
  });
}

/**
 * Reads a stream to its end into bytes that own their buffer.
 *
 * @throws BucketCacheError `ERR_TOO_LARGE` beyond `maxBytes`; the stream is cancelled then. The stream's own errors pass.
 */
export async function readAll(stream: ReadableStream<Uint8Array>, maxBytes: number): Promise<Bytes> {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.byteLength;
    if (size > maxBytes) {
      const error = tooLarge(maxBytes);
      reader.cancel(error).catch(() => {});
      throw error;
    }
    chunks.push(value);
  }
  const [only] = chunks;
  // A chunk may be a small view of a pooled buffer, which must not be kept alive by a cached value.
  if (only !== undefined && chunks.length === 1 && only.byteLength === only.buffer.byteLength) return toBytes(only);
  return concat(chunks);
}

/** The two methods of a stream's reader that all readers share. */
export type ChunkReader = Pick<ReadableStreamDefaultReader<Bytes>, "read" | "cancel">;

/** Size of the buffer that byte streams are read into. Bytes. */
const SCRATCH = 65_536;

/**
 * Reads a stream chunk by chunk. A chunk is valid until the next read: in a page, all chunks of a byte stream come in one
 * buffer, else each would wait for the garbage collector, some 40 MiB of them.
 */
export function readInTurn(stream: ReadableStream<Bytes>): ChunkReader {
  if (!isBrowser()) return stream.getReader();
  let reader: ReadableStreamBYOBReader;
  try {
    reader = stream.getReader({ mode: "byob" });
  } catch {
    return stream.getReader();
  }
  let scratch = new ArrayBuffer(SCRATCH);
  return {
    async read() {
      const { done, value } = await reader.read(new Uint8Array(scratch));
      if (done || value === undefined) return { done: true, value: undefined };
      scratch = value.buffer;
      return { done, value };
    },
    cancel: (reason) => reader.cancel(reason),
  };
}

/** Makes the error of every limit on decoded or received bytes. */
export function tooLarge(maxBytes: number): BucketCacheError {
  return new BucketCacheError(
    "ERR_TOO_LARGE",
    `more than ${maxBytes} bytes; raise the limit (maxValueBytes) or stream it`,
  );
}

/**
 * Returns any body as a stream of bytes, which reads its source only when it is read. Strings are encoded as UTF-8, also
 * where a surrogate pair is split between two of them. Cancelling the stream cancels its source, whose errors pass unchanged.
 *
 * @throws TypeError when it is no body, or was read before.
 */
export function bodyStream(body: Body): ReadableStream<Bytes> {
  const { next, end } = source(body);
  let half = "";
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        // A pull must enqueue or close: empty chunks, and halves of a character, are not worth a chunk.
        for (;;) {
          const { done, value } = await next();
          let bytes: Bytes | undefined;
          if (typeof value === "string" && done !== true) {
            let text = half + value;
            half = /[\ud800-\udbff]$/.test(text) ? text.slice(-1) : "";
            if (half !== "") text = text.slice(0, -1);
            bytes = utf8(text);
          } else {
            if (half !== "") controller.enqueue(utf8(half));
            half = "";
            if (done === true) return controller.close();
            if (!(ArrayBuffer.isView(value) && (value as Uint8Array).BYTES_PER_ELEMENT === 1)) {
              const error = new TypeError(`a body must yield Uint8Array or string, not ${typeof value}`);
              void Promise.resolve(end(error)).catch(() => {});
              throw error;
            }
            bytes = toBytes(value as Uint8Array);
          }
          if (bytes.byteLength > 0) return controller.enqueue(bytes);
        }
      },
      cancel: (reason) => end(reason) as Promise<void>,
    },
    { highWaterMark: 0 },
  );
}

interface Source {
  next(): PromiseLike<{ done?: boolean | undefined; value?: unknown }>;
  end(reason?: unknown): unknown;
}

// Looks at methods, not at `instanceof`: bodies come from other realms, polyfills and Node's streams too.
function source(body: Body): Source {
  let stream = body as ReadableStream<Uint8Array | string> | null;
  if (typeof (body as Blob).stream === "function") stream = (body as Blob).stream();
  else if (typeof (body as Response).clone === "function" && "body" in body) {
    if (body.bodyUsed) throw new TypeError("the Response was read before; pass response.clone()");
    stream = body.body;
    if (stream === null) return { next: () => Promise.resolve({ done: true }), end: () => undefined };
  }
  if (typeof stream?.getReader === "function") {
    if (stream.locked) throw new TypeError("the stream is locked: something else is reading it");
    const reader = stream.getReader();
    return { next: () => reader.read(), end: (reason) => reader.cancel(reason) };
  }
  const iterate = (body as AsyncIterable<unknown> | undefined)?.[Symbol.asyncIterator];
  if (typeof iterate !== "function") {
    throw new TypeError("a body must be a ReadableStream, an async iterable, a Blob or a Response");
  }
  const iterator = iterate.call(body);
  return { next: () => iterator.next(), end: () => iterator.return?.() };
}
