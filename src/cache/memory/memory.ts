import type { StoreTime } from "../../base/clock.js";
import type { Reporting } from "../events.js";
import { isPastEnd, isReadable, type LifetimePolicy, type LifetimeState, stateOf } from "../lifetime.js";
import type { Settings } from "../settings.js";
import { copyOf, freezeDeep } from "./isolation.js";
import { type EntryInfo, Lru, type MemoryNode } from "./lru.js";

/** A value as callers may share it. */
export interface IsolatedValue {
  value: unknown;
  /** Whether each caller gets a copy: see {@link MemoryLayer.handOut}. */
  mustCopy: boolean;
}

/** A value from either layer, or from a function, with what is known of its entry. */
export interface CachedValue extends IsolatedValue, EntryInfo {
  /** Its place in memory, when memory keeps it. */
  node: MemoryNode | undefined;
}

/** The first layer: the LRU, where it is switched on, and how its values are kept apart from their callers. */
export class MemoryLayer {
  readonly lru: Lru | undefined;
  readonly #isolation: "share" | "clone" | "freeze";
  readonly #policy: LifetimePolicy;
  readonly #clock: StoreTime;
  readonly #reporting: Reporting;

  constructor({ memory, lifetime }: Pick<Settings, "memory" | "lifetime">, clock: StoreTime, reporting: Reporting) {
    this.lru =
      memory && new Lru(memory.maxEntries, memory.maxBytes, ({ key, weight }) => reporting.evicted(key, weight));
    this.#isolation = memory?.isolation ?? "share";
    this.#policy = lifetime.objects;
    this.#clock = clock;
    this.#reporting = reporting;
  }

  /** Returns the state of a copy under the rules of those who ask for it. */
  stateOf(node: MemoryNode, policy: LifetimePolicy = this.#policy): LifetimeState {
    return stateOf(node, this.#clock, policy);
  }

  isPastEnd(node: MemoryNode | undefined): boolean {
    return node !== undefined && isPastEnd(this.stateOf(node));
  }

  /** Returns the copy of a key in whatever state it is, without counting as a use. */
  peek(key: string): MemoryNode | undefined {
    return this.lru?.peek(key);
  }

  /**
   * Returns the copy of a key unless it is past its end, and counts as a use. A copy past its end is removed, and
   * reported, once the store has answered.
   */
  recall(key: string): MemoryNode | undefined {
    const { lru } = this;
    if (lru === undefined) return undefined;
    const node = lru.peek(key);
    if (node === undefined || !isReadable(this.stateOf(node))) {
      this.#reporting.counters.memory.misses++;
      return undefined;
    }
    lru.touch(node);
    return node;
  }

  /** Keeps an isolated value, where memory takes it. `weight` is in bytes, without the key. */
  keep(key: string, { value, mustCopy }: IsolatedValue, weight: number, info: EntryInfo): CachedValue {
    const node = this.lru?.set(key, value, mustCopy, weight + key.length, info);
    return node ?? { ...info, value, mustCopy, node };
  }

  delete(key: string): void {
    this.lru?.delete(key);
  }

  /** Deletes the copies whose key has the prefix. */
  clear(prefix: string): void {
    this.lru?.clear(prefix);
  }

  /** Clones or freezes a value as `memory.isolation` says. With `isOurs`, nobody else holds the value: no clone is needed. */
  isolate(value: unknown, isOurs = false): IsolatedValue {
    const isolation = this.#isolation;
    if (isolation === "share") return { value, mustCopy: false };
    if (!isOurs) value = copyOf(value);
    return { value, mustCopy: isolation === "clone" || !freezeDeep(value) };
  }

  /** Returns what a caller may have: the value itself, or a copy of it. */
  handOut({ value, mustCopy }: IsolatedValue): unknown {
    return mustCopy ? copyOf(value) : value;
  }
}

/** Returns a value that memory does not keep. */
export function unkept({ value, mustCopy }: IsolatedValue, info: EntryInfo): CachedValue {
  return { ...info, value, mustCopy, node: undefined };
}
