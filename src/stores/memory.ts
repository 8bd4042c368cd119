/**
 * Entries in this process's memory.
 *
 * @module bucketcache/memory
 */
import { bodyStream } from "../base/body.js";
import { concat } from "../base/bytes.js";
import { BucketCacheError } from "../errors.js";
import { md5 } from "../data/digest.js";
import { nodeBuiltin } from "../base/runtime.js";
import { sha256Base64 } from "../base/sha256.js";
import type { Bytes, ObjectStore, PutOptions, WrittenObject } from "../types.js";
import {
  checkConditions,
  compareUtf8,
  drain,
  isUnmodified,
  type LocalHead,
  lowerCaseNames,
  rangeWithin,
  wrongDigest,
} from "../local/objects.js";

type PutBody = Parameters<ObjectStore["put"]>[1];

/** An object as it is kept. */
interface Stored {
  readonly bytes: Bytes;
  readonly head: Omit<LocalHead, "now">;
}

const CHUNK_BYTES = 1_048_576;
const NAME = "memory";

/**
 * Keeps objects in this process's memory, for tests and for trying things out. It behaves as S3 does: the ETag is the MD5
 * of the content, listings are in the order of the keys' UTF-8 bytes, conditions are honoured on PUT and DELETE, a range
 * that begins at or beyond the end is `ERR_STORE` (S3's 416). Bodies and metadata are copied on the way in and out.
 *
 * Nothing is ever evicted. There is no `presign`, so `cache.presign` is `ERR_UNSUPPORTED`.
 *
 * @example
 * ```ts
 * import { createCache } from "bucketcache";
 * import { memoryStore } from "bucketcache/memory";
 *
 * const cache = createCache({ store: memoryStore() });
 * ```
 */
export function memoryStore(): ObjectStore {
  const objects = new Map<string, Stored>();
  return {
    name: NAME,

    async get(key, { signal, range, ifNoneMatch, lastModified } = {}) {
      signal?.throwIfAborted();
      const found = objects.get(key);
      if (found === undefined) return undefined;
      if (isUnmodified(found.head, ifNoneMatch, lastModified)) return "not-modified";
      const { start, end } = rangeWithin(range, found.head.size, { key, store: NAME });
      return { ...headOf(found), body: slices(found.bytes, start, end, signal) };
    },

    async head(key, { signal } = {}) {
      signal?.throwIfAborted();
      const found = objects.get(key);
      return found && headOf(found);
    },

    put: (key, body, options) => put(objects, key, body, options),

    async delete(key, { signal, ifMatch } = {}) {
      signal?.throwIfAborted();
      const found = objects.get(key);
      if (found === undefined) return;
      if (ifMatch !== undefined) checkConditions(found.head, { ifMatch }, { key, store: NAME });
      objects.delete(key);
    },

    async deleteMany(keys, { signal } = {}) {
      signal?.throwIfAborted();
      for (const key of keys) objects.delete(key);
    },

    async *list(prefix, { signal } = {}) {
      signal?.throwIfAborted();
      const keys = [...objects.keys()].filter((key) => key.startsWith(prefix)).sort(compareUtf8);
      for (const key of keys) {
        signal?.throwIfAborted();
        const found = objects.get(key);
        if (found === undefined) continue;
        const { size, etag, lastModified } = headOf(found);
        yield { key, size, etag, lastModified };
      }
    },
  };
}

async function put(
  objects: Map<string, Stored>,
  key: string,
  body: PutBody,
  options: PutOptions,
): Promise<WrittenObject> {
  const details = { key, store: NAME };
  // Copied before anything is awaited: a later change of the caller's array or metadata changes nothing.
  const { contentType, cacheControl, sha256, ifMatch, ifNoneMatch, signal, onProgress } = options;
  const metadata = lowerCaseNames(options.metadata);
  const bytes = ArrayBuffer.isView(body) ? copyOf(body, signal) : await collect(body, signal, onProgress);
  if (sha256 !== undefined) {
    await checkDigest(bytes, sha256, details);
    signal?.throwIfAborted();
  }
  checkConditions(objects.get(key)?.head, { ifMatch, ifNoneMatch }, details);
  const etag = `"${contentHash(bytes)}"`;
  const size = bytes.byteLength;
  const lastModified = new Date(Date.now());
  objects.set(key, { bytes, head: { size, etag, lastModified, contentType, metadata, cacheControl } });
  if (ArrayBuffer.isView(body)) onProgress?.({ loaded: size, total: size });
  return { etag, lastModified: new Date(lastModified) };
}

function copyOf(body: Uint8Array, signal: AbortSignal | undefined): Bytes {
  signal?.throwIfAborted();
  return new Uint8Array(body);
}

async function collect(
  body: Blob | ReadableStream<Uint8Array>,
  signal: AbortSignal | undefined,
  onProgress: PutOptions["onProgress"],
): Promise<Bytes> {
  const chunks: Bytes[] = [];
  const total = "size" in body ? body.size : undefined;
  let loaded = 0;
  await drain(bodyStream(body), { signal }, (chunk) => {
    chunks.push(new Uint8Array(chunk));
    onProgress?.({ loaded: (loaded += chunk.byteLength), total });
  });
  return concat(chunks);
}

/** @throws BucketCacheError `ERR_STORE` for another body, `ERR_UNSUPPORTED` where the platform has no SHA-256 */
async function checkDigest(bytes: Bytes, sha256: string, details: { key: string; store: string }): Promise<void> {
  const digest = await sha256Base64(bytes);
  if (digest === undefined) {
    const message = "sha256 needs crypto.subtle, which plain-http pages lack: serve the page over https";
    throw new BucketCacheError("ERR_UNSUPPORTED", message, details);
  }
  if (digest !== sha256) throw wrongDigest(details);
}

interface Crypto {
  createHash(name: string): { update(data: Bytes): { digest(encoding: "hex"): string } };
}

function contentHash(bytes: Bytes): string {
  try {
    const hash = nodeBuiltin<Crypto>("node:crypto")?.createHash("md5");
    if (hash !== undefined) return hash.update(bytes).digest("hex");
  } catch {
    // Node refuses MD5 under FIPS.
  }
  return md5(bytes);
}

function headOf({ head }: Stored): LocalHead {
  return {
    ...head,
    lastModified: new Date(head.lastModified),
    metadata: { ...head.metadata },
    now: new Date(Date.now()),
  };
}

// The bytes are cut as they are read, so that a large object is not held twice. Stored bytes are replaced, never changed.
function slices(bytes: Bytes, start: number, end: number, signal: AbortSignal | undefined): ReadableStream<Bytes> {
  let at = start;
  return new ReadableStream<Bytes>(
    {
      pull(controller) {
        signal?.throwIfAborted();
        if (at < end) controller.enqueue(bytes.slice(at, (at = Math.min(end, at + CHUNK_BYTES))));
        if (at >= end) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}
