import { Background } from "./concurrency/background.js";
import { type StoreTime, timeOf } from "../base/clock.js";
import { asBucketCacheError, type Counters, Events, newCounters } from "./events.js";
import { Flights } from "./concurrency/single-flight.js";
import type { WriteCondition } from "../types.js";
import { copyOf, freezeDeep } from "./memory/isolation.js";
import { objectKey } from "../data/key.js";
import { type EntryInfo, Lru, type MemoryNode } from "./memory/lru.js";
import { Order } from "./concurrency/write-order.js";
import type { Settings } from "./settings.js";
import type { CallOptions } from "../types.js";

/** A value, wherever it came from. */
export interface Found extends EntryInfo {
  value: unknown;
  /** Whether each caller gets a copy of its own: see {@link Layers.handOut}. */
  copied: boolean;
  /** Its place in memory, when memory keeps it. */
  node: MemoryNode | undefined;
}

/** What the store said about a key. */
export interface Reading {
  found: Found | undefined;
  /** Under which a load that follows may write: only over what was seen here. */
  condition: WriteCondition;
  /** The object is there, past its end. */
  expired: ExpiredObject | undefined;
  /** Counts and tells, once, whether what was found was of use to its reader. */
  tell(isHit: boolean): void;
}

/** A value as memory holds it. */
export type Isolated = Pick<Found, "value" | "copied">;

/** Everything that must still be so when an expired object is deleted. */
export interface ExpiredObject {
  etag: string;
  lastModified: Date;
  expiresAt: string | undefined;
  endedAt: number;
}

/** What both layers share: memory itself, who is on the way to the store, and what is told of it all. */
export class Layers {
  readonly settings: Settings;
  readonly events = new Events();
  readonly counters: Counters = newCounters();
  readonly order = new Order();
  readonly background: Background;
  readonly clock: StoreTime;
  readonly memory: Lru | undefined;
  readonly reads = new Flights<Reading>();
  readonly loads = new Flights<Found>();
  readonly uploads = new Flights<void>();
  /** Tells the other tabs of this origin that a key changed. */
  announce: ((key: string) => void) | undefined;

  constructor(settings: Settings) {
    this.settings = settings;
    this.clock = timeOf(settings.store);
    this.background = new Background(settings.waitUntil, (key, error) => this.events.error(this.keyOf(key), error));
    this.memory =
      settings.memory &&
      new Lru(settings.memory.maxEntries, settings.memory.maxBytes, (node) => {
        this.counters.memory.evictions++;
        this.events.emit("evict", { key: this.keyOf(node.key), size: node.weight });
      });
  }

  objectKey(key: string): string {
    return objectKey(this.settings.prefix, key);
  }

  /** The key as the caller knows it. */
  keyOf(objectKey: string): string {
    return objectKey.slice(this.settings.prefix.length);
  }

  /** Where trouble was, for an error to tell. */
  at(key: string): { key: string; store: string } {
    return { key, store: this.settings.store.name };
  }

  waitUntilOf(call: CallOptions): ((promise: Promise<unknown>) => void) | undefined {
    return call.waitUntil ?? this.settings.waitUntil;
  }

  /** Runs once for all who ask at the same time; the runtime is told to let it end. */
  once<T>(
    flights: Flights<T>,
    key: string,
    call: CallOptions,
    start: (signal: AbortSignal | undefined) => Promise<T>,
  ): Promise<T> {
    return flights.run(key, call.signal, start, (promise) => this.waitUntilOf(call)?.(promise.catch(() => undefined)));
  }

  /** A newer value of this key exists, or none: whoever reads or loads it right now must not keep what it gets. */
  forget(key: string): void {
    this.overtake(key);
    this.memory?.delete(key);
  }

  /** The same while memory still holds what the store has. */
  overtake(key: string): void {
    this.order.supersede(key);
    for (const flights of [this.reads, this.loads, this.uploads]) flights.detach(key);
  }

  /** Whether a function is at work whose result will replace what the store has. */
  isLoading(key: string): boolean {
    return this.loads.hasAny(key) || this.uploads.has(key);
  }

  /** As `forget`, for every key with the prefix. */
  forgetBelow(prefix: string): void {
    this.order.supersedeAll(prefix);
    for (const flights of [this.reads, this.loads, this.uploads]) flights.detachBelow(prefix);
    this.memory?.clear(prefix);
  }

  /** What the caller may have: the value itself, or a copy of its own. */
  handOut(found: { value: unknown; copied: boolean }): unknown {
    return found.copied ? copyOf(found.value) : found.value;
  }

  /** The copy in memory, unless it is past its end: that goes when the store has been asked, and is told of then. */
  recall(key: string): MemoryNode | undefined {
    const node = this.memory?.peek(key);
    if (node === undefined || this.hasEnded(node)) {
      if (this.memory !== undefined) this.counters.memory.misses++;
      return undefined;
    }
    this.memory?.touch(node);
    return node;
  }

  hasEnded(node: MemoryNode | undefined): boolean {
    return this.clock.now() >= (node?.deadline ?? Infinity);
  }

  /** Counts and tells a hit in memory. */
  hitMemory(node: MemoryNode, startedAt: number): void {
    this.counters.memory.hits++;
    if (this.events.has("hit")) this.emitHit(node.key, "memory", startedAt);
  }

  emitHit(key: string, source: "memory" | "store", startedAt: number): void {
    this.events.emit("hit", {
      key: this.keyOf(key),
      source,
      stale: false,
      duration: performance.now() - startedAt,
    });
  }

  /** Parts a value from whoever else has it, as configured. What is `ours` nobody else has. */
  isolate(value: unknown, ours = false): Isolated {
    const isolation = this.settings.memory?.isolation ?? "share";
    if (isolation === "share") return { value, copied: false };
    if (!ours) value = copyOf(value);
    return { value, copied: isolation === "clone" || !freezeDeep(value) };
  }

  /** Puts an isolated value into memory, where memory takes it. */
  keep(key: string, { value, copied }: Isolated, weight: number, info: EntryInfo, mayKeep: boolean): Found {
    const node = mayKeep ? this.memory?.set(key, value, copied, weight + key.length, info) : undefined;
    return node ?? { ...info, value, copied, node };
  }

  /** What to throw for what a store threw: an abort is the caller's own reason, all else is a `BucketCacheError`. */
  failure(error: unknown, key: string | undefined, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted === true) return signal.reason;
    this.counters.store.errors++;
    return asBucketCacheError(error, key, this.settings.store.name);
  }
}
