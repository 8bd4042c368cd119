/** Grants for entries. */
import { toSeconds } from "../base/duration.js";
import { BucketCacheError } from "../errors.js";
import type { Grant, ObjectStore, PresignOptions } from "../types.js";
import { loadBeyondMemory, type LoadRequest } from "./load.js";
import type { CacheState } from "./state.js";
import { inspect } from "./store/read.js";

/**
 * Makes a grant for one object.
 *
 * @throws TypeError for ill-formed options; BucketCacheError `ERR_UNSUPPORTED` where the store cannot sign.
 */
export async function presignEntry(state: CacheState, key: string, options: PresignOptions): Promise<Grant> {
  const { concurrency, settings, store } = state;
  // An entry that is written by a grant lives as long as one that the cache writes.
  const { operation = "read", expiresIn, size, ttl = settings.entry.ttlSeconds ?? Infinity } = options;
  if (!["read", "write", "delete"].includes(operation)) {
    throw new TypeError(`operation must be "read", "write" or "delete"; got ${String(operation)}`);
  }
  if (expiresIn !== undefined) toSeconds(expiresIn, "expiresIn");
  toSeconds(ttl, "ttl");
  if (size !== undefined && !(Number.isSafeInteger(size) && size >= 0)) {
    throw new TypeError(`size must be a whole number of bytes; got ${String(size)}`);
  }
  const presign = requirePresign(store.objects, key);
  if (operation === "read") await concurrency.settled(key, options.signal);
  try {
    return await presign.call(store.objects, key, operation === "write" ? { ...options, ttl } : options);
  } catch (error) {
    if (error instanceof TypeError) throw error;
    throw store.failure(error, key, options.signal);
  }
}

/** Makes a grant to read the result of a function, which is computed first where it is absent. */
export async function presignResult(state: CacheState, request: LoadRequest, options: PresignOptions): Promise<Grant> {
  const { concurrency, store } = state;
  const { key, call, identity } = request;
  call.signal?.throwIfAborted();
  requirePresign(store.objects);
  // Memory is no proof: a grant is of use only when the store has the result.
  const isStored = async (): Promise<boolean> => {
    const head = await store.head(key, call.signal);
    const entry = head && inspect(state, key, head);
    const hash = entry?.state === "fresh" ? entry.keyHash : undefined;
    return hash !== undefined && ((await identity?.hash()) ?? hash) === hash;
  };
  if (!(await isStored())) {
    const { etag } = await loadBeyondMemory(state, request);
    await concurrency.settled(key, call.signal);
    // It was computed and perhaps not kept: `shouldCache` said so, or the store was bypassed.
    if (etag === "" && !(await isStored())) {
      throw new BucketCacheError("ERR_UNAVAILABLE", "the result was not stored", store.at(key));
    }
  }
  return presignEntry(state, key, options);
}

/** @throws BucketCacheError `ERR_UNSUPPORTED` */
function requirePresign({ name, presign }: ObjectStore, key?: string): NonNullable<ObjectStore["presign"]> {
  if (presign !== undefined) return presign;
  throw new BucketCacheError("ERR_UNSUPPORTED", `the ${name} store cannot presign; an s3Store can`, {
    key,
    store: name,
  });
}
