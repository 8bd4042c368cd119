import type { ObjectStore } from "../types.js";

/** A `Date` header has whole seconds and takes time to arrive, so a smaller difference than this counts as none. */
const TOLERANCE_MS = 2_000;

/**
 * Clock of the store. Entries expire by it, so that a client with a wrong clock neither serves an entry past its end nor
 * drops one before it.
 */
export class StoreClock {
  #offset = 0;
  #known = false;

  /** Returns Unix milliseconds, corrected. */
  now(): number {
    return Date.now() + this.#offset;
  }

  /** Whether the store, or a presign handler, has told its time yet. */
  get known(): boolean {
    return this.#known;
  }

  /**
   * Learns from the `Date` of an answer. The two instants are local milliseconds. A response out of a cache (`age`) or a
   * 304 may carry an old `Date`, and is ignored.
   */
  observe(
    dateHeader: string | undefined | null,
    sentAt: number,
    receivedAt: number,
    flags: { age?: boolean; status?: number } = {},
  ): void {
    if (dateHeader == null || flags.age === true || flags.status === 304) return;
    const date = Date.parse(dateHeader);
    // On average half a second has passed since the second that the header names began.
    if (!Number.isNaN(date)) this.#learn(date + 500 - (sentAt + receivedAt) / 2, (receivedAt - sentAt) / 2);
  }

  /** Takes over a time in Unix seconds, as a presign handler or a foreign store tells it. */
  set(nowSeconds: number): void {
    if (Number.isFinite(nowSeconds)) this.#learn(nowSeconds * 1_000 - Date.now(), 0);
  }

  #learn(offset: number, uncertainty: number): void {
    this.#offset = Math.abs(offset) > TOLERANCE_MS + uncertainty ? offset : 0;
    this.#known = true;
  }
}

/** The time by which the entries of a store end. */
export interface StoreTime {
  /** Returns Unix milliseconds, corrected where the store has told its time. */
  now(): number;
  /** Whether the store has told its time yet. */
  readonly known: boolean;
  /** Learns from `ObjectHead.now`. Does nothing where the store tells its time by `ObjectStore.now`. */
  learn(now: Date | undefined): void;
}

const times = new WeakMap<ObjectStore, StoreTime>();

/** Returns the time of a store: what its own `now` says, else what its answers taught. The same one for all who ask. */
export function timeOf(store: ObjectStore): StoreTime {
  let time = times.get(store);
  if (time === undefined) times.set(store, (time = store.now === undefined ? new LearnedTime() : new OwnTime(store)));
  return time;
}

class OwnTime implements StoreTime {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  now(): number {
    return this.#store.now?.() ?? Date.now();
  }

  get known(): boolean {
    return this.#store.now?.() !== undefined;
  }

  learn(): void {}
}

class LearnedTime implements StoreTime {
  readonly #clock = new StoreClock();

  now(): number {
    return this.#clock.now();
  }

  get known(): boolean {
    return this.#clock.known;
  }

  learn(now: Date | undefined): void {
    if (now !== undefined) this.#clock.set(now.getTime() / 1_000);
  }
}
