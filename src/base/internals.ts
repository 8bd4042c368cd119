/**
 * What our own parts know of our own stores beyond `ObjectStore`. A leaf: everything may import it. Stores of other
 * people have none of this and lose nothing but speed and the presign handler.
 */
import { StoreClock } from "./clock.js";
import type { Bytes, CallOptions, ListedObject, ObjectStore } from "../types.js";

export const INTERNALS: unique symbol = Symbol.for("bucketcache.internals") as never;

/**
 * An optional method on the result of `ObjectStore.get`, beside `body`: reads all of it in one piece, resuming short
 * reads by itself, and throws `ERR_TOO_LARGE` beyond `maxBytes`. Who calls it must not touch `body`.
 */
export const READ_ALL: unique symbol = Symbol.for("bucketcache.readAll") as never;
export type ReadAll = (maxBytes: number) => Promise<Bytes>;

export interface StoreInternals {
  readonly clock?: StoreClock;
  readonly signer?: BucketSigner;
  /** The store itself stamps `expires_at` on what is written, from a TTL and a clock that is right (a presign handler's). */
  readonly stampsExpiry?: boolean;
  /** Gets ready, in one request, to read these keys soon. */
  readonly prepare?: (keys: readonly string[]) => void;
}

export function internalsOf(store: ObjectStore): StoreInternals {
  return (store as { [INTERNALS]?: StoreInternals })[INTERNALS] ?? {};
}

const clocks = new WeakMap<ObjectStore, StoreClock>();

/** The clock of a store: its own, else one that callers teach by `ObjectHead.now` (`clock.set`). */
export function clockOf(store: ObjectStore): StoreClock {
  const own = internalsOf(store).clock;
  if (own !== undefined) return own;
  let clock = clocks.get(store);
  if (clock === undefined) clocks.set(store, (clock = new StoreClock()));
  return clock;
}

/** What a write resolves to. Since when the object is there is for the cache, and not seen by who compares results. */
export function written(etag: string, lastModified: Date): { etag: string } {
  return Object.defineProperty({ etag }, "lastModified", { value: lastModified });
}

/** A request for one object (or, with an empty key, for the bucket) before it has a host and a signature. */
export interface SignableRequest {
  method: "GET" | "HEAD" | "PUT" | "DELETE" | "POST";
  /** The object key, not encoded. */
  key: string;
  /** Values not encoded. */
  query?: Record<string, string>;
  /** Names in lower case. All of them are signed, so the store enforces them. */
  headers?: Record<string, string>;
}

export interface SignedRequest {
  method: string;
  url: string;
  /** To be sent exactly so. `host` is not among them; `content-length` is, where it was signed. */
  headers: Record<string, string>;
  /** Unix seconds: the earlier of what was asked for and the end of the signing credentials. */
  expiresAt: number;
}

/** The condition of a write. */
export interface WriteCondition {
  ifMatch?: string;
  ifNoneMatch?: "*";
}

export interface UploadedPart {
  partNumber: number;
  etag: string;
}

/** What the presign handler needs of the side that holds credentials. */
export interface BucketSigner {
  /**
   * Signs for somebody else: a PUT also signs what stops a copy source from being smuggled in, where the store lets
   * unsigned `x-amz-*` headers through.
   */
  sign(request: SignableRequest, expiresIn: number): Promise<SignedRequest>;
  createUpload(key: string, headers: Record<string, string>, options?: CallOptions): Promise<string>;
  completeUpload(
    key: string,
    uploadId: string,
    parts: readonly UploadedPart[],
    condition: WriteCondition,
    /** `entry`: the metadata by which an own success is known whose answer was lost. */
    options?: CallOptions & { entry?: string },
  ): Promise<{ etag: string }>;
  /** An upload that is gone already is no error. */
  abortUpload(key: string, uploadId: string, options?: CallOptions): Promise<void>;
  listParts(key: string, uploadId: string, options?: CallOptions): Promise<(UploadedPart & { size: number })[]>;
  listPage(
    prefix: string,
    cursor?: string,
    options?: CallOptions,
  ): Promise<{ objects: ListedObject[]; cursor: string | undefined }>;
}
