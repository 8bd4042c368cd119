import { onAbort, untilAborted } from "../../base/abort.js";
import { isWorkerd } from "../../base/runtime.js";

/**
 * On workerd a promise never settles once the request that began it has ended, unless it was given to `waitUntil`, and
 * that ends too. A flight older than this is not joined there.
 */
const WORKERD_LIFE_MS = 30_000;

/** The signal is undefined where no caller can abort. Most calls have none, and making one costs as much as a hit. */
type Start<T> = (signal: AbortSignal | undefined) => Promise<T>;

/** One operation that several callers wait for, each with its own signal. */
export class Flight<T> {
  readonly promise: Promise<T>;
  /** Undefined when the first caller passed no signal: the operation can then never be aborted. */
  readonly #controller: AbortController | undefined;
  readonly #startedAt = Date.now();
  #waiters = 0;
  #abandoned = false;
  readonly #onAbandoned: () => void;

  constructor(canAbort: boolean, start: Start<T>, onAbandoned: () => void) {
    this.#controller = canAbort ? new AbortController() : undefined;
    this.#onAbandoned = onAbandoned;
    this.promise = start(this.#controller?.signal);
    // All callers may have left by then. Those that stay see the rejection on the promise that they hold.
    this.promise.catch(() => undefined);
  }

  get isJoinable(): boolean {
    return !this.#abandoned && !(isWorkerd() && Date.now() - this.#startedAt > WORKERD_LIFE_MS);
  }

  /** Waits for the result. An abort of `signal` leaves the other callers waiting; when the last one leaves, the operation is aborted. */
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

/** Flights by key: callers of one key share one, and different keys never wait for each other. */
export class Flights<T> {
  readonly #flights = new Map<string, Flight<T>>();
  /** Names of the form `<key>NUL…`: further flights of a key. There are few. */
  readonly #furtherNames = new Set<string>();

  /**
   * Joins the flight of this name, or starts one.
   *
   * @throws The signal's reason, when it has already aborted.
   */
  run(
    key: string,
    signal: AbortSignal | undefined,
    start: Start<T>,
    onStart?: (promise: Promise<T>) => void,
  ): Promise<T> {
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
    let flight = this.#flights.get(key);
    if (flight === undefined || !flight.isJoinable) {
      const started: Flight<T> = new Flight<T>(signal !== undefined, start, () => this.#end(key, started));
      flight = started;
      this.#flights.set(key, started);
      if (key.includes("\0")) this.#furtherNames.add(key);
      const end = (): void => this.#end(key, started);
      started.promise.then(end, end);
      onStart?.(started.promise);
    }
    return flight.join(signal);
  }

  has(key: string): boolean {
    return this.#flights.has(key);
  }

  /** Tells whether the key has a flight, or a further one. */
  hasAny(key: string): boolean {
    return this.#flights.has(key) || this.#furtherNamesOf(key).length > 0;
  }

  /** Makes later callers of the key start anew. Those who wait keep what they wait for. Includes its further flights. */
  detach(key: string): void {
    this.#remove(key);
    for (const name of this.#furtherNamesOf(key)) this.#remove(name);
  }

  /** The same for every key with the prefix. */
  detachBelow(prefix: string): void {
    for (const key of this.#flights.keys()) if (key.startsWith(prefix)) this.#remove(key);
  }

  #furtherNamesOf(key: string): string[] {
    return this.#furtherNames.size === 0 ? [] : [...this.#furtherNames].filter((name) => name.startsWith(`${key}\0`));
  }

  #end(key: string, flight: Flight<T>): void {
    if (this.#flights.get(key) === flight) this.#remove(key);
  }

  #remove(key: string): void {
    this.#flights.delete(key);
    this.#furtherNames.delete(key);
  }
}
