/** One signed request, with all that may go wrong: retries, time-outs, a signature that is over, refusals. */
import { untilAborted } from "../base/abort.js";
import type { StoreClock } from "../base/clock.js";
import type { SignedRequest } from "../types.js";
import { corsRule } from "./header-names.js";
import type { MultipartUpload, Operation, PutOperation } from "./operations.js";
import { failure, networkFailure, readAnswer, refusal, type Answer, type Purpose } from "./refusal.js";
import { LIMITS, withRetries, type Limits } from "./retry.js";
import { isBrowser } from "../base/runtime.js";
import type { Incoming, Send } from "./transport.js";

export interface Plane {
  readonly name: string;
  readonly clock: StoreClock;
  readonly send: Send;
  /** `renew` when the store called the last signature expired: with fresh credentials, or a new grant. */
  sign(operation: Operation, renew: boolean, signal: AbortSignal | undefined): Promise<SignedRequest>;
  upload(operation: PutOperation): MultipartUpload;
  /** Default: `LIMITS`. Read at each use, so that they may be learned with the first signature. */
  readonly limits?: Readonly<Limits> | undefined;
  /** Bytes. */
  readonly partSize?: number | undefined;
  /** Bytes, unlike a Blob or a stream, are cut up from so many parts. Default: 8. */
  readonly partsWorthCutting?: number | undefined;
  /** Parts in flight. */
  readonly concurrency?: number | undefined;
}

export interface Call<T> {
  purpose: Purpose;
  sign(renew: boolean): Promise<SignedRequest>;
  /** Sent beside the signed ones. */
  headers?: Record<string, string>;
  body?: Uint8Array | Blob | undefined;
  signal?: AbortSignal | undefined;
  /** A refusal of the store that is a result. `again` when an earlier attempt may have reached the store. */
  excuse?(answer: Answer, signed: SignedRequest, again: boolean): Result<T> | Promise<Result<T>>;
  /** An answer of success, or 304. Must read or cancel the body. */
  accept(response: Incoming, signed: SignedRequest, again: boolean): T | Promise<T>;
  /** Milliseconds, for what takes a store longer than most. */
  headersTimeout?: number;
}

type Result<T> = { value: T } | undefined;

/** A clock that turns out to be so wrong, in milliseconds, explains a refusal that does not explain itself. */
const SUSPECT_CLOCK = 60_000;

/** One signed request with all that may go wrong: retries, time-outs, a signature that is over, a refusal. */
export function perform<T>(plane: Omit<Plane, "sign" | "upload">, call: Call<T>): Promise<T> {
  const { purpose, signal, body } = call;
  const { clock } = plane;
  const { limits = LIMITS } = plane;
  let signed: SignedRequest | undefined;
  let renewed = false;
  const attempt = async (again: boolean): Promise<T> => {
    for (;;) {
      signed ??= await untilAborted(call.sign(renewed), signal);
      const sentAt = Date.now();
      const before = clock.now() - sentAt;
      let response: Incoming;
      try {
        response = await plane.send({
          method: signed.method,
          url: signed.url,
          headers: call.headers === undefined ? signed.headers : { ...signed.headers, ...call.headers },
          body,
          signal,
          headersTimeout: call.headersTimeout ?? limits.headers,
          silence: limits.silence,
        });
      } catch (error) {
        if (signal?.aborted === true) throw signal.reason;
        const reason = networkFailure(error, purpose);
        if (isBrowser() && reason.retry.noAnswer === true && (await plane.send.reaches?.(signed.url))) {
          throw failure(
            "ERR_CORS",
            `the browser does not let this page talk to ${purpose.store}. ${corsRule()}`,
            purpose,
            { retry: { retryable: true } },
            error,
          );
        }
        throw reason;
      }
      const { status } = response;
      const receivedAt = Date.now();
      clock.observe(response.header("date"), sentAt, receivedAt, { age: response.header("age") !== undefined, status });
      if ((status >= 200 && status < 300) || status === 304) return call.accept(response, signed, again);
      const answer = await readAnswer(response);
      if (signal?.aborted === true) throw signal.reason;
      const excused = await call.excuse?.(answer, signed, again);
      if (excused !== undefined) return excused.value;
      const error = refusal(answer, response, purpose);
      // The answer to a HEAD has no body; the clocks, or the end of the grant, tell what it would have said.
      const over =
        answer.code === "" &&
        status === 403 &&
        (Math.abs(clock.now() - receivedAt - before) > SUSPECT_CLOCK || signed.expiresAt * 1_000 < clock.now());
      if (renewed || !(over || error.retry.newSignature === true)) throw error;
      renewed = true;
      signed = undefined;
    }
  };
  return withRetries(attempt, limits, signal, sizeOf(body));
}

export function sizeOf(body: Uint8Array | Blob | undefined): number {
  return body === undefined ? 0 : body instanceof Uint8Array ? body.byteLength : body.size;
}
