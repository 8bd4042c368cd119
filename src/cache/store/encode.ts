import { type Encoded, encodeValue } from "../../entry/codec.js";
import { BucketCacheError } from "../../errors.js";
import type { IsolatedValue } from "../memory/memory.js";
import type { CacheState } from "../state.js";

type Parts = Pick<CacheState, "settings" | "memory" | "store">;

/** A value that is to be stored, as it was when it was given. */
export interface Snapshot {
  encoded: Encoded;
  /** The value for memory. */
  isolated: IsolatedValue;
  /** When the value came to be, in local milliseconds: its life begins then, however long the write has to wait. */
  sinceMs: number;
}

/**
 * Takes a value as it is now, so that what its owner does to it later changes nothing.
 *
 * @throws As {@link encode}.
 */
export function snapshot(parts: Parts, key: string, value: unknown): Snapshot {
  const encoded = encode(parts, key, value);
  // The caller may use its buffer again as soon as this returns.
  if (encoded.codec === "bytes" || ArrayBuffer.isView(value)) encoded.body = encoded.body.slice();
  return { encoded, isolated: isolatedValue(parts, encoded, value), sinceMs: Date.now() };
}

/**
 * Encodes a value at once. Only gzip is left for the write itself.
 *
 * @throws TypeError that names the path of what cannot be stored; BucketCacheError `ERR_TOO_LARGE`.
 */
export function encode({ settings, store }: Omit<Parts, "memory">, key: string, value: unknown): Encoded {
  const { codecs, maxValueBytes } = settings;
  const encoded = encodeValue(value, codecs) as Encoded;
  const size = encoded.body.byteLength;
  if (size > maxValueBytes) {
    const message = `the value has ${size} bytes, more than maxValueBytes (${maxValueBytes}): raise it, or store a stream`;
    throw new BucketCacheError("ERR_TOO_LARGE", message, store.at(key));
  }
  return encoded;
}

/** Returns what memory holds for a value: the same that a hit in the store would give. */
export function isolatedValue({ memory }: Pick<Parts, "memory">, encoded: Encoded, value: unknown): IsolatedValue {
  return memory.isolate(encoded.codec === "bytes" ? encoded.body : value);
}
