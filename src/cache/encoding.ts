import { type Encoded, encodeValue } from "../entry/codec.js";
import { BucketCacheError } from "../errors.js";
import type { Isolated, Layers } from "./layers.js";
import type { Body } from "../types.js";

/** A value that is to be stored, as it was when it was given. */
export interface Snapshot {
  encoded: Encoded;
  kept: Isolated;
  /** Local milliseconds. */
  since: number;
}

/** @throws as {@link encode} */
export function snapshot(layers: Layers, key: string, value: unknown): Snapshot {
  const encoded = encode(layers, key, value);
  // The caller may use its buffer again as soon as this returns.
  if (encoded.codec === "bytes" || ArrayBuffer.isView(value)) encoded.body = encoded.body.slice();
  return { encoded, kept: keptValue(layers, encoded, value), since: Date.now() };
}

/**
 * A value as it is stored. Encoding happens at once, so that what the caller does to the value later changes nothing;
 * only gzip is left for the write itself.
 *
 * @throws TypeError that names the path of what cannot be stored; BucketCacheError `ERR_TOO_LARGE`
 */
export function encode(layers: Layers, key: string, value: unknown): Encoded {
  const encoded = encodeValue(value, layers.settings.codecs) as Encoded;
  if (encoded.body.byteLength > layers.settings.maxValueBytes) {
    throw new BucketCacheError(
      "ERR_TOO_LARGE",
      `the value has ${encoded.body.byteLength} bytes, more than maxValueBytes (${layers.settings.maxValueBytes}): raise it, or store a stream`,
      layers.at(key),
    );
  }
  return encoded;
}

/** What memory holds is what a hit in the store would give. */
export function keptValue(layers: Layers, encoded: Encoded, value: unknown): Isolated {
  return layers.isolate(encoded.codec === "bytes" ? encoded.body : value);
}

/** Whether a value is stored by streaming it. Told by methods: bodies come from other realms and polyfills too. */
export function isBody(value: unknown): value is Body {
  if (typeof value !== "object" || value === null) return false;
  const body = value as { getReader?: unknown; stream?: unknown; arrayBuffer?: unknown };
  return (
    typeof body.getReader === "function" ||
    typeof body.stream === "function" ||
    (typeof body.arrayBuffer === "function" && "body" in value) ||
    Symbol.asyncIterator in value
  );
}
