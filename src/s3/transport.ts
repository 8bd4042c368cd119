/** The interface of transports: how requests travel. */
import type { Bytes } from "../types.js";

/** A request as it is sent. */
export interface Outgoing {
  method: string;
  url: string;
  headers: Record<string, string>;
  /** Never a stream: Firefox sends the text "[object ReadableStream]" instead, and a retry could not send it again. */
  body?: Uint8Array | Blob | undefined;
  signal?: AbortSignal | undefined;
  /** Longest wait for the headers of the answer. */
  headersTimeoutMs: number;
  /** Longest wait for the next byte. */
  silenceMs: number;
}

/** An answer. Its body must be read by `read` or by `drain`, or given up by `cancel`: else its socket never becomes free. */
export interface Incoming {
  readonly status: number;
  /** Returns a header by its name in lower case. */
  header(name: string): string | undefined;
  /** Returns the user metadata, named without `x-amz-meta-`. */
  metadata(): Record<string, string>;
  /** Resolves to the next bytes; undefined at the end. */
  read(): Promise<Bytes | undefined>;
  /** Hands all bytes to `sink`. This is the fastest way to read a body. */
  drain(sink: (chunk: Uint8Array) => void): Promise<void>;
  /** Gives up the rest of the body. Does nothing after the end. */
  cancel(): void;
}

/** Sends one request. Rejects when no answer comes, with `Silence` after a time-out; no status is an error here. */
export interface Send {
  (request: Outgoing): Promise<Incoming>;
  /**
   * Tells whether the server of a URL answers a request that CORS does not concern. A page learns no reason from a failed
   * `fetch`, but if its server answers this one, the reason was CORS. False on the page's own origin and offline, where
   * CORS is never the reason.
   */
  reaches?(url: string): Promise<boolean>;
  /** True where bodies arrive as they were sent, whatever their `Content-Encoding` is. */
  readonly decodesNothing?: true;
}

/** A function that works as the global `fetch` does. */
export type FetchLike = (input: string, init: any) => Promise<Response>;

/** Returns the size of a body in bytes. */
export function sizeOf(body: Uint8Array | Blob | undefined): number {
  return body === undefined ? 0 : body instanceof Uint8Array ? body.byteLength : body.size;
}
