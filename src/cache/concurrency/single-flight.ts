import { onAbort, untilAborted } from "../../base/abort.js";
import { isWorkerd } from "../../base/runtime.js";

/**
 * On workerd a promise never settles once the request that began it has ended, unless it was given to `waitUntil`, and
 * that ends too. A flight older than this is not joined there.
 */
const WORKERD_LIFE_MS = 30_000;

/** The signal is undefined where nobody can abort: most calls have none, and making one costs as much as a hit. */
type Start<T> = (signal: AbortSignal | undefined) => Promise<T>;

/** One operation that several callers wait for, each with its own signal. */
export class Flight<T> {
  readonly promise: Promise<T>;
  /** Who came first and cannot leave keeps the operation going, so that nothing can abort it. */
  readonly #controller: AbortController | undefined;
  readonly #startedAt = Date.now();
  #waiters = 0;
  #abandoned = false;
  readonly #onAbandoned: () => void;

  constructor(canAbort: boolean, start: Start<T>, onAbandoned: () => void) {
    this.#controller = canAbort ? new AbortController() : undefined;
    this.#onAbandoned = onAbandoned;
    this.promise = start(this.#controller?.signal);
    // Its waiters may all have left by then; those that stay see the rejection on their own promise.
    this.promise.catch(() => undefined);
  }

  get joinable(): boolean {
    return !this.#abandoned && !(isWorkerd() && Date.now() - this.#startedAt > WORKERD_LIFE_MS);
  }

  /** Waits for the result; an abort of `signal` leaves the others, and the last one's leaving aborts the operation. */
  join(signal: AbortSignal | undefined): Promise<T> {
    this.#waiters++;
    if (signal === undefined) return this.promise;
    const waiting = untilAborted(this.promise, signal);
    const off = onAbort(signal, () => {
      if (--this.#waiters > 0) return;
      this.#abandoned = true;
      this.#onAbandoned();
      this.#controller?.abort(signal.reason);
    });
    this.promise.then(off, off);
    return waiting;
  }
}

/** Flights by key: callers of one key share one, different keys never wait for each other. */
export class Flights<T> {
  readonly #flights = new Map<string, Flight<T>>();
  /** The names with a NUL: flights of a key besides the one that has its name. There are few. */
  readonly #besides = new Set<string>();

  /**
   * Joins the flight of the key, or starts one.
   *
   * @throws the signal's reason, when it has already aborted
   */
  run(
    key: string,
    signal: AbortSignal | undefined,
    start: Start<T>,
    onStart?: (promise: Promise<T>) => void,
  ): Promise<T> {
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
    let flight = this.#flights.get(key);
    if (flight === undefined || !flight.joinable) {
      const own: Flight<T> = new Flight<T>(signal !== undefined, start, () => this.#end(key, own));
      flight = own;
      this.#flights.set(key, own);
      if (key.includes("\0")) this.#besides.add(key);
      const end = (): void => this.#end(key, own);
      own.promise.then(end, end);
      onStart?.(own.promise);
    }
    return flight.join(signal);
  }

  has(key: string): boolean {
    return this.#flights.has(key);
  }

  /** Whether there is a flight of this key, or one besides it: `<key>NUL…`. */
  hasAny(key: string): boolean {
    return this.#flights.has(key) || this.#besidesOf(key).length > 0;
  }

  /** Later callers start anew; those who wait keep what they wait for. Flights besides this one, too. */
  detach(key: string): void {
    this.#remove(key);
    for (const name of this.#besidesOf(key)) this.#remove(name);
  }

  /** The same for every key with the prefix. */
  detachBelow(prefix: string): void {
    for (const key of this.#flights.keys()) if (key.startsWith(prefix)) this.#remove(key);
  }

  #besidesOf(key: string): string[] {
    return this.#besides.size === 0 ? [] : [...this.#besides].filter((name) => name.startsWith(`${key}\0`));
  }

  #end(key: string, flight: Flight<T>): void {
    if (this.#flights.get(key) === flight) this.#remove(key);
  }

  #remove(key: string): void {
    this.#flights.delete(key);
    this.#besides.delete(key);
  }
}
