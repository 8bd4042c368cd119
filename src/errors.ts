/**
 * Kind of an error, for programs. The codes are part of the public contract: they are added, never renamed.
 *
 * - `ERR_FORBIDDEN`: the store refuses the operation (403 `AccessDenied`).
 * - `ERR_NO_SUCH_BUCKET`: the bucket does not exist.
 * - `ERR_CREDENTIALS`: credentials are missing, wrong or expired.
 * - `ERR_CLOCK_SKEW`: a signature is refused because a clock is wrong.
 * - `ERR_CORS`: a browser may not see what it needs; the message holds the rule that is missing.
 * - `ERR_UNAVAILABLE`: the store cannot be reached or answers 429 or 5xx after every retry.
 * - `ERR_TIMEOUT`: the store did not answer in time.
 * - `ERR_CONFLICT`: a condition failed (412), because another client wrote or deleted the object.
 * - `ERR_DAMAGED`: an entry was received in full and cannot be decoded.
 * - `ERR_TOO_LARGE`: a value exceeds a configured limit.
 * - `ERR_UNSUPPORTED`: the store or the entry does not support the operation.
 * - `ERR_MISSING_PEER`: an optional peer dependency is not installed.
 * - `ERR_PROTOCOL`: the answer of a presign handler, or of a store, does not follow the protocol.
 * - `ERR_STORE`: any other refusal of the store.
 */
export type ErrorCode =
  | "ERR_FORBIDDEN"
  | "ERR_NO_SUCH_BUCKET"
  | "ERR_CREDENTIALS"
  | "ERR_CLOCK_SKEW"
  | "ERR_CORS"
  | "ERR_UNAVAILABLE"
  | "ERR_TIMEOUT"
  | "ERR_CONFLICT"
  | "ERR_DAMAGED"
  | "ERR_TOO_LARGE"
  | "ERR_UNSUPPORTED"
  | "ERR_MISSING_PEER"
  | "ERR_PROTOCOL"
  | "ERR_STORE";

/** Says whether, when and how a failed request may be tried again. Retries inside the library have been made already. */
export interface RetryHint {
  /** Whether another attempt may succeed. */
  retryable?: boolean;
  /** Milliseconds that the store asked to wait first. */
  afterMs?: number;
  /** Whether a new signature may succeed where this one did not. */
  newSignature?: boolean;
  /** Whether no answer came at all. In a browser, CORS may be the reason. */
  noAnswer?: boolean;
}

/** Details of a {@link BucketCacheError}. */
export interface ErrorDetails {
  /** The object key, where one object is concerned. */
  key?: string | undefined;
  /** The `name` of the store, where a store is concerned. */
  store?: string | undefined;
  /** The HTTP status of the store's answer. */
  status?: number | undefined;
  /** The store's own code, such as `NoSuchUpload`. */
  storeCode?: string | undefined;
  /** Whether it may be tried again. Without a hint, trying again is of no use. */
  retry?: RetryHint | undefined;
  /** The error underneath. */
  cause?: unknown;
}

/**
 * Error of everything that goes wrong outside the caller's code. Misuse of the API is a `TypeError` instead, an abort
 * rejects with the signal's reason, and a miss is never an error.
 *
 * @example
 * ```ts
 * import { createCache, isBucketCacheError } from "bucketcache";
 * import { memoryStore } from "bucketcache/memory"; // or any other store
 *
 * const cache = createCache({ store: memoryStore() });
 * try {
 *   await cache.set("greeting", "hello");
 * } catch (error) {
 *   if (!isBucketCacheError(error) || error.code !== "ERR_FORBIDDEN") throw error;
 *   console.warn("these credentials may only read", error.message);
 * }
 * ```
 */
export class BucketCacheError extends Error {
  /** Kind of the error, for programs. */
  readonly code: ErrorCode;
  /** The object key as the store knows it, where one object is concerned. */
  readonly key: string | undefined;
  /** The `name` of the store, where a store is concerned. */
  readonly store: string | undefined;
  /** The HTTP status of the store's answer, where there was one. */
  readonly status: number | undefined;
  /** The store's own code, such as `NoSuchUpload`, where it gave one. */
  readonly storeCode: string | undefined;
  /** Hint whether, when and how the request may be tried again. */
  readonly retry: RetryHint;

  /** Makes an error for a store or codec of your own, which then fails as the built-in ones do. */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "BucketCacheError";
    this.code = code;
    this.key = details.key;
    this.store = details.store;
    this.status = details.status;
    this.storeCode = details.storeCode;
    this.retry = details.retry ?? {};
  }
}

/**
 * Tells a `BucketCacheError` from any other value. Works across realms and across two copies of the package, where
 * `instanceof` does not.
 */
export function isBucketCacheError(value: unknown): value is BucketCacheError {
  // An error of another realm, such as a frame or `node:vm`, is no instance of this one's `Error`.
  const { name, code, stack } = (value ?? {}) as { name?: unknown; code?: unknown; stack?: unknown };
  return name === "BucketCacheError" && stack !== undefined && String(code).startsWith("ERR_");
}

/** Returns the retry hint of any error; empty for one that is not ours. */
export function retryHintOf(error: unknown): RetryHint {
  // Another copy of the package may be older and know no hints.
  return (isBucketCacheError(error) && (error.retry as RetryHint | undefined)) || {};
}

/** Tells whether the store is down, rather than refusing. Retries and `whenUnavailable` are about such errors. */
export function isUnavailable(error: unknown): boolean {
  return isBucketCacheError(error) && (error.code === "ERR_UNAVAILABLE" || error.code === "ERR_TIMEOUT");
}
