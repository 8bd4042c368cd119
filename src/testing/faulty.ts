import { BucketCacheError } from "../errors.js";
import type { Bytes, CallOptions, FoundObject, ObjectStore } from "../types.js";
import { wait } from "./wait.js";

/** One fault of a store, and the calls that it meets. With neither `delayMs` nor `truncateAfterBytes` the call fails with `error`. */
export interface Fault {
  /**
   * Operation that fails. `deleteMany` counts as `"delete"`.
   *
   * @default every operation
   */
  operation?: "get" | "head" | "put" | "delete" | "list";
  /**
   * Keys that it meets. For `list` the pattern sees the prefix.
   *
   * @default every key
   */
  key?: RegExp;
  /**
   * Share of the calls that it meets, from 0 to 1.
   *
   * @default 1
   */
  probability?: number;
  /** Time to wait first. Alone, it only makes the store slow. */
  delayMs?: number;
  /**
   * Error with which the call rejects; with `truncateAfterBytes`, the error with which the body ends.
   *
   * @default a `BucketCacheError` `ERR_UNAVAILABLE`
   */
  error?: Error;
  /** Number of bytes after which the body of a `get` breaks off with an error, as a broken transfer does. */
  truncateAfterBytes?: number;
}

type Operation = NonNullable<Fault["operation"]>;

/** A store that fails on purpose. */
export interface FaultyStore extends ObjectStore {
  /** Faults from now on; they may be changed at any time. */
  faults: Fault[];
}

/**
 * Wraps a store and interferes. `faults` may be changed at any time; each call meets every fault that matches it, in
 * order. The random ones follow the seed, so that a failure can be repeated.
 *
 * @example
 * ```ts
 * import { memoryStore } from "bucketcache/memory";
 * import { faultyStore } from "bucketcache/testing";
 *
 * const store = faultyStore(memoryStore(), { seed: 7, faults: [{ operation: "get", probability: 0.1 }] });
 * store.faults.push({ operation: "put", error: new Error("disk full") });
 * store.faults.length = 0; // all is well again
 * ```
 */
export function faultyStore(
  store: ObjectStore,
  options: { seed?: number; faults?: readonly Fault[] } = {},
): FaultyStore {
  const random = randomFrom(options.seed ?? 1);
  const meet = (operation: Operation, keys: readonly string[], call: CallOptions | undefined) =>
    meetFaults({ faults: faulty.faults, random, store: store.name }, operation, keys, call);
  const faulty: FaultyStore = {
    name: store.name,
    faults: [...(options.faults ?? [])],
    async get(key, call) {
      const fault = await meet("get", [key], call);
      const found = await store.get(key, call);
      if (fault === undefined || found === undefined || found === "not-modified") return found;
      return truncated(found, fault, unavailable("the transfer broke off on purpose", key, store.name));
    },
    async head(key, call) {
      await meet("head", [key], call);
      return store.head(key, call);
    },
    async put(key, body, call) {
      try {
        await meet("put", [key], call);
      } catch (error) {
        if ("getReader" in body) body.cancel(error).catch(() => {});
        throw error;
      }
      return store.put(key, body, call);
    },
    async delete(key, call) {
      await meet("delete", [key], call);
      return store.delete(key, call);
    },
    async *list(prefix, call) {
      await meet("list", [prefix], call);
      yield* store.list(prefix, call);
    },
  };
  const deleteMany = store.deleteMany?.bind(store);
  if (deleteMany !== undefined) {
    faulty.deleteMany = async (keys, call) => {
      await meet("delete", keys, call);
      return deleteMany(keys, call);
    };
  }
  return Object.assign(faulty, untouchedMembers(store));
}

/** Returns the optional members in which a wrapper does not interfere; none that the store itself lacks. */
function untouchedMembers(store: ObjectStore): Partial<ObjectStore> {
  const { limitations, signer, stampsEntries } = store;
  return {
    ...(store.presign !== undefined && { presign: store.presign.bind(store) }),
    ...(store.close !== undefined && { close: store.close.bind(store) }),
    ...(store.prepare !== undefined && { prepare: store.prepare.bind(store) }),
    ...(store.now !== undefined && { now: store.now.bind(store) }),
    ...(limitations !== undefined && { limitations }),
    ...(signer !== undefined && { signer }),
    ...(stampsEntries !== undefined && { stampsEntries }),
  };
}

/**
 * Applies the faults that match a call, and returns the one that is to break the body of a get.
 *
 * @throws the error of a fault that makes the call fail
 */
async function meetFaults(
  { faults, random, store }: { faults: readonly Fault[]; random: () => number; store: string },
  operation: Operation,
  keys: readonly string[],
  call: CallOptions | undefined,
): Promise<Fault | undefined> {
  let breaking: Fault | undefined;
  // A copy: a test may change the list while a delay runs.
  for (const fault of [...faults]) {
    if (!matches(fault, operation, keys, random)) continue;
    if (fault.delayMs !== undefined) await wait(fault.delayMs, call?.signal);
    if (fault.truncateAfterBytes !== undefined) {
      if (breaking === undefined || fault.truncateAfterBytes < (breaking.truncateAfterBytes ?? 0)) breaking = fault;
    } else if (fault.error !== undefined || fault.delayMs === undefined) {
      throw fault.error ?? unavailable(`${operation} failed on purpose`, keys[0], store);
    }
  }
  return breaking;
}

function matches(fault: Fault, operation: Operation, keys: readonly string[], random: () => number): boolean {
  const { key, probability = 1 } = fault;
  if (fault.operation !== undefined && fault.operation !== operation) return false;
  // Not `test`: that moves along in a pattern with the flag g.
  if (key !== undefined && !keys.some((one) => one.search(key) >= 0)) return false;
  return probability >= 1 || random() < probability;
}

/** Returns an object whose body breaks off. Ways to read it that do not go through `body` are left out. */
function truncated(found: FoundObject, { truncateAfterBytes = 0, error }: Fault, fallback: Error): FoundObject {
  const { size, etag, lastModified, contentType, metadata, now, versionId } = found;
  return {
    ...{ size, etag, lastModified, contentType, metadata, now, versionId },
    body: breakOff(found.body, truncateAfterBytes, error ?? fallback),
  };
}

function unavailable(message: string, key: string | undefined, store: string): BucketCacheError {
  return new BucketCacheError("ERR_UNAVAILABLE", `${message} (faultyStore)`, { key, store });
}

/** Lets through the first bytes of a body, then fails. A body that is no longer than that is left whole. */
function breakOff(body: ReadableStream<Bytes>, bytes: number, error: Error): ReadableStream<Bytes> {
  const reader = body.getReader();
  let left = bytes;
  let broken = false;
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        if (!broken) {
          const { done, value } = await reader.read();
          if (done) return controller.close();
          broken = value.byteLength > left;
          const chunk = broken ? value.subarray(0, left) : value;
          left -= chunk.byteLength;
          // An error discards what is queued: the bytes go out now, and the next pull meets it.
          if (chunk.byteLength > 0 || !broken) return controller.enqueue(chunk);
        }
        reader.cancel(error).catch(() => {});
        throw error;
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

/** Makes the generator mulberry32, which is small, and the same everywhere. */
function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
