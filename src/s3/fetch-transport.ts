/** Requests over `fetch`, which runs everywhere. */
import { onAbort } from "../base/abort.js";
import { metadataName } from "./header-names.js";
import { Silence } from "./refusal.js";
import { allowance, Watchdog } from "./retry.js";
import { isBrowser } from "../base/runtime.js";
import type { Bytes } from "../types.js";
import type { FetchLike, Incoming, Send } from "./transport.js";

/** Bodies up to this size are read to their end rather than cancelled: that keeps the connection. */
export const CHEAP_REST = 65_536;

/** Below this, one `arrayBuffer` is cheaper than a loop over a reader. */
const WHOLE = 1 << 20;

/** Everything that reads a body gives up after silence, and stops when the caller aborts. */
export class WebIncoming implements Incoming {
  readonly status: number;
  readonly #response: Response;
  readonly #watchdog: Watchdog;
  readonly #silence: number;
  readonly #settle: (error?: unknown) => unknown;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #over = false;

  /** `settle` is called once at the end, and turns an error into the one to be thrown. */
  constructor(response: Response, watchdog: Watchdog, silence: number, settle: (error?: unknown) => unknown) {
    // A browser does not show where a redirect leads, but that it is one.
    this.status = response.type === "opaqueredirect" ? 302 : response.status;
    this.#response = response;
    this.#watchdog = watchdog;
    this.#silence = silence;
    this.#settle = settle;
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
    if (this.#over) return undefined;
    this.#reader ??= this.#response.body?.getReader();
    return this.#guard(async () => {
      const { done, value } = (await this.#reader?.read()) ?? { done: true };
      if (done || value === undefined) this.#end();
      return value as Bytes | undefined;
    });
  }

  async drain(sink: (chunk: Uint8Array) => void): Promise<void> {
    // Bytes that the runtime decodes may be many more than were announced.
    const encoded = (this.header("content-encoding") ?? "identity") !== "identity";
    const size = encoded ? Infinity : Number(this.header("content-length") ?? Infinity);
    if (size <= WHOLE && this.#reader === undefined && !this.#over) {
      const all = await this.#guard(() => this.#response.arrayBuffer());
      this.#end();
      sink(new Uint8Array(all));
    } else {
      for (let chunk; (chunk = await this.read()) !== undefined;) sink(chunk);
    }
  }

  cancel(): void {
    if (this.#over) return;
    const cheap = this.#reader === undefined && Number(this.header("content-length") ?? Infinity) <= CHEAP_REST;
    const rest = cheap
      ? this.#guard(() => this.#response.arrayBuffer())
      : (this.#reader?.cancel() ?? this.#response.body?.cancel());
    void Promise.resolve(rest).then(
      () => this.#end(),
      () => this.#end(),
    );
    this.#over = true;
  }

  #end(error?: unknown): unknown {
    this.#over = true;
    this.#watchdog.stop();
    return this.#settle(error);
  }

  async #guard<T>(step: () => Promise<T>): Promise<T> {
    this.#watchdog.arm(this.#silence);
    try {
      return await step();
    } catch (error) {
      throw this.#end(error);
    } finally {
      this.#watchdog.stop();
    }
  }
}

/** An abort of ours: the caller's, or silence. `settle` removes the listener and tells what an error really was. */
export function interruption(signal: AbortSignal | undefined) {
  const controller = new AbortController();
  const watchdog = new Watchdog(() => controller.abort(new Silence("no bytes for too long")));
  const leave = onAbort(signal, () => controller.abort(signal?.reason));
  const settle = (error?: unknown): unknown => {
    watchdog.stop();
    leave();
    // The transports wrap an abort in errors of their own.
    return controller.signal.aborted ? controller.signal.reason : error;
  };
  return { signal: controller.signal, watchdog, settle };
}

/** The transport over `fetch`. `custom` takes the place of the global one, which is read at each call. */
export function fetchSend(custom?: FetchLike): Send {
  const send: Send = async ({ method, url, headers, body, signal, headersTimeout, silence }) => {
    const { signal: inner, watchdog, settle } = interruption(signal);
    const size = body === undefined ? 0 : body instanceof Uint8Array ? body.byteLength : body.size;
    // What is sent cannot be seen here, so an upload gets the time that a slow line needs.
    watchdog.arm(headersTimeout + allowance(size));
    // The length is the runtime's to send: pages may not set it, and all of them send that of the body.
    const { "content-length": _, ...rest } = headers;
    const init: RequestInit = { method, headers: rest, redirect: "manual", signal: inner };
    // Deno sends an empty Blob in chunks, without the length that was signed.
    if (body !== undefined) init.body = size === 0 ? new Uint8Array(0) : (body as BodyInit);
    // workerd refuses the field, and other runtimes have no HTTP cache. With it each POST to a handler elsewhere would be
    // preflighted anew.
    if (method !== "POST" && isBrowser()) init.cache = "no-store";
    try {
      const response = await (custom ?? globalThis.fetch)(url, init);
      // A body that nobody reads gives its connection back in the end.
      watchdog.arm(silence);
      return new WebIncoming(response, watchdog, silence, settle);
    } catch (error) {
      throw settle(error);
    }
  };
  send.reaches = async (url) => {
    const { origin } = new URL(url);
    if (origin === globalThis.location?.origin || globalThis.navigator?.onLine === false) return false;
    try {
      const init: RequestInit = { mode: "no-cors", cache: "no-store", signal: AbortSignal.timeout(5_000) };
      await (custom ?? globalThis.fetch)(`${origin}/`, init);
      return true;
    } catch {
      return false;
    }
  };
  return send;
}
