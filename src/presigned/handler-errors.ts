/** Errors of a presign handler: how its refusals, and other servers' answers, become errors of the store. */
import type { BucketCacheError, ErrorCode } from "../errors.js";
import { failure } from "../s3/failure.js";

/** An error in the handler's own words, not yet checked. */
export interface Refusal {
  code?: unknown;
  message?: unknown;
  /** With status 413: the number of requests that the handler takes in one batch. */
  maxBatch?: unknown;
}

/** Meaning of a status without a refusal in the body: a server before the handler has answered. */
const CODE_BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  401: "ERR_CREDENTIALS",
  403: "ERR_FORBIDDEN",
  413: "ERR_TOO_LARGE",
};

/** Makes an error whose message begins with "the presign handler". */
export function handlerFailure(
  code: ErrorCode,
  message: string,
  details: { store: string; key?: string | undefined },
  retryable = false,
  cause?: unknown,
): BucketCacheError {
  return failure(code, `the presign handler ${message}`, details, { retry: { retryable } }, cause);
}

/** Makes the error of a refusal, or of an answer that something else than the handler gave. */
export function refusalOf(
  status: number,
  refusal: Refusal | undefined,
  details: { store: string; key?: string | undefined },
): BucketCacheError {
  const { code, message } = refusal ?? {};
  if (/^ERR_[A-Z_]{1,40}$/.test(String(code))) {
    const retryable = code === "ERR_UNAVAILABLE" || code === "ERR_TIMEOUT";
    return handlerFailure(code as ErrorCode, `refuses: ${String(message).slice(0, 500)}`, details, retryable);
  }
  // A login page, a proxy, or a server that knows no such path.
  const isDown = status === 429 || status >= 500;
  const meant = isDown ? "ERR_UNAVAILABLE" : CODE_BY_STATUS[status];
  if (meant !== undefined) return handlerFailure(meant, `answered ${status}`, details, isDown);
  return handlerFailure("ERR_PROTOCOL", `answered ${status}, not in its protocol: check url`, details);
}

/**
 * Returns the number of requests that the next batches may hold, when a batch was refused for its length only. A body
 * parser before the handler may take less than the handler does and does not say how much, so the batch is halved.
 */
export function maxBatchOf(status: number, refusal: Refusal | undefined, batchLength: number): number | undefined {
  if (status !== 413) return undefined;
  const accepted = Math.max(1, refusal === undefined ? batchLength >> 1 : Number(refusal.maxBatch));
  return accepted < batchLength ? accepted : undefined;
}
