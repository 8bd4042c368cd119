/** Performs a signed request: sends it, tries it again, renews its signature, and tells a result from an error. */
import { untilAborted } from "../base/abort.js";
import { isBrowser } from "../base/runtime.js";
import type { BucketCacheError } from "../errors.js";
import type { SignedRequest } from "../types.js";
import type { S3Connection } from "./connection.js";
import { failure, networkFailure, type Purpose } from "./failure.js";
import { corsRule } from "./header-names.js";
import { isSuccess, isUnexplained, readRefusal, refusalError, type Refusal } from "./refusal.js";
import { LIMITS, withRetries } from "./retry.js";
import { sizeOf, type Incoming } from "./transport.js";

/** A request to perform, and the meaning of its answers. */
export interface Call<T> {
  purpose: Purpose;
  sign(renew: boolean): Promise<SignedRequest>;
  /** Headers that are sent beside the signed ones. */
  headers?: Record<string, string>;
  body?: Uint8Array | Blob | undefined;
  signal?: AbortSignal | undefined;
  /** Takes an answer of success, or the 304 of a read with `If-None-Match`. Must read or cancel the body. */
  accept(response: Incoming, signed: SignedRequest): T | Promise<T>;
  /** Returns the result that a refusal stands for, if it is one. `again`: an earlier attempt may have reached the store. */
  recover?(refusal: Refusal, again: boolean): Recovered<T> | Promise<Recovered<T>>;
  /** Default: that of the limits. */
  headersTimeoutMs?: number;
}

type Recovered<T> = { value: T } | undefined;

/** The outcome of an attempt that was answered. */
type Outcome<T> = { value: T } | { error: BucketCacheError; signatureEnded: boolean };

/** A clock that turns out to be this wrong explains a refusal that does not explain itself. */
const SUSPECT_CLOCK_MS = 60_000;

/**
 * Performs a request.
 *
 * @throws BucketCacheError as `refusalError` and `networkFailure` say, after all retries; the signal's reason
 */
export function perform<T>(connection: S3Connection, call: Call<T>): Promise<T> {
  let signed: SignedRequest | undefined;
  let renewed = false;
  const attempt = async (again: boolean): Promise<T> => {
    for (;;) {
      signed ??= await untilAborted(call.sign(renewed), call.signal);
      const outcome = await askStore(connection, call, signed, again);
      if ("value" in outcome) return outcome.value;
      if (renewed || !outcome.signatureEnded) throw outcome.error;
      renewed = true;
      signed = undefined;
    }
  };
  return withRetries(attempt, connection.limits ?? LIMITS, call.signal, sizeOf(call.body));
}

async function askStore<T>(
  connection: S3Connection,
  call: Call<T>,
  signed: SignedRequest,
  again: boolean,
): Promise<Outcome<T>> {
  const { clock } = connection;
  const sentAt = Date.now();
  const offsetMs = clock.now() - sentAt;
  const response = await send(connection, call, signed);
  const { status } = response;
  const receivedAt = Date.now();
  clock.observe(response.header("date"), sentAt, receivedAt, { age: response.header("age") !== undefined, status });
  if (isSuccess(status) || (status === 304 && call.headers?.["if-none-match"] !== undefined)) {
    connection.capabilities.isBucketSeen = true;
    return { value: await call.accept(response, signed) };
  }
  if (status === 304 && (signed.method === "GET" || signed.method === "HEAD")) {
    response.cancel();
    throw failure("ERR_PROTOCOL", `${call.purpose.store} answered 304 to a read without a condition`, call.purpose);
  }

  const refusal = await readRefusal(response);
  call.signal?.throwIfAborted();
  if (refusal.isCut === true && status < 500) {
    const message = `${call.purpose.store} answered ${status}, and the answer broke off`;
    throw failure("ERR_UNAVAILABLE", message, call.purpose, { status, retry: { retryable: true } });
  }
  if (refusal.code === "NoSuchKey") connection.capabilities.isBucketSeen = true;
  const recovered = await call.recover?.(refusal, again);
  if (recovered !== undefined) return recovered;
  const error = refusalError(refusal, response, call.purpose);
  const clockMovedMs = Math.abs(clock.now() - receivedAt - offsetMs);
  const isOver = clockMovedMs > SUSPECT_CLOCK_MS || signed.expiresAt * 1_000 < clock.now();
  return { error, signatureEnded: error.retry.newSignature === true || (isUnexplained(refusal) && isOver) };
}

async function send<T>(connection: S3Connection, call: Call<T>, signed: SignedRequest): Promise<Incoming> {
  const { method, url, headers } = signed;
  const { body, signal, purpose } = call;
  const { limits = LIMITS } = connection;
  try {
    return await connection.send({
      method,
      url,
      headers: call.headers === undefined ? headers : { ...headers, ...call.headers },
      body,
      signal,
      headersTimeoutMs: call.headersTimeoutMs ?? limits.headersMs,
      silenceMs: limits.silenceMs,
    });
  } catch (cause) {
    signal?.throwIfAborted();
    const error = networkFailure(cause, purpose);
    if (isBrowser() && error.retry.noAnswer === true && (await connection.send.reaches?.(url)) === true) {
      const message = `the browser does not let this page talk to ${purpose.store}. ${corsRule()}`;
      throw failure("ERR_CORS", message, purpose, { retry: { retryable: true } }, cause);
    }
    throw error;
  }
}
