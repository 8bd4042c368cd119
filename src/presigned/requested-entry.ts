/** Writes in the words of the presign protocol: the handler makes the metadata, so it is told what the entry is. */
import { cacheControl, METADATA_NAMES, parseMetadata } from "../entry/entry.js";
import type { PutOperation, RequestedEntry } from "../s3/operations.js";
import type { PutOptions } from "../types.js";
import type { PutRequest } from "./protocol.js";

/**
 * Returns what the metadata of a write say about its entry. The TTL counts from `nowSeconds`, before the clock learns
 * better from the handler.
 *
 * @param refuse Makes the error for a write that no handler can sign.
 */
export function requestedEntry(
  { metadata, cacheControl: control }: Pick<PutOptions, "metadata" | "cacheControl">,
  nowSeconds: number,
  refuse: (message: string) => Error,
): RequestedEntry {
  const parsed = parseMetadata(metadata);
  const isForeign = Object.keys(metadata).some((name) => !(METADATA_NAMES as readonly string[]).includes(name));
  if (parsed.kind === "damaged" || isForeign) {
    throw refuse("a presign handler makes the metadata of entries, and of nothing else: store it through a cache");
  }
  if (control !== undefined && control !== cacheControl()) {
    throw refuse("a presign handler decides about Cache-Control: leave cacheControl out");
  }
  const { expiresAt, compressed } = parsed.kind === "entry" ? parsed.meta : parsed;
  return {
    compressed,
    ...(parsed.kind === "entry" && { codec: parsed.meta.codec }),
    ...(parsed.kind === "entry" && parsed.meta.key !== undefined && { keyHash: parsed.meta.key }),
    ...(expiresAt !== undefined && { ttl: Math.max(0.001, expiresAt - nowSeconds) }),
  };
}

/** Returns the members of a request to write that describe the object. */
export function writeMembers({
  contentType,
  sha256,
  requested,
}: PutOperation): Omit<PutRequest, "op" | "key" | "size"> {
  return {
    ...requested,
    // Recorders name their codecs with a comma, which no handler takes.
    contentType: contentType.replace(/;.*,.*/, ""),
    ...(sha256 !== undefined && { sha256 }),
  };
}
