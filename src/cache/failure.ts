import { BucketCacheError, type ErrorCode, isBucketCacheError, isUnavailable } from "../errors.js";
import type { Settings } from "./settings.js";

/**
 * - `throw`: the caller gets the error.
 * - `miss`: the object counts as absent.
 * - `bypass`: the cache goes on without the store, and an `error` event tells why.
 * - `yield`: another process was faster, or may do what this one may not. Its work stands.
 * - `again`: the object is read again.
 */
export type Decision = "throw" | "miss" | "bypass" | "yield" | "again";

const WHEN_DOWN = { ERR_UNAVAILABLE: "bypass", ERR_TIMEOUT: "bypass" } as const;

/** Decisions by operation and code. A code that is not listed means `throw`. */
const DECISIONS = {
  /** A GET or HEAD. */
  request: { ERR_FORBIDDEN: "miss" },
  /** The body of an object, on its way in. */
  body: { ERR_CONFLICT: "again" },
  /** `get` and its kin, while memory holds a copy that has to be confirmed. */
  find: WHEN_DOWN,
  /** The read before a function runs. */
  load: { ...WHEN_DOWN, ERR_TOO_LARGE: "bypass" },
  /** The encoding of what a function returned. */
  encode: { any: "bypass" },
  /** The write of what a function returned. */
  storeLoaded: { ...WHEN_DOWN, ERR_CONFLICT: "yield", ERR_UNSUPPORTED: "bypass" },
  /** The second write of a `set`, which corrects the first one's end. */
  correct: { ERR_CONFLICT: "yield" },
  /** The read before `getOrSetStream` opens its source, and after it. */
  openAround: WHEN_DOWN,
  /** The upload of `getOrSetStream`. */
  upload: { ...WHEN_DOWN, ERR_CONFLICT: "yield", ERR_UNSUPPORTED: "bypass" },
  /** The deletion of an object that has ended. */
  discard: { ERR_CONFLICT: "yield", ERR_FORBIDDEN: "yield", ERR_UNSUPPORTED: "yield" },
} as const satisfies Record<string, Partial<Record<ErrorCode | "any", Decision>>>;

/** Decides what the failure of an operation means, after the cache's settings. Code that tries an operation asks here. */
export function decide(
  operation: keyof typeof DECISIONS,
  error: unknown,
  { bypassUnavailable, forbiddenIsMiss }: Pick<Settings, "bypassUnavailable" | "forbiddenIsMiss">,
): Decision {
  if (!isBucketCacheError(error)) return "throw";
  const decisions: Partial<Record<ErrorCode | "any", Decision>> = DECISIONS[operation];
  const decision = decisions[error.code] ?? decisions.any ?? "throw";
  const isSwitchedOff =
    decision === "miss" ? !forbiddenIsMiss : decision === "bypass" && isUnavailable(error) && !bypassUnavailable;
  return isSwitchedOff ? "throw" : decision;
}

/**
 * Returns an error of a store as a `BucketCacheError`. A store of the user's own throws whatever its client throws,
 * which counts as an outage: only a `BucketCacheError` can say that the store refused.
 */
export function asBucketCacheError(error: unknown, key?: string, store?: string): BucketCacheError {
  if (isBucketCacheError(error)) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new BucketCacheError("ERR_UNAVAILABLE", `the store failed: ${reason}`, { key, store, cause: error });
}
