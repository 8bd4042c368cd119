/** Uploads bodies that may be too large for memory. Loaded when there is first a body to be stored. */
import { readInTurn } from "../../base/body.js";
import { isBrowser } from "../../base/runtime.js";
import { compressible, gzipStream } from "../../entry/gzip-stream.js";
import type { Bytes, WriteCondition } from "../../types.js";
import { writing } from "../edges.js";
import type { EntryPolicy } from "../settings.js";
import type { CacheState } from "../state.js";
import { closeUnread, type Upload } from "./body.js";
import type { WriteOptions } from "./put.js";

/** A body that is to be written. */
export interface BodyWrite {
  key: string;
  upload: Upload;
  policy: EntryPolicy;
  condition: WriteCondition;
  /** Called with the reason when it is the body that fails, not the store. */
  onSourceError?: (reason: unknown) => void;
}

/**
 * Puts a body, and returns its size on the wire.
 *
 * @throws The error that the body failed with, as it is; errors of the store.
 */
export async function putBody(state: CacheState, write: BodyWrite, options: WriteOptions): Promise<number> {
  const { reporting, store } = state;
  const { key, policy } = write;
  const { body, contentType } = write.upload;
  let sourceError: { reason: unknown } | undefined;
  let payload: Blob | ReadableStream<Bytes> = body;
  try {
    options.signal?.throwIfAborted();
    if (policy.ttlSeconds !== undefined && !store.clock.known && !store.stampsEntries) {
      // A stream cannot be written twice, so its end must be right the first time. A client that may only write goes without.
      await store.head(key, options.signal).catch(() => undefined);
    }
    const compressed = policy.compress === "auto" ? compressible(contentType) : policy.compress;
    if ("getReader" in body) payload = watched(body, (reason) => (sourceError ??= { reason }));
    if (compressed) payload = freed(gzipStream("getReader" in payload ? payload : chunksOf(payload)));
    let size = 0;
    const object = { key, codec: "bytes", contentType, compressed, ttlSeconds: policy.ttlSeconds };
    const from = payload;
    await writing(({ putObject }) =>
      putObject(state, { ...object, sinceMs: Date.now(), keyHash: undefined, condition: write.condition }, from, {
        ...options,
        onProgress: (progress) => {
          size = progress.loaded;
          options.onProgress?.(progress);
        },
      }),
    );
    reporting.counters.store.bytesWritten += size;
    return size;
  } catch (error) {
    // A store that never came to read it leaves it open.
    closeUnread(payload, error);
    if (sourceError === undefined || options.signal?.aborted === true) throw error;
    write.onSourceError?.(sourceError.reason);
    throw sourceError.reason;
  }
}

/** Streams the bytes of a Blob to the platform's gzip, which is done with a chunk before it asks for the next. */
function chunksOf(blob: Blob): ReadableStream<Bytes> {
  const stream = blob.stream() as ReadableStream<Bytes>;
  if (!isBrowser()) return stream;
  const reader = readInTurn(stream);
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

/** Frees the memory of a chunk that nobody else holds. Runtimes without `transfer` leave that to their garbage collector. */
function free({ buffer }: Bytes): void {
  (buffer as ArrayBuffer & { transfer?(length: number): ArrayBuffer }).transfer?.(0);
}

/**
 * Passes on a stream whose chunks belong to nobody else. In a page it becomes a byte stream, which fills its reader's
 * buffer and frees each chunk at once. The platform's gzip makes a new chunk for every 16 KiB, and a page's garbage
 * collector lets some 64 MiB of them wait, so that memory would depend on when it runs.
 */
function freed(stream: ReadableStream<Bytes>): ReadableStream<Bytes> {
  if (!isBrowser()) return stream;
  let reader: ReadableStreamDefaultReader<Bytes> | undefined;
  let chunk: Bytes | undefined;
  const next = async (): Promise<Bytes | undefined> => {
    reader ??= stream.getReader();
    while (chunk === undefined || chunk.byteLength === 0) {
      const { done, value } = await reader.read();
      if (done) return undefined;
      chunk = value;
    }
    return chunk;
  };
  const source: UnderlyingByteSource = {
    type: "bytes",
    async pull(controller) {
      const request = controller.byobRequest;
      const view = request?.view;
      if (request == null || view == null) {
        const whole = await next();
        chunk = undefined;
        return whole === undefined ? controller.close() : controller.enqueue(whole);
      }
      const target = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
      let size = 0;
      for (let from; size < target.byteLength && (from = await next()) !== undefined;) {
        const fits = from.subarray(0, target.byteLength - size);
        target.set(fits, size);
        size += fits.byteLength;
        chunk = from.subarray(fits.byteLength);
        if (chunk.byteLength === 0) free(from);
      }
      if (size === 0) controller.close();
      request.respond(size);
    },
    cancel: (reason) => (reader ?? stream).cancel(reason),
  };
  try {
    return new ReadableStream(source, { highWaterMark: 0 });
  } catch {
    // Byte streams are newer than all else that is needed here.
    return stream;
  }
}

/** Passes a stream on and notes the error that it fails with: a store can only say that a body broke off. */
function watched(stream: ReadableStream<Bytes>, onError: (reason: unknown) => void): ReadableStream<Bytes> {
  const reader = stream.getReader();
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          onError(error);
          throw error;
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}
