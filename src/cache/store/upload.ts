/** Uploads bodies that may be too large for memory. Loaded when there is first a body to be stored. */
import { isBrowser } from "../../base/runtime.js";
import { compressible, gzipStream } from "../../entry/gzip-stream.js";
import type { Bytes, WriteCondition } from "../../types.js";
import type { EntryPolicy } from "../settings.js";
import type { CacheState } from "../state.js";
import type { Upload } from "./body.js";
import { putObject, type WriteOptions } from "./put.js";

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
    if (compressed) payload = gzipStream("getReader" in payload ? payload : chunksOf(payload));
    let size = 0;
    const object = { key, codec: "bytes", contentType, compressed, ttlSeconds: policy.ttlSeconds };
    await putObject(
      state,
      { ...object, sinceMs: Date.now(), keyHash: undefined, condition: write.condition },
      payload,
      {
        ...options,
        onProgress: (progress) => {
          size = progress.loaded;
          options.onProgress?.(progress);
        },
      },
    );
    reporting.counters.store.bytesWritten += size;
    return size;
  } catch (error) {
    // A store that never came to read it leaves it open.
    if ("getReader" in payload && !payload.locked) payload.cancel(error).catch(() => undefined);
    if (sourceError === undefined || options.signal?.aborted === true) throw error;
    write.onSourceError?.(sourceError.reason);
    throw sourceError.reason;
  }
}

/** Bytes of a Blob that are read at once. */
const CHUNK_BYTES = 65_536;

/**
 * Streams the bytes of a Blob. In a page all chunks share one buffer; else each would wait to be collected, some 40 MiB
 * of them. This is safe, because the platform's gzip is done with a chunk before it asks for the next.
 */
function chunksOf(blob: Blob): ReadableStream<Bytes> {
  const stream = blob.stream() as ReadableStream<Bytes>;
  if (!isBrowser()) return stream;
  let reader: ReadableStreamBYOBReader;
  try {
    reader = stream.getReader({ mode: "byob" });
  } catch {
    return stream;
  }
  let buffer = new ArrayBuffer(CHUNK_BYTES);
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        const { done, value } = await reader.read(new Uint8Array(buffer));
        if (done) return controller.close();
        buffer = value.buffer;
        controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
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
