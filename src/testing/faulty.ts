import { BucketCacheError } from "../errors.js";
import type { Bytes, CallOptions, ObjectStore } from "../types.js";
import { wait } from "./wait.js";

/** What goes wrong, and when. With neither `delay` nor `truncate` the call fails with `error`. */
export interface Fault {
  /** Default: every operation. `deleteMany` counts as `"delete"`. */
  operation?: "get" | "head" | "put" | "delete" | "list";
  /** Default: every key. For `list` it sees the prefix. */
  key?: RegExp;
  /** From 0 to 1. Default: 1, always. */
  probability?: number;
  /** Milliseconds to wait first. Alone, it only makes the store slow. */
  delay?: number;
  /** What the call rejects with; with `truncate`, what the body ends with. Default: a `BucketCacheError` `ERR_UNAVAILABLE`. */
  error?: Error;
  /** The body of a `get` breaks off with an error after so many bytes, as a broken transfer does. */
  truncate?: number;
}

/** A store that fails on purpose. */
export interface FaultyStore extends ObjectStore {
  /** What goes wrong from now on; may be changed at any time. */
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

  /** Applies what matches; returns the fault that is to break the body of a get. */
  async function meet(
    operation: NonNullable<Fault["operation"]>,
    keys: readonly string[],
    call: CallOptions | undefined,
  ): Promise<Fault | undefined> {
    let truncate: Fault | undefined;
    // A copy: a test may change the list while a delay runs.
    for (const fault of [...faulty.faults]) {
      const { probability = 1, key } = fault;
      if (fault.operation !== undefined && fault.operation !== operation) continue;
      // Not `test`: that moves along in a pattern with the flag g.
      if (key !== undefined && !keys.some((one) => one.search(key) >= 0)) continue;
      if (probability < 1 && random() >= probability) continue;
      if (fault.delay !== undefined) await wait(fault.delay, call?.signal);
      if (fault.truncate !== undefined) {
        if (truncate === undefined || fault.truncate < (truncate.truncate ?? 0)) truncate = fault;
      } else if (fault.error !== undefined || fault.delay === undefined) {
        throw fault.error ?? unavailable(`${operation} failed on purpose`, keys[0], store.name);
      }
    }
    return truncate;
  }

  const faulty: ObjectStore & { faults: Fault[] } = {
    name: store.name,
    faults: [...(options.faults ?? [])],
    async get(key, call) {
      const fault = await meet("get", [key], call);
      const found = await store.get(key, call);
      if (fault === undefined || found === undefined || found === "not-modified") return found;
      const { size, etag, lastModified, contentType, metadata, now, versionId } = found;
      const error = fault.error ?? unavailable("the transfer broke off on purpose", key, store.name);
      // Field by field: a copy of all would take along ways to read that do not go through this body.
      return {
        ...{ size, etag, lastModified, contentType, metadata, now, versionId },
        body: breakOff(found.body, fault.truncate ?? 0, error),
      };
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
  // What a store cannot do, its wrapper must not pretend to do.
  if (store.deleteMany !== undefined) {
    faulty.deleteMany = async (keys, call) => {
      await meet("delete", keys, call);
      return store.deleteMany?.(keys, call);
    };
  }
  if (store.presign !== undefined) faulty.presign = store.presign.bind(store);
  if (store.close !== undefined) faulty.close = store.close.bind(store);
  if (store.prepare !== undefined) faulty.prepare = store.prepare.bind(store);
  if (store.now !== undefined) faulty.now = store.now.bind(store);
  const { signer, stampsEntries } = store;
  Object.assign(faulty, { ...(signer && { signer }), ...(stampsEntries !== undefined && { stampsEntries }) });
  return faulty;
}

function unavailable(message: string, key: string | undefined, store: string): BucketCacheError {
  return new BucketCacheError("ERR_UNAVAILABLE", `${message} (faultyStore)`, { key, store });
}

/** The first bytes of a body, then the error; a body that is no longer than that is left whole. */
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

/** mulberry32: small, and the same everywhere. */
function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
