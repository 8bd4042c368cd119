/** `Date` has whole seconds and travels: a smaller difference than this is no difference. Milliseconds. */
const TOLERANCE = 2_000;

/**
 * The store's time. Entries expire by it, so that a client whose own clock is wrong neither serves what is over nor
 * drops what is not.
 */
export class StoreClock {
  #offset = 0;
  #known = false;

  /** Unix milliseconds, corrected. */
  now(): number {
    return Date.now() + this.#offset;
  }

  /** Whether the store, or a presign handler, has told its time yet. */
  get known(): boolean {
    return this.#known;
  }

  /**
   * Learns from the `Date` of an answer. The two instants are local milliseconds.
   *
   * A response out of a cache (`age`) or a 304 may carry an old `Date` and teaches nothing.
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
    this.#offset = Math.abs(offset) > TOLERANCE + uncertainty ? offset : 0;
    this.#known = true;
  }
}
