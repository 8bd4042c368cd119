/** The transport over `fetch`, which exists in every runtime. */
import { isBrowser } from "../base/runtime.js";
import type { Bytes } from "../types.js";
import { metadataName } from "./header-names.js";
import { uploadTimeMs } from "./retry.js";
import { sizeOf, type FetchLike, type Incoming, type Send } from "./transport.js";
import { interruptible, type Interruption } from "./watchdog.js";

/** A rest of a body up to this size is read rather than cancelled, which keeps the connection. */
export const CHEAP_REST_BYTES = 65_536;

/** Below this size, one `arrayBuffer` costs less than a loop over a reader. */
const MAX_WHOLE_BYTES = 1 << 20;

/** Longest wait for an answer that tells CORS from a broken network. */
const REACH_TIMEOUT_MS = 5_000;

/** An answer of `fetch`. Each of its reads ends after a silence, and when the caller aborts. */
export class WebIncoming implements Incoming {
  readonly status: number;
  readonly #response: Response;
  readonly #interruption: Interruption;
  readonly #silenceMs: number;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #ended = false;

  constructor(response: Response, interruption: Interruption, silenceMs: number) {
    // A browser hides where a redirect leads, and its status, but tells that it is one.
    this.status = response.type === "opaqueredirect" ? 302 : response.status;
    this.#response = response;
    this.#interruption = interruption;
    this.#silenceMs = silenceMs;
  }

  header(name: string): string | undefined {
    return this.#response.headers.get(name) ?? undefined;
  }

  metadata(): Record<string, string> {
    const metadata: Record<string, string> = {};
    this.#response.headers.forEach((value, header) => {
      const name = metadataName(header);
      if (name !== undefined) metadata[name] = value;
    });
    return metadata;
  }

  async read(): Promise<Bytes | undefined> {
    if (this.#ended) return undefined;
    this.#reader ??= this.#response.body?.getReader();
    return this.#guard(async () => {
      const { done, value } = (await this.#reader?.read()) ?? { done: true };
      if (done || value === undefined) this.#end();
      return value as Bytes | undefined;
    });
  }

  async drain(sink: (chunk: Uint8Array) => void): Promise<void> {
    // Bytes that the runtime decodes may be many more than the header announces.
    const isEncoded = (this.header("content-encoding") ?? "identity") !== "identity";
    if (!isEncoded && this.#announced() <= MAX_WHOLE_BYTES && this.#reader === undefined && !this.#ended) {
      const all = await this.#guard(() => this.#response.arrayBuffer());
      this.#end();
      sink(new Uint8Array(all));
    } else {
      for (let chunk; (chunk = await this.read()) !== undefined;) sink(chunk);
    }
  }

  cancel(): void {
    if (this.#ended) return;
    const isCheap = this.#reader === undefined && this.#announced() <= CHEAP_REST_BYTES;
    const rest = isCheap
      ? this.#guard(() => this.#response.arrayBuffer())
      : (this.#reader?.cancel() ?? this.#response.body?.cancel());
    void Promise.resolve(rest).then(
      () => this.#end(),
      () => this.#end(),
    );
    this.#ended = true;
  }

  #announced(): number {
    return Number(this.header("content-length") ?? Infinity);
  }

  #end(error?: unknown): unknown {
    this.#ended = true;
    return this.#interruption.settle(error);
  }

  async #guard<T>(step: () => Promise<T>): Promise<T> {
    const { watchdog } = this.#interruption;
    watchdog.arm(this.#silenceMs);
    try {
      return await step();
    } catch (error) {
      throw this.#end(error);
    } finally {
      watchdog.stop();
    }
  }
}

/** Returns a transport over `fetch`. `custom` takes the place of the global one, which is read at each call. */
export function fetchSend(custom?: FetchLike): Send {
  const send: Send = async ({ method, url, headers, body, signal, headersTimeoutMs, silenceMs }) => {
    const interruption = interruptible(signal);
    const size = sizeOf(body);
    // `fetch` does not tell of the bytes that go out, so an upload gets the time that a slow line needs.
    interruption.watchdog.arm(headersTimeoutMs + uploadTimeMs(size));
    // The runtime sends the length of the body by itself, and a page may not set it.
    const { "content-length": _, ...rest } = headers;
    const init: RequestInit = { method, headers: rest, redirect: "manual", signal: interruption.signal };
    // Deno sends an empty Blob in chunks, without the length that was signed.
    if (body !== undefined) init.body = size === 0 ? new Uint8Array(0) : (body as BodyInit);
    // Only browsers have an HTTP cache, and workerd refuses the field. A POST does without it, since it would cause a
    // preflight of each request to a handler on another origin.
    if (method !== "POST" && isBrowser()) init.cache = "no-store";
    try {
      const response = await (custom ?? globalThis.fetch)(url, init);
      // An answer that nobody reads gives its connection back after the silence.
      interruption.watchdog.arm(silenceMs);
      return new WebIncoming(response, interruption, silenceMs);
    } catch (error) {
      throw interruption.settle(error);
    }
  };
  send.reaches = async (url) => {
    const { origin } = new URL(url);
    if (origin === globalThis.location?.origin || globalThis.navigator?.onLine === false) return false;
    try {
      const signal = AbortSignal.timeout(REACH_TIMEOUT_MS);
      await (custom ?? globalThis.fetch)(`${origin}/`, { mode: "no-cors", cache: "no-store", signal });
      return true;
    } catch {
      return false;
    }
  };
  return send;
}
