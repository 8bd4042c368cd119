/** How requests travel: the shape that every transport has. */
import type { Bytes } from "../types.js";

export interface Outgoing {
  method: string;
  url: string;
  headers: Record<string, string>;
  /** Never a stream: Firefox sends its name instead, and a retry could not send it again. */
  body?: Uint8Array | Blob | undefined;
  signal?: AbortSignal | undefined;
  /** Milliseconds to the headers of the answer. */
  headersTimeout: number;
  /** Milliseconds without a byte. */
  silence: number;
}

/** An answer. Its body is read by `read` or by `drain`, or given up by `cancel`; else its socket is never free. */
export interface Incoming {
  readonly status: number;
  header(name: string): string | undefined;
  /** User metadata, without `x-amz-meta-`. */
  metadata(): Record<string, string>;
  /** The next bytes; undefined at the end. */
  read(): Promise<Bytes | undefined>;
  /** Hands all bytes to `sink`, the fastest way to read a body. */
  drain(sink: (chunk: Uint8Array) => void): Promise<void>;
  /** Does nothing after the end. */
  cancel(): void;
}

/** Rejects when no answer comes, with `Silence` after a time-out. A status is never an error here. */
export interface Send {
  (request: Outgoing): Promise<Incoming>;
  /**
   * A page learns nothing from a failed `fetch`; but when its server answers a request that CORS is not asked about, it
   * was CORS. It never is on the page's own origin, nor offline.
   */
  reaches?(url: string): Promise<boolean>;
}

export type FetchLike = (input: string, init: any) => Promise<Response>;
