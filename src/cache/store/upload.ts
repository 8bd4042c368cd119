import { compressible, gzipStream } from "../../entry/gzip.js";
import type { WriteCondition } from "../../types.js";
import type { Layers } from "../layers.js";
import type { EntryPolicy } from "../settings.js";
import { isBrowser } from "../../base/runtime.js";
import type { Bytes, SetOptions } from "../../types.js";
import { headObject } from "./read.js";
import { emitSet, type Extras, put, replacing, settle, stampsEntries, supersede } from "./write.js";

/** A body on its way into an entry. */
export interface Upload {
  /** A Blob has a length and can be read again, which a stream cannot: the store makes use of both. */
  body: Blob | ReadableStream<Bytes>;
  contentType: string;
}

/** It was the body that failed, not the store. */
export class SourceFailure {
  readonly reason: unknown;
  constructor(reason: unknown) {
    this.reason = reason;
  }
}

/**
 * Puts a body that may be too large for memory; the result is its size on the wire.
 *
 * @throws SourceFailure with what the body failed with; what the store throws
 */
export async function putBody(
  layers: Layers,
  key: string,
  { body, contentType }: Upload,
  policy: EntryPolicy,
  condition: WriteCondition,
  options: Extras,
): Promise<number> {
  let failure: SourceFailure | undefined;
  let payload: Blob | ReadableStream<Bytes> = body;
  try {
    options.signal?.throwIfAborted();
    if (policy.ttl !== undefined && !layers.clock.known && !stampsEntries(layers)) {
      // A stream cannot be written twice, so its end must be right the first time. Who may only write does without.
      await headObject(layers, key, options.signal ?? undefined).catch(() => undefined);
    }
    const compressed = policy.compress === "auto" ? compressible(contentType) : policy.compress;
    if ("getReader" in body) payload = watched(body, (reason) => (failure ??= new SourceFailure(reason)));
    if (compressed) {
      payload = gzipStream("getReader" in payload ? payload : chunksOf(payload));
    }
    let size = 0;
    await put(
      layers,
      key,
      payload,
      { codec: "bytes", contentType, compressed, ttl: policy.ttl, since: Date.now(), keyHash: undefined },
      condition,
      {
        ...options,
        onProgress: (progress) => {
          size = progress.loaded;
          options.onProgress?.(progress);
        },
      },
    );
    layers.counters.store.bytesWritten += size;
    return size;
  } catch (error) {
    // A store that never came to read it leaves it open.
    if ("getReader" in payload && !payload.locked) payload.cancel(error).catch(() => undefined);
    throw options.signal?.aborted === true ? error : (failure ?? error);
  }
}

/** How much of a Blob is read at once. Bytes. */
const CHUNK = 65_536;

/**
 * The bytes of a Blob. In a page all come in one buffer, in turn: else each chunk would wait to be collected, some 40 MiB
 * of them. The platform's gzip is done with a chunk before it asks for the next.
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
  let buffer = new ArrayBuffer(CHUNK);
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

/** Notes what a stream fails with: a store can only say that a body broke off. */
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

/** `set` of a body: memory never holds it. */
export function setBody(
  layers: Layers,
  key: string,
  upload: Upload,
  policy: EntryPolicy,
  options: SetOptions,
): Promise<void> {
  const token = supersede(layers, key);
  layers.memory?.delete(key);
  const startedAt = performance.now();
  const work = replacing(
    layers,
    key,
    token,
    async () => {
      let size: number;
      try {
        size = await putBody(layers, key, upload, policy, {}, options);
      } catch (error) {
        throw error instanceof SourceFailure ? error.reason : error;
      }
      if (!token.superseded) layers.memory?.delete(key);
      emitSet(layers, key, size, startedAt);
      layers.announce?.(key);
    },
    options.signal,
  );
  return settle(layers, key, work, policy.background, options);
}
