import { reportError } from "../base/runtime.js";
import type { CacheEvents } from "../types.js";
import { asBucketCacheError } from "./failure.js";
import { type Counters, newCounters } from "./stats.js";

type Listener = (event: never) => void;

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
    // A new wrapper each time, so that one function registered twice is called twice and stops one at a time.
    const wrapper: Listener = (payload) => listener(payload);
    listeners.add(wrapper);
    return () => {
      listeners.delete(wrapper);
      if (listeners.size === 0 && this.#listeners.get(event) === listeners) this.#listeners.delete(event);
    };
  }

  /** Tells whether the event has listeners: building an event, and reading the time for it, is not free. */
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

/** Counts and tells what happens to entries. Takes object keys, and tells the keys that callers know. */
export class Reporting {
  readonly events = new Events();
  readonly counters: Counters = newCounters();
  readonly #prefixLength: number;

  constructor(prefix: string) {
    this.#prefixLength = prefix.length;
  }

  /** Returns an object key as the caller knows it. */
  keyOf(objectKey: string): string {
    return objectKey.slice(this.#prefixLength);
  }

  memoryHit(key: string, startedAt: number): void {
    this.counters.memory.hits++;
    if (this.events.has("hit")) this.#hit(key, "memory", startedAt);
  }

  storeHit(key: string, startedAt: number): void {
    this.counters.store.hits++;
    this.#hit(key, "store", startedAt);
  }

  #hit(key: string, source: "memory" | "store", startedAt: number): void {
    this.events.emit("hit", { key: this.keyOf(key), source, duration: performance.now() - startedAt });
  }

  /** Reports a miss in both layers. */
  miss(key: string, startedAt: number): void {
    this.counters.store.misses++;
    this.events.emit("miss", { key: this.keyOf(key), duration: performance.now() - startedAt });
  }

  /** Reports that an entry was stored; `size` is in bytes of its object. */
  stored(key: string, size: number, startedAt: number): void {
    this.events.emit("set", { key: this.keyOf(key), size, duration: performance.now() - startedAt });
  }

  deleted(key: string): void {
    this.events.emit("delete", { key: this.keyOf(key) });
  }

  expired(key: string): void {
    this.events.emit("expire", { key: this.keyOf(key) });
  }

  /** Reports that an entry left memory to make room; `size` is in bytes that it held there. */
  evicted(key: string, size: number): void {
    this.counters.memory.evictions++;
    this.events.emit("evict", { key: this.keyOf(key), size });
  }

  /** Reports trouble that the cache has handled; without a key where it is not about one entry. */
  error(key: string | undefined, error: unknown): void {
    this.events.emit("error", {
      key: key === undefined ? undefined : this.keyOf(key),
      error: asBucketCacheError(error),
    });
  }
}
