/** Talks to a presign handler: what is asked in one tick goes out as one batch. */
import { concat, utf8 } from "../bytes.js";
import type { StoreClock } from "../clock.js";
import type { ErrorCode } from "../errors.js";
import type { SignedRequest } from "../internals.js";
import { isReachable } from "../perform.js";
import { Malformed, MAX_BATCH, MAX_REQUEST_BYTES, parseResults, type PresignRequest } from "../protocol.js";
import { failure, networkFailure, troubleOf } from "../refusal.js";
import { LIMITS } from "../retry.js";
import { isBrowser } from "../runtime.js";
import type { Incoming, Send } from "../send.js";

type Headers = Record<string, string>;

interface Waiting {
  request: PresignRequest;
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

export class HandlerClient {
  readonly #store: string;
  readonly #url: string;
  readonly #headers: Headers | (() => Headers | Promise<Headers>) | undefined;
  readonly #send: Send;
  readonly #clock: StoreClock;
  #queue: Waiting[] = [];
  #soon = false;
  #inFlight = 0;
  /** What the handler takes, once it has said so. */
  #maxBatch = MAX_BATCH;

  constructor(
    store: string,
    url: string,
    headers: Headers | (() => Headers | Promise<Headers>) | undefined,
    send: Send,
    clock: StoreClock,
  ) {
    this.#store = store;
    this.#url = url;
    this.#headers = headers;
    this.#send = send;
    this.#clock = clock;
  }

  /** A grant for one request to the store. */
  async sign(request: PresignRequest): Promise<SignedRequest> {
    const grant = await new Promise<SignedRequest>((resolve, reject) => {
      this.#queue.push({ request, text: JSON.stringify(request), resolve, reject });
      void this.#flushSoon();
    });
    const { method, url, headers, expiresAt } = grant;
    if (typeof method !== "string" || !/^https?:/.test(url) || typeof headers !== "object" || !(expiresAt > 0)) {
      throw this.#failure("ERR_PROTOCOL", "the presign handler answered with something that is no grant");
    }
    return grant;
  }

  /** What the handler does itself, and may take its time for: on its own, so that no grant waits for it. */
  control<T>(request: PresignRequest, signal?: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const waiting = { request, text: JSON.stringify(request), resolve: resolve as () => void, reject };
      void this.#post([waiting], CONTROL_TIMEOUT, signal);
    });
  }

  // No timer: those of pages in the background fire once a second, or once a minute.
  async #flushSoon(): Promise<void> {
    if (this.#soon) return;
    this.#soon = true;
    for (let step = 0; step < STEPS; step++) await undefined;
    this.#soon = false;
    this.#flush();
  }

  #flush(): void {
    while (this.#queue.length > 0 && this.#inFlight < IN_FLIGHT) {
      let size = 64;
      let count = 0;
      for (; count < Math.min(this.#queue.length, this.#maxBatch); count++) {
        // A UTF-16 code unit is at most three bytes of UTF-8.
        size += (this.#queue[count] as Waiting).text.length * 3 + 1;
        if (count > 0 && size > MAX_REQUEST_BYTES) break;
      }
      this.#inFlight++;
      void this.#post(this.#queue.splice(0, count), LIMITS.headers).finally(() => {
        this.#inFlight--;
        this.#flush();
      });
    }
  }

  /** Never rejects: each who waits is answered. */
  async #post(batch: Waiting[], headersTimeout: number, signal?: AbortSignal): Promise<void> {
    try {
      const headers = typeof this.#headers === "function" ? await this.#headers() : this.#headers;
      const response = await this.#fetch(
        {
          method: "POST",
          url: this.#url,
          headers: { ...headers, "content-type": "application/json" },
          body: utf8(`{"v":1,"requests":[${batch.map(({ text }) => text).join()}]}`),
          signal,
          headersTimeout,
          silence: LIMITS.silence,
        },
        signal,
      );
      const json = await this.#read(response);
      if (response.status !== 200) {
        const { maxBatch } = ((json as { error?: object } | undefined)?.error ?? {}) as { maxBatch?: unknown };
        if (response.status === 413 && Number(maxBatch) > 0 && Number(maxBatch) < batch.length) {
          this.#maxBatch = Number(maxBatch);
          this.#queue.unshift(...batch);
          return void this.#flushSoon();
        }
        throw this.#refusal(response.status, json);
      }
      const { now, results } = parseResults(json, batch.length);
      this.#clock.set(now);
      batch.forEach(({ request, resolve, reject }, index) => {
        const { error } = (results[index] ?? {}) as { error?: { code?: unknown; message?: unknown } };
        if (error === undefined) resolve(results[index] as never);
        else reject(this.#refusal(200, { error }, request.key));
      });
    } catch (error) {
      const reason = error instanceof Malformed ? this.#failure("ERR_PROTOCOL", error.message) : error;
      for (const { reject } of batch) reject(reason);
    }
  }

  async #fetch(outgoing: Parameters<Send>[0], signal: AbortSignal | undefined): Promise<Incoming> {
    try {
      return await this.#send(outgoing);
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      const reason = this.#broken(error);
      if (isBrowser() && troubleOf(reason).network === true && (await isReachable(this.#url))) {
        throw failure(
          "ERR_CORS",
          `the browser does not let this page talk to the presign handler: add ${JSON.stringify(globalThis.location?.origin)} to its allowedOrigins`,
          { store: this.#store },
          { retry: true },
          error,
        );
      }
      throw reason;
    }
  }

  /** The answer as JSON; undefined when it is none. */
  async #read(response: Incoming): Promise<unknown> {
    const chunks: Uint8Array[] = [];
    let size = 0;
    try {
      await response.drain((chunk) => {
        if ((size += chunk.byteLength) > MAX_ANSWER) throw new Malformed("the presign handler's answer has no end");
        chunks.push(chunk);
      });
    } catch (error) {
      response.cancel();
      throw error instanceof Malformed ? error : this.#broken(error);
    }
    try {
      return JSON.parse(new TextDecoder().decode(concat(chunks)));
    } catch {
      return undefined;
    }
  }

  #refusal(status: number, json: unknown, key?: string): Error {
    const { code, message } = ((json as { error?: unknown } | undefined)?.error ?? {}) as Partial<
      Record<string, unknown>
    >;
    if (typeof code === "string" && /^ERR_[A-Z_]{1,40}$/.test(code)) {
      const said = `the presign handler refuses: ${String(message).slice(0, 500)}`;
      return this.#failure(code as ErrorCode, said, key, code === "ERR_UNAVAILABLE" || code === "ERR_TIMEOUT");
    }
    // Something else answered: a login page, a proxy, a server that knows no such path.
    const said = `the presign handler answered ${status}`;
    if (status === 401) return this.#failure("ERR_CREDENTIALS", `${said}: sign in first`);
    if (status === 403) return this.#failure("ERR_FORBIDDEN", said);
    if (status === 413) return this.#failure("ERR_TOO_LARGE", said);
    if (status === 429 || status >= 500) return this.#failure("ERR_UNAVAILABLE", said, undefined, true);
    return this.#failure("ERR_PROTOCOL", `${said}, not in its protocol: check \`url\`, and that it is served there`);
  }

  /** No answer, or half of one. */
  #broken(error: unknown): Error {
    const reason = networkFailure(error, { store: "the presign handler", action: "" });
    return failure(reason.code, reason.message, { store: this.#store }, troubleOf(reason), error);
  }

  #failure(code: ErrorCode, message: string, key?: string, retry = false): Error {
    return failure(code, message, { store: this.#store, key }, { retry });
  }
}
