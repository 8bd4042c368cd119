/** One exchange with a presign handler over HTTP. */
import { concat, utf8 } from "../base/bytes.js";
import { isBrowser } from "../base/runtime.js";
import { networkFailure } from "../s3/failure.js";
import { LIMITS } from "../s3/retry.js";
import type { Incoming, Outgoing, Send } from "../s3/transport.js";
import type { PendingRequest } from "./batching.js";
import { handlerFailure } from "./handler-errors.js";
import { Malformed, VERSION } from "./protocol.js";

type Headers = Record<string, string>;

/** Headers of the page's own, a token say; a function is called for each request. */
export type RequestHeaders = Headers | (() => Headers | Promise<Headers>) | undefined;

/** 256 pages of a listing are more than anybody asks for at once. */
const MAX_ANSWER_BYTES = 16 << 20;

/** The answer of a handler, or of a server before it. */
export interface HandlerAnswer {
  status: number;
  /** Undefined when the body is not JSON. */
  json: unknown;
}

export class Exchange {
  readonly #store: string;
  readonly #url: string;
  readonly #headers: RequestHeaders;
  readonly #send: Send;

  constructor(store: string, url: string, headers: RequestHeaders, send: Send) {
    this.#store = store;
    this.#url = url;
    this.#headers = headers;
    this.#send = send;
  }

  /**
   * Sends a batch, and reads the answer whatever its status is.
   *
   * @throws BucketCacheError when no answer comes: `ERR_CORS`, `ERR_UNAVAILABLE` or `ERR_TIMEOUT`
   * @throws Malformed for an answer without end
   */
  async post(
    batch: readonly PendingRequest[],
    headersTimeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<HandlerAnswer> {
    const headers = typeof this.#headers === "function" ? await this.#headers() : this.#headers;
    return this.#exchange({
      method: "POST",
      url: this.#url,
      headers: { ...headers, "content-type": "application/json" },
      body: utf8(`{"v":${VERSION},"requests":[${batch.map(({ json }) => json).join()}]}`),
      signal,
      headersTimeoutMs,
      silenceMs: LIMITS.silenceMs,
    });
  }

  async #exchange(outgoing: Outgoing): Promise<HandlerAnswer> {
    let response: Incoming | undefined;
    let body: Uint8Array;
    try {
      response = await this.#send(outgoing);
      body = await readBody(response);
    } catch (error) {
      response?.cancel();
      if (error instanceof Malformed) throw error;
      if (outgoing.signal?.aborted === true) throw outgoing.signal.reason;
      throw await this.#noAnswer(error, response !== undefined);
    }
    return { status: response.status, json: parseJson(body) };
  }

  async #noAnswer(error: unknown, answerBegan: boolean): Promise<Error> {
    const details = { store: this.#store };
    const { code, message, retry } = networkFailure(error, { store: this.#store, action: "" });
    if (!answerBegan && isBrowser() && retry.noAnswer === true && (await this.#send.reaches?.(this.#url)) === true) {
      const origin = JSON.stringify(globalThis.location?.origin);
      const advice = `may not be asked by this page: add ${origin} to its allowedOrigins`;
      return handlerFailure("ERR_CORS", advice, details, true, error);
    }
    return handlerFailure(code, `gives no answer: ${message}`, details, retry.retryable, error);
  }
}

async function readBody(response: Incoming): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  await response.drain((chunk) => {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES) throw new Malformed("sends an answer without end");
    chunks.push(chunk);
  });
  return concat(chunks);
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
}
