import { BucketCacheError, isBucketCacheError } from "../errors.js";
import { reportError } from "../base/runtime.js";
import type { CacheEvents, CacheStats } from "../types.js";

type Listener = (event: never) => void;

/** The counters of `cache.stats()`. */
export type Counters = Omit<CacheStats, "memory"> & { memory: Omit<CacheStats["memory"], "entries" | "bytes"> };

export function newCounters(): Counters {
  return {
    memory: { hits: 0, misses: 0, evictions: 0 },
    store: { hits: 0, misses: 0, reads: 0, writes: 0, deletes: 0, bytesRead: 0, bytesWritten: 0, errors: 0 },
    calls: 0,
  };
}

/** Typed events. A listener that throws is reported as a warning and disturbs neither caller nor other listeners. */
export class Events {
  readonly #listeners = new Map<keyof CacheEvents, Set<Listener>>();

  on<E extends keyof CacheEvents>(event: E, listener: (event: CacheEvents[E]) => void): () => void {
    if (!EVENTS.has(event)) {
      throw new TypeError(`there is no event ${JSON.stringify(event)}; there are ${[...EVENTS].join(", ")}`);
    }
    if (typeof listener !== "function") throw new TypeError(`the listener for "${event}" must be a function`);
    let listeners = this.#listeners.get(event);
    if (listeners === undefined) this.#listeners.set(event, (listeners = new Set()));
    // A wrapper of its own, so that one function registered twice is called twice and stops one at a time.
    const own: Listener = (payload) => listener(payload);
    listeners.add(own);
    return () => {
      listeners.delete(own);
      if (listeners.size === 0 && this.#listeners.get(event) === listeners) this.#listeners.delete(event);
    };
  }

  /** Whether anybody listens: building an event, and reading the time for it, is not free. */
  has(event: keyof CacheEvents): boolean {
    return this.#listeners.has(event);
  }

  emit<E extends keyof CacheEvents>(event: E, payload: CacheEvents[E]): void {
    const listeners = this.#listeners.get(event);
    if (listeners === undefined) return;
    for (const listener of listeners) {
      try {
        (listener as (event: CacheEvents[E]) => void)(payload);
      } catch (error) {
        reportError(error);
      }
    }
  }

  /** Reports handled trouble. */
  error(key: string | undefined, error: unknown): void {
    this.emit("error", { key, error: asBucketCacheError(error) });
  }
}

const EVENTS: ReadonlySet<keyof CacheEvents> = new Set<keyof CacheEvents>([
  "hit",
  "miss",
  "set",
  "delete",
  "expire",
  "evict",
  "error",
]);

/**
 * What a store threw, as one of ours. A store of the user's own throws whatever its client throws; that the store
 * refused, rather than failed, is what only a `BucketCacheError` can say.
 */
export function asBucketCacheError(error: unknown, key?: string, store?: string): BucketCacheError {
  if (isBucketCacheError(error)) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new BucketCacheError("ERR_UNAVAILABLE", `the store failed: ${reason}`, { key, store, cause: error });
}
