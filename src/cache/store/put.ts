/** Puts objects with the metadata and headers of entries. Loaded when there is first something to be written. */
import { cacheControl, formatMetadata, headerText, newNonce } from "../../entry/entry.js";
import { gzip } from "../../entry/gzip.js";
import type { Bytes, SetOptions, WriteCondition, WrittenObject } from "../../types.js";
import { decide } from "../failure.js";
import type { EntryInfo } from "../memory/lru.js";
import type { CacheState } from "../state.js";
import { ifUnchanged } from "./read.js";
import { infoBefore, type ValueWrite } from "./write.js";

/** Bytes from which gzip is tried on values. Below, the gain is smaller than the smallest billing unit and costs CPU. */
const COMPRESS_FROM_BYTES = 1024;

/** Options of a caller that go into the request. */
export type WriteOptions = Pick<SetOptions, "signal" | "onProgress" | "cacheControl" | "contentType">;

/** An object that is to be written, besides its body. */
export interface ObjectWrite {
  key: string;
  codec: string;
  contentType: string;
  compressed: boolean;
  ttlSeconds: number | undefined;
  /** When the value came to be, in local milliseconds. */
  sinceMs: number;
  keyHash: string | undefined;
  condition: WriteCondition;
}

/**
 * Puts a value, and once more where the first answer of the store tells that the entry got a wrong end. `isNewest` is
 * false when another process has overwritten it between the two.
 */
export async function putValue(
  state: CacheState,
  write: ValueWrite,
  options: WriteOptions,
): Promise<{ info: EntryInfo; isNewest: boolean }> {
  const { settings, store } = state;
  options.signal?.throwIfAborted();
  const { body, compressed } = await compress(write);
  const { key, encoded, policy, sinceMs, keyHash, condition } = write;
  const contentType = options.contentType ?? encoded.contentType;
  const object: ObjectWrite = {
    key,
    codec: encoded.codec,
    contentType,
    compressed,
    ttlSeconds: policy.ttlSeconds,
    sinceMs,
    keyHash,
    condition,
  };
  const wasClockKnown = store.clock.known;
  let isNewest = true;
  let written = await putObject(state, object, body, options);
  if (policy.ttlSeconds !== undefined && !wasClockKnown && store.isClockOff) {
    try {
      written = await putObject(state, { ...object, condition: ifUnchanged(written.etag) }, body, options);
    } catch (error) {
      // A `set` that was overwritten at once was a `set` all the same. A load, whose write has a condition, yields.
      const isSet = condition.ifMatch === undefined && condition.ifNoneMatch === undefined;
      if (!isSet || decide("correct", error, settings) !== "yield") throw error;
      isNewest = false;
    }
  }
  const { etag, lastModified, expiresAt } = written;
  const info: EntryInfo = {
    // Computed again, because the store's time may be known only now.
    ...infoBefore(state, write),
    size: body.byteLength,
    etag,
    lastModified,
    contentType,
    ...(expiresAt !== undefined && { expiresAt }),
  };
  return { info, isNewest };
}

async function compress({ encoded, policy }: ValueWrite): Promise<{ body: Bytes; compressed: boolean }> {
  const { body } = encoded;
  const always = policy.compress === true;
  if (always || (policy.compress === "auto" && body.byteLength >= COMPRESS_FROM_BYTES)) {
    const gzipped = await gzip(body);
    if (always || gzipped.byteLength < body.byteLength) return { body: gzipped, compressed: true };
  }
  return { body, compressed: false };
}

/** Puts an object with the metadata and headers of an entry. All writes of a cache come through here. */
export function putObject(
  { store }: Pick<CacheState, "store">,
  object: ObjectWrite,
  body: Bytes | Blob | ReadableStream<Bytes>,
  options: WriteOptions,
): Promise<WrittenObject> {
  const { key, codec, ttlSeconds, compressed, keyHash } = object;
  const created = store.timeOf(object.sinceMs);
  return store.put(key, body, {
    contentType: headerText(object.contentType, "contentType"),
    cacheControl: cacheControl(options.cacheControl),
    metadata: formatMetadata({
      created,
      codec,
      nonce: newNonce(),
      ...(keyHash !== undefined && { key: keyHash }),
      expiresAt: ttlSeconds === undefined ? undefined : created + ttlSeconds,
      compressed,
    }),
    ...object.condition,
    ...(options.signal && { signal: options.signal }),
    ...(options.onProgress && { onProgress: options.onProgress }),
  });
}
