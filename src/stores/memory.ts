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
import type { Bytes, ObjectStore } from "../types.js";
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

interface Stored {
  readonly bytes: Bytes;
  readonly head: Omit<LocalHead, "now">;
}

const CHUNK = 1_048_576;

/**
 * A store in this process's memory, for tests and for trying things out. Behaves as S3 does: the ETag is the MD5 of the
 * content, listings are in the order of the keys' UTF-8 bytes, conditions are honoured on PUT and DELETE, a range that
 * begins at or beyond the end is `ERR_STORE` (S3's 416). Bodies and metadata are copied on the way in and out.
 *
 * Nothing is ever evicted. There is no `presign`, so `cache.presign` is `ERR_UNSUPPORTED`.
 */
export function memoryStore(): ObjectStore {
  const objects = new Map<string, Stored>();
  const name = "memory";

  return {
    name,

    async get(key, { signal, range, ifNoneMatch, lastModified } = {}) {
      signal?.throwIfAborted();
      const found = objects.get(key);
      if (found === undefined) return undefined;
      if (isUnmodified(found.head, ifNoneMatch, lastModified)) return "not-modified";
      const { start, end } = rangeWithin(range, found.head.size, { key, store: name });
      return { ...headOf(found), body: slices(found.bytes, start, end, signal) };
    },

    async head(key, { signal } = {}) {
      signal?.throwIfAborted();
      const found = objects.get(key);
      return found && headOf(found);
    },

    async put(key, body, options) {
      // Copied before anything is awaited: what the caller does to its array or metadata later changes nothing.
      const { contentType, cacheControl, sha256, ifMatch, ifNoneMatch, signal, onProgress } = options;
      const metadata = lowerCaseNames(options.metadata);
      let bytes: Bytes;
      if (ArrayBuffer.isView(body)) {
        signal?.throwIfAborted();
        bytes = new Uint8Array(body);
      } else {
        const chunks: Bytes[] = [];
        const total = "size" in body ? body.size : undefined;
        let loaded = 0;
        await drain(bodyStream(body), { signal }, (chunk) => {
          chunks.push(new Uint8Array(chunk));
          onProgress?.({ loaded: (loaded += chunk.byteLength), total });
        });
        bytes = concat(chunks);
      }
      if (sha256 !== undefined) {
        const digest = await sha256Base64(bytes);
        signal?.throwIfAborted();
        if (digest === undefined) {
          throw new BucketCacheError("ERR_UNSUPPORTED", "sha256 needs crypto.subtle, which plain-http pages lack", {
            key,
            store: name,
          });
        }
        if (digest !== sha256) throw wrongDigest({ key, store: name });
      }
      checkConditions(objects.get(key)?.head, { ifMatch, ifNoneMatch }, { key, store: name });
      const etag = `"${contentHash(bytes)}"`;
      const size = bytes.byteLength;
      const lastModified = new Date(Date.now());
      objects.set(key, { bytes, head: { size, etag, lastModified, contentType, metadata, cacheControl } });
      if (ArrayBuffer.isView(body)) onProgress?.({ loaded: size, total: size });
      return { etag, lastModified: new Date(lastModified) };
    },

    async delete(key, { signal, ifMatch } = {}) {
      signal?.throwIfAborted();
      const found = objects.get(key);
      if (found === undefined) return;
      if (ifMatch !== undefined) checkConditions(found.head, { ifMatch }, { key, store: name });
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

// Cut as they are read, so that a large object is not held twice. Stored bytes are replaced, never changed.
function slices(bytes: Bytes, start: number, end: number, signal: AbortSignal | undefined): ReadableStream<Bytes> {
  let at = start;
  return new ReadableStream<Bytes>(
    {
      pull(controller) {
        signal?.throwIfAborted();
        if (at < end) controller.enqueue(bytes.slice(at, (at = Math.min(end, at + CHUNK))));
        if (at >= end) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}
