/** The store's time, by which a handler signs: it signs for others, and never sees what the store answers to them. */
import type { StoreTime } from "../base/clock.js";
import type { ObjectStore } from "../types.js";

/** A key that nobody has, below the prefix that the library keeps for itself. */
const NO_KEY = ".bucketcache/time";

export class HandlerTime {
  readonly #store: ObjectStore;
  readonly #clock: StoreTime;
  readonly #key: string;
  #asking: Promise<void> | undefined;

  constructor(store: ObjectStore, clock: StoreTime, prefix: string) {
    this.#store = store;
    this.#clock = clock;
    this.#key = prefix + NO_KEY;
  }

  /** Asks the store for its time, in the background and once, unless its answers have told it. */
  learn(): void {
    if (this.#clock.known || this.#asking !== undefined) return;
    this.#asking = this.#store.head(this.#key).then(
      (head) => this.#clock.learn(head?.now),
      // An answer of refusal has told the time as well. Without one, the next request tries again.
      () => void (this.#asking = undefined),
    );
  }
}
