import { toSeconds } from "../base/duration.js";
import { BucketCacheError } from "../errors.js";
import type { Layers } from "./layers.js";
import type { Grant, ObjectStore, PresignOptions } from "../types.js";

/** @throws BucketCacheError `ERR_UNSUPPORTED` */
export function requireSigner(store: ObjectStore, key?: string): NonNullable<ObjectStore["presign"]> {
  if (store.presign !== undefined) return store.presign;
  throw new BucketCacheError("ERR_UNSUPPORTED", `the ${store.name} store cannot presign; an s3Store can`, {
    key,
    store: store.name,
  });
}

/**
 * A grant for one object.
 *
 * @throws TypeError for ill-formed options; BucketCacheError `ERR_UNSUPPORTED` where the store cannot sign
 */
export async function oneGrant(layers: Layers, key: string, options: PresignOptions): Promise<Grant> {
  const { store, entry } = layers.settings;
  // What is written by a grant lives as long as what the cache writes itself.
  const { operation = "read", expiresIn, size, ttl = entry.ttl ?? Infinity } = options;
  if (!["read", "write", "delete"].includes(operation)) {
    throw new TypeError(`operation must be "read", "write" or "delete"; got ${String(operation)}`);
  }
  if (expiresIn !== undefined) toSeconds(expiresIn, "expiresIn");
  toSeconds(ttl, "ttl");
  if (size !== undefined && !(Number.isSafeInteger(size) && size >= 0)) {
    throw new TypeError(`size must be a whole number of bytes; got ${String(size)}`);
  }
  const presign = requireSigner(store, key);
  if (operation === "read") await layers.order.settled(key, options.signal);
  try {
    return await presign.call(store, key, operation === "write" ? { ...options, ttl } : options);
  } catch (error) {
    if (error instanceof TypeError) throw error;
    throw layers.failure(error, key, options.signal);
  }
}
