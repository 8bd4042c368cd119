/** The client of a presign handler: asks for grants in batches, and for everything else one request at a time. */
import type { StoreClock } from "../base/clock.js";
import { BucketCacheError } from "../errors.js";
import type { Send } from "../s3/transport.js";
import { failure } from "../s3/failure.js";
import type { Limits } from "../s3/retry.js";
import type { SignedRequest } from "../types.js";
import { RequestQueue, type PendingRequest } from "./batching.js";
import { Exchange, type RequestHeaders } from "./exchange.js";
import { handlerFailure, maxBatchOf, refusalOf, type Refusal } from "./handler-errors.js";
import { Malformed, parseResults, type PresignRequest } from "./protocol.js";

/** The handler may wait for the store, and completing a large upload takes a store long. */
const CONTROL_TIMEOUT_MS = 90_000;

/** The clock that a handler sets, and the patience with it. */
export interface HandlerTimes {
  clock: StoreClock;
  limits: Readonly<Limits>;
}

export class HandlerClient {
  readonly limits: Readonly<Limits>;
  readonly #store: string;
  readonly #exchange: Exchange;
  readonly #clock: StoreClock;
  readonly #queue: RequestQueue;

  constructor(store: string, url: string, headers: RequestHeaders, send: Send, { clock, limits }: HandlerTimes) {
    this.#store = store;
    this.#exchange = new Exchange(store, url, headers, send);
    this.#clock = clock;
    this.limits = limits;
    this.#queue = new RequestQueue((batch) => this.#post(batch, limits.headersMs));
  }

  /**
   * Asks for a grant for one request to the store. Requests of one tick share a batch.
   *
   * @throws BucketCacheError the handler's refusal, or `ERR_PROTOCOL` for an answer that is no grant
   */
  async sign(request: PresignRequest): Promise<SignedRequest> {
    const grant = await pendingResult<SignedRequest>(request, (pending) => this.#queue.add(pending));
    const { method, url, headers, expiresAt } = grant;
    if (typeof method !== "string" || !/^https?:/.test(url) || typeof headers !== "object" || !(expiresAt > 0)) {
      throw handlerFailure("ERR_PROTOCOL", "answers with something that is no grant", this.#at(request.key));
    }
    return grant;
  }

  /** Asks for work that the handler itself does with the store. Sent on its own, so that no grant waits for it. */
  control<T>(request: PresignRequest, signal?: AbortSignal): Promise<T> {
    return pendingResult<T>(request, (pending) => void this.#post([pending], CONTROL_TIMEOUT_MS, signal));
  }

  /** Sends a batch and settles each of its requests. Never rejects. */
  async #post(batch: readonly PendingRequest[], headersTimeoutMs: number, signal?: AbortSignal): Promise<void> {
    try {
      const { status, json } = await this.#exchange.post(batch, headersTimeoutMs, signal);
      const { error } = (json ?? {}) as { error?: Refusal };
      const maxBatch = maxBatchOf(status, error, batch.length);
      if (maxBatch !== undefined) return this.#queue.retrySmaller(batch, maxBatch);
      if (status !== 200) throw refusalOf(status, error, this.#at());
      const { now, results } = parseResults(json, batch.length);
      this.#clock.set(now);
      batch.forEach(({ key, resolve, reject }, index) => {
        const result = (results[index] ?? {}) as { error?: Refusal };
        if (result.error === undefined) resolve(result as never);
        else reject(refusalOf(status, result.error, this.#at(key)));
      });
    } catch (error) {
      for (const { key, reject } of batch) reject(this.#withKey(error, key));
    }
  }

  /** Returns the failure of a whole batch as an error of one of its requests. */
  #withKey(error: unknown, key: string): unknown {
    if (error instanceof Malformed) return handlerFailure("ERR_PROTOCOL", error.message, this.#at(key));
    if (!(error instanceof BucketCacheError)) return error;
    return failure(error.code, error.message, this.#at(key), error, error.cause);
  }

  #at(key?: string): { store: string; key: string | undefined } {
    return { store: this.#store, key };
  }
}

/** Hands a request over to `enqueue`, and returns the result that it will have. */
function pendingResult<T>(request: PresignRequest, enqueue: (pending: PendingRequest) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    enqueue({ key: request.key, json: JSON.stringify(request), resolve: resolve as () => void, reject });
  });
}
