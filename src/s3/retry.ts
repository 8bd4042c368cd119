import { untilAborted } from "../base/abort.js";
import { retryHintOf } from "../errors.js";

/** Milliseconds, except `attempts`. */
export interface Limits {
  attempts: number;
  /** Per attempt, from the connection to the headers of the answer. */
  headers: number;
  /** Per attempt, without a byte in either direction. */
  silence: number;
  /** No attempt begins so long after the first. Large uploads get the time on top that a slow line needs. */
  budget: number;
  /** The longest first wait; it doubles with each attempt. */
  delay: number;
}

export const LIMITS: Limits = { attempts: 3, headers: 10_000, silence: 60_000, budget: 60_000, delay: 200 };

/** More than this is not waited because a store asks for it. */
const LONGEST_WAIT = 10_000;

/** The slowest line that counts as one, in bytes a millisecond. */
const SLOWEST = 32;

/** How much longer a body of this size may take. */
export function allowance(size: number): number {
  return size / SLOWEST;
}

/** Runs until it succeeds, fails for good, or the limits are reached. `run` is told whether it ran before. */
export async function withRetries<T>(
  run: (again: boolean) => Promise<T>,
  limits: Limits,
  signal: AbortSignal | undefined,
  size = 0,
): Promise<T> {
  const last = Date.now() + limits.budget + allowance(size);
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await run(attempt > 1);
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      const { retryable, afterMs } = retryHintOf(error);
      // Full jitter: callers that failed together do not come back together.
      const wait = Math.max(Math.random() * limits.delay * 2 ** (attempt - 1), Math.min(afterMs ?? 0, LONGEST_WAIT));
      if (retryable !== true || attempt >= limits.attempts || Date.now() + wait > last) throw error;
      await pause(wait, signal);
    }
  }
}

/**
 * Waits. The timer holds the process, as a request would: somebody waits for the attempt that follows.
 *
 * @throws the signal's reason.
 */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return untilAborted(new Promise((resolve) => setTimeout(resolve, milliseconds)), signal);
}

/** Calls back after silence. One timer for many bytes: bytes move only the deadline. It never holds the process. */
export class Watchdog {
  #timer: unknown;
  #limit = 0;
  #deadline = 0;
  readonly #bark: () => void;

  constructor(bark: () => void) {
    this.#bark = bark;
  }

  /** Counts from now. */
  arm(limit: number): void {
    this.#limit = limit;
    this.touch();
    if (this.#timer === undefined) this.#wait(limit);
    else if (this.#due > this.#deadline) {
      clearTimeout(this.#timer as number);
      this.#wait(limit);
    }
  }

  touch(): void {
    this.#deadline = Date.now() + this.#limit;
  }

  stop(): void {
    clearTimeout(this.#timer as number);
    this.#timer = undefined;
  }

  #due = 0;

  #wait(milliseconds: number): void {
    this.#due = Date.now() + milliseconds;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const left = this.#deadline - Date.now();
      if (left > 0) this.#wait(left);
      else this.#bark();
    }, milliseconds);
    (this.#timer as { unref?: () => void }).unref?.();
  }
}
