/** Talks to a presign handler: what is asked in one tick goes out as one batch. */
import { concat, utf8 } from "../base/bytes.js";
import type { StoreClock } from "../base/clock.js";
import { BucketCacheError, type ErrorCode } from "../errors.js";
import type { SignedRequest } from "../types.js";
import { Malformed, MAX_BATCH, MAX_REQUEST_BYTES, parseResults, VERSION, type PresignRequest } from "./protocol.js";
import { failure, networkFailure } from "../s3/refusal.js";
import { LIMITS } from "../s3/retry.js";
import { isBrowser } from "../base/runtime.js";
import type { Incoming, Outgoing, Send } from "../s3/transport.js";

type Headers = Record<string, string>;

interface Waiting {
  key: string;
  text: string;
  resolve(result: never): void;
  reject(error: unknown): void;
}

/** Calls that were made together reach this place some steps apart, since some await more than others. */
const STEPS = 32;

/** Batches under way; what comes meanwhile gathers into the next. */
const IN_FLIGHT = 4;

/** 256 pages of a listing are more than anybody asks for at once. Bytes. */
const MAX_ANSWER = 16 << 20;

/** Completing a large upload takes a store long. Milliseconds. */
const CONTROL_TIMEOUT = 90_000;

const BY_STATUS: Record<number, ErrorCode> = { 401: "ERR_CREDENTIALS", 403: "ERR_FORBIDDEN", 413: "ERR_TOO_LARGE" };

interface Refusal {
  code?: unknown;
  message?: unknown;
  maxBatch?: unknown;
}

export interface HandlerClient {
  /** A grant for one request to the store. */
  sign(request: PresignRequest): Promise<SignedRequest>;
  /** What the handler does itself, and may take its time for: on its own, so that no grant waits for it. */
  control<T>(request: PresignRequest, signal?: AbortSignal): Promise<T>;
}

export function handlerClient(
  store: string,
  url: string,
  headers: Headers | (() => Headers | Promise<Headers>) | undefined,
  send: Send,
  clock: StoreClock,
): HandlerClient {
  const queue: Waiting[] = [];
  let soon = false;
  let inFlight = 0;
  /** What the handler takes, once it has said so. */
  let maxBatch = MAX_BATCH;

  const fail = (code: ErrorCode, message: string, key?: string, retryable = false, cause?: unknown): Error =>
    failure(code, `the presign handler ${message}`, { store, key }, { retry: { retryable } }, cause);

  // No timer: those of pages in the background fire once a second, or once a minute.
  async function flushSoon(): Promise<void> {
    if (soon) return;
    soon = true;
    for (let step = 0; step < STEPS; step++) await undefined;
    soon = false;
    flush();
  }

  function flush(): void {
    while (queue.length > 0 && inFlight < IN_FLIGHT) {
      let size = 64;
      let count = 0;
      for (; count < Math.min(queue.length, maxBatch); count++) {
        // A UTF-16 code unit is at most three bytes of UTF-8.
        size += (queue[count] as Waiting).text.length * 3 + 1;
        if (count > 0 && size > MAX_REQUEST_BYTES) break;
      }
      inFlight++;
      void post(queue.splice(0, count), LIMITS.headers).finally(() => {
        inFlight--;
        flush();
      });
    }
  }

  /** Never rejects: each who waits is answered. */
  async function post(batch: Waiting[], headersTimeout: number, signal?: AbortSignal): Promise<void> {
    try {
      const more = typeof headers === "function" ? await headers() : headers;
      const { status, json } = await exchange({
        method: "POST",
        url,
        headers: { ...more, "content-type": "application/json" },
        body: utf8(`{"v":${VERSION},"requests":[${batch.map(({ text }) => text).join()}]}`),
        signal,
        headersTimeout,
        silence: LIMITS.silence,
      });
      const { error } = (json ?? {}) as { error?: Refusal };
      // A body parser before the handler may take less than that, and does not say how much.
      const accepted = Math.max(1, error ? (error.maxBatch as number) : batch.length >> 1);
      if (status === 413 && accepted < batch.length) {
        maxBatch = accepted;
        queue.unshift(...batch);
        return void flushSoon();
      }
      if (status !== 200) throw refusal(status, error);
      const { now, results } = parseResults(json, batch.length);
      clock.set(now);
      batch.forEach(({ key, resolve, reject }, index) => {
        const result = (results[index] ?? {}) as { error?: Refusal };
        if (result.error === undefined) resolve(result as never);
        else reject(refusal(status, result.error, key));
      });
    } catch (error) {
      const reason = error instanceof Malformed ? fail("ERR_PROTOCOL", error.message) : error;
      for (const { key, reject } of batch) {
        // Each who waits is told of its own key.
        reject(
          reason instanceof BucketCacheError
            ? failure(reason.code, reason.message, { store, key }, reason, reason.cause)
            : reason,
        );
      }
    }
  }

  /** `json` is undefined when the answer is none. */
  async function exchange(outgoing: Outgoing): Promise<{ status: number; json: unknown }> {
    const chunks: Uint8Array[] = [];
    let size = 0;
    let response: Incoming | undefined;
    try {
      response = await send(outgoing);
      await response.drain((chunk) => {
        if ((size += chunk.byteLength) > MAX_ANSWER) throw new Malformed("sends an answer without end");
        chunks.push(chunk);
      });
    } catch (error) {
      response?.cancel();
      if (error instanceof Malformed) throw error;
      if (outgoing.signal?.aborted === true) throw outgoing.signal.reason;
      const reason = networkFailure(error, { store, action: "" });
      if (response === undefined && isBrowser() && reason.retry.noAnswer && (await send.reaches?.(url))) {
        const origin = JSON.stringify(globalThis.location?.origin);
        throw fail(
          "ERR_CORS",
          `may not be asked by this page: add ${origin} to its allowedOrigins`,
          undefined,
          true,
          error,
        );
      }
      throw fail(reason.code, `gives no answer: ${reason.message}`, undefined, reason.retry.retryable, error);
    }
    const { status } = response;
    try {
      return { status, json: JSON.parse(new TextDecoder().decode(concat(chunks))) };
    } catch {
      return { status, json: undefined };
    }
  }

  function refusal(status: number, error: Refusal | undefined, key?: string): Error {
    const { code, message } = error ?? {};
    if (/^ERR_[A-Z_]{1,40}$/.test(String(code))) {
      const retry = code === "ERR_UNAVAILABLE" || code === "ERR_TIMEOUT";
      return fail(code as ErrorCode, `refuses: ${String(message).slice(0, 500)}`, key, retry);
    }
    // Something else answered: a login page, a proxy, a server that knows no such path.
    const down = status === 429 || status >= 500;
    const meant = down ? "ERR_UNAVAILABLE" : BY_STATUS[status];
    return fail(
      meant ?? "ERR_PROTOCOL",
      `answered ${status}${meant ? "" : ", not in its protocol: check url"}`,
      key,
      down,
    );
  }

  function ask<T>(request: PresignRequest, post: (waiting: Waiting) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      post({ key: request.key, text: JSON.stringify(request), resolve: resolve as () => void, reject });
    });
  }

  return {
    async sign(request) {
      const grant = await ask<SignedRequest>(request, (waiting) => {
        queue.push(waiting);
        void flushSoon();
      });
      const { method, url, headers, expiresAt } = grant;
      if (typeof method !== "string" || !/^https?:/.test(url) || typeof headers !== "object" || !(expiresAt > 0)) {
        throw fail("ERR_PROTOCOL", "answers with something that is no grant", request.key);
      }
      return grant;
    },
    control: (request, signal) => ask(request, (waiting) => void post([waiting], CONTROL_TIMEOUT, signal)),
  };
}
