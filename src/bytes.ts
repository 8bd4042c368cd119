import { BucketCacheError } from "./errors.js";
import type { Body, Bytes } from "./types.js";

let encoder: TextEncoder | undefined;

/** The UTF-8 bytes of a text. */
export function utf8(text: string): Bytes {
  return (encoder ??= new TextEncoder()).encode(text);
}

/** The same bytes as a plain `Uint8Array` over a plain `ArrayBuffer`: not a `Buffer`, not shared memory. Copies only where it must. */
export function toBytes(chunk: Uint8Array): Bytes {
  if (chunk.constructor === Uint8Array && chunk.buffer instanceof ArrayBuffer) return chunk as Bytes;
  return chunk.buffer instanceof ArrayBuffer
    ? new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    : new Uint8Array(chunk);
}

/** One array of all chunks. Always a copy that owns its whole buffer. */
export function concat(chunks: readonly Uint8Array[]): Bytes {
  let size = 0;
  for (const chunk of chunks) size += chunk.byteLength;
  const all = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    all.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return all;
}

/** A stream of these bytes, in one chunk. */
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

/** What every limit on decoded or received bytes throws. */
export function tooLarge(maxBytes: number): BucketCacheError {
  return new BucketCacheError(
    "ERR_TOO_LARGE",
    `more than ${maxBytes} bytes; raise the limit (maxValueBytes) or stream it`,
  );
}

/** Base64 with padding. */
export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  // In slices: arguments live on the stack, which is small.
  for (let i = 0; i < bytes.byteLength; i += 8_192) {
    binary += String.fromCharCode(...bytes.subarray(i, i + 8_192));
  }
  return btoa(binary);
}

/**
 * The bytes of a base64 text. Forgiving as `atob` is: padding may be missing.
 *
 * @throws DOMException `InvalidCharacterError` when it is not base64.
 */
export function fromBase64(text: string): Bytes {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/**
 * Any body as a stream of bytes, which reads its source only when asked. Strings are encoded as UTF-8, also where a
 * surrogate pair is split between two of them. Cancelling it cancels the source; the source's errors pass unchanged.
 *
 * @throws TypeError when the body is none of these, or was read before.
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

// Told by their methods, not by `instanceof`: bodies come from other realms, polyfills and Node's own streams too.
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
