/**
 * Why a late load never overwrites a newer value, within one process.
 *
 * 1. Every read, load and write of a key is an operation with a {@link Concurrency.begin} and an
 *    {@link Concurrency.end}.
 * 2. A `set` or `delete` supersedes the operations of its key that have begun before. A superseded operation still
 *    returns to its callers what it read or computed, but neither layer keeps that. Later callers do not join it.
 * 3. The end of a write supersedes the reads that began before it: they may have seen the value that was replaced.
 * 4. The writes of one key run in the order in which they were asked for ({@link Concurrency.inTurn}), so that memory
 *    and the store end with the same one. Reads wait for the writes that were asked for before them.
 *
 * Between processes, the conditions of writes (`If-Match`, `If-None-Match`) do the same.
 */
import { untilAborted } from "../../base/abort.js";
import type { CallOptions } from "../../types.js";
import type { CachedValue } from "../memory/memory.js";
import type { Reading } from "../store/read.js";
import type { Background } from "./background.js";
import { Flights } from "./single-flight.js";

/** A read, load or write of one key, from its begin to its end. */
export interface Operation {
  readonly key: string;
  /** Whether it brings a new value, so that the end of an earlier write does not supersede it. */
  readonly isWrite: boolean;
  /** Whether a newer value came, or the entry was deleted, since it began. */
  superseded: boolean;
}

/** The operations of one cache that are in progress. */
export class Concurrency {
  readonly reads = new Flights<Reading>();
  readonly loads = new Flights<CachedValue>();
  readonly uploads = new Flights<void>();
  readonly background: Background;
  /** Tells the other tabs of this origin that a key changed. */
  announce: ((key: string) => void) | undefined;
  readonly #running = new Map<string, Set<Operation>>();
  /** The last write of each key that has writes in progress. */
  readonly #lastWrites = new Map<string, Promise<unknown>>();

  constructor(background: Background) {
    this.background = background;
  }

  begin(key: string, isWrite = false): Operation {
    const operation: Operation = { key, isWrite, superseded: false };
    const running = this.#running.get(key);
    if (running === undefined) this.#running.set(key, new Set([operation]));
    else running.add(operation);
    return operation;
  }

  end(operation: Operation): void {
    const running = this.#running.get(operation.key);
    running?.delete(operation);
    if (running?.size === 0) this.#running.delete(operation.key);
  }

  /** Marks every operation of the key as outdated, except the one that brings the newer value. Later callers start anew. */
  supersede(key: string, by?: Operation): void {
    for (const operation of this.#running.get(key) ?? []) if (operation !== by) operation.superseded = true;
    for (const flights of [this.reads, this.loads, this.uploads]) flights.detach(key);
  }

  /** The same for every key with the prefix. */
  supersedeBelow(prefix: string): void {
    for (const key of this.#running.keys()) if (key.startsWith(prefix)) this.supersede(key);
    for (const flights of [this.reads, this.loads, this.uploads]) flights.detachBelow(prefix);
  }

  /** Marks the reads and loads of the key as outdated, because a write has ended. The load that wrote is excepted. */
  supersedeReads(key: string, by?: Operation): void {
    for (const operation of this.#running.get(key) ?? []) {
      if (!operation.isWrite && operation !== by) operation.superseded = true;
    }
  }

  /**
   * Tells whether memory may keep what an operation has read. A write that waits for its turn has not superseded the
   * reads that began after it was asked for, and soon will.
   */
  isNewest(operation: Operation): boolean {
    return !operation.superseded && !this.isWriting(operation.key);
  }

  /** Runs a write of the key after those that were asked for before it. */
  inTurn<T>(key: string, write: () => Promise<T>): Promise<T> {
    const before = this.#lastWrites.get(key);
    const work = before === undefined ? write() : before.then(write, write);
    this.#lastWrites.set(key, work);
    const end = (): void => {
      if (this.#lastWrites.get(key) === work) this.#lastWrites.delete(key);
    };
    work.then(end, end);
    return work;
  }

  isWriting(key: string): boolean {
    return this.#lastWrites.has(key);
  }

  /** Returns the end of the writes of the key that are in progress, or undefined when there are none. Never rejects. */
  writesOf(key: string): Promise<unknown> | undefined {
    return this.#lastWrites.get(key)?.catch(() => undefined);
  }

  /** Waits for the writes of the key, until the signal aborts. */
  async settled(key: string, signal: AbortSignal | undefined): Promise<void> {
    const writes = this.writesOf(key);
    if (writes !== undefined) await untilAborted(writes, signal);
  }

  /** Waits for the writes of every key with the prefix. */
  async settledBelow(prefix: string): Promise<void> {
    const writes = [...this.#lastWrites].filter(([key]) => key.startsWith(prefix));
    await Promise.allSettled(writes.map(([, work]) => work));
  }

  /** Tells whether a function is at work whose result will replace what the store has. */
  isLoading(key: string): boolean {
    return this.loads.hasAny(key) || this.uploads.has(key);
  }

  /** Runs an operation once for all who ask for it at the same time; the runtime is told to let it end. */
  once<T>(
    flights: Flights<T>,
    key: string,
    call: CallOptions,
    start: (signal: AbortSignal | undefined) => Promise<T>,
  ): Promise<T> {
    return flights.run(key, call.signal, start, (promise) =>
      this.background.waitUntilOf(call)?.(promise.catch(() => undefined)),
    );
  }
}
