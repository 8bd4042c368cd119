/** Retries: how often, for how long, and how long apart. */
import { untilAborted } from "../base/abort.js";
import { toSeconds } from "../base/duration.js";
import { retryHintOf } from "../errors.js";
import type { Duration } from "../types.js";

/** Limits of one call and of its attempts. */
export interface Limits {
  /** Number of attempts, the first included. */
  attempts: number;
  /** Longest wait of an attempt from the connection to the headers of the answer. */
  headersMs: number;
  /** Longest wait of an attempt without a byte in either direction. */
  silenceMs: number;
  /** No attempt begins this long after the first. Large uploads get the time on top that a slow line needs. */
  budgetMs: number;
  /** Longest wait before the second attempt; it doubles with each further one. */
  delayMs: number;
}

export const LIMITS: Readonly<Limits> = {
  attempts: 3,
  headersMs: 10_000,
  silenceMs: 60_000,
  budgetMs: 60_000,
  delayMs: 200,
};

/**
 * Returns limits with the options of a store in place of their own.
 *
 * @param limits Read at each use, since a client tells its own with the first signature.
 * @throws TypeError for an option that is none of what it may be
 */
export function limitsOf({ timeout, attempts }: LimitOptions, limits: Readonly<Limits>): Readonly<Limits> {
  const headersMs = timeout === undefined ? undefined : toSeconds(timeout, "timeout") * 1_000;
  if (attempts !== undefined && !(Number.isSafeInteger(attempts) && attempts > 0)) {
    throw new TypeError(`attempts must be a whole number of at least 1; got ${String(attempts)}`);
  }
  return {
    get attempts() {
      return attempts ?? limits.attempts;
    },
    get headersMs() {
      return headersMs ?? limits.headersMs;
    },
    get silenceMs() {
      return limits.silenceMs;
    },
    get budgetMs() {
      return limits.budgetMs;
    },
    get delayMs() {
      return limits.delayMs;
    },
  };
}

/** Options of a store about the time that its requests may take. */
export interface LimitOptions {
  timeout?: Duration | undefined;
  attempts?: number | undefined;
}

/** A store that asks for a longer wait than this is asked again sooner. */
const MAX_WAIT_MS = 10_000;

/** The slowest line that an upload must get through. */
const SLOWEST_BYTES_PER_MS = 32;

/** Returns the time in milliseconds that a body of this size may take on a slow line. */
export function uploadTimeMs(bodyBytes: number): number {
  return bodyBytes / SLOWEST_BYTES_PER_MS;
}

/**
 * Runs an attempt until one succeeds, one fails for good, or the limits are reached.
 *
 * @param attempt Receives true when an earlier attempt may have reached the store.
 * @throws the error of the last attempt, or the signal's reason
 */
export async function withRetries<T>(
  attempt: (again: boolean) => Promise<T>,
  limits: Readonly<Limits>,
  signal: AbortSignal | undefined,
  bodyBytes = 0,
): Promise<T> {
  const lastStart = Date.now() + limits.budgetMs + uploadTimeMs(bodyBytes);
  for (let count = 1; ; count++) {
    signal?.throwIfAborted();
    try {
      return await attempt(count > 1);
    } catch (error) {
      signal?.throwIfAborted();
      const { retryable, afterMs = 0 } = retryHintOf(error);
      const waitMs = Math.max(backoffMs(limits, count), Math.min(afterMs, MAX_WAIT_MS));
      if (retryable !== true || count >= limits.attempts || Date.now() + waitMs > lastStart) throw error;
      await pause(waitMs, signal);
    }
  }
}

/** Returns a random wait after this many failures, so that callers that failed together do not come back together. */
export function backoffMs(limits: Readonly<Limits>, failures: number): number {
  return Math.random() * limits.delayMs * 2 ** (failures - 1);
}

/**
 * Waits. The timer keeps the process alive, as a request would, since somebody waits for the attempt that follows.
 *
 * @throws the signal's reason
 */
export function pause(delayMs: number, signal?: AbortSignal): Promise<void> {
  return untilAborted(new Promise((resolve) => setTimeout(resolve, delayMs)), signal);
}
