import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { BucketCacheError } from "./errors.js";

/** A length of time: a number is SECONDS (as in HTTP, Redis EX, `expiresIn`); a string is "500ms", "90s", "5m", "1h", "7d", "2w". `Infinity` is never. */
export type Duration = number | string;

/** Bytes that own a plain `ArrayBuffer`: what `fetch`, `Blob` and WebCrypto take without a cast. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** What streams into an entry. Strings are encoded as UTF-8. */
export type Body = ReadableStream<Uint8Array | string> | AsyncIterable<Uint8Array | string> | Blob | Response;

/** How far a transfer is, in bytes of the body on the wire. `total` is undefined while the end is not known. */
export interface Progress {
  loaded: number;
  total: number | undefined;
}

/** What any call takes. */
export interface CallOptions {
  /** Aborts this call only; it rejects with the signal's own `reason`, never with a `BucketCacheError`. */
  signal?: AbortSignal | undefined;
  /** Keeps background work alive after the response, as edge runtimes require (`ctx.waitUntil`). */
  waitUntil?: ((promise: Promise<unknown>) => void) | undefined;
}

/** Set once on the cache, overridden by `wrap` and by each call. */
export interface EntryOptions {
  /** How long the entry lives. Default: never expires. */
  ttl?: Duration;
  /** gzip: `"auto"` (the default) takes the smaller form from 1 KiB up, and decides by content type for streams. */
  compress?: boolean | "auto";
  /** `"await"` (the default) resolves when the entry is stored; `"background"` returns first. */
  write?: "await" | "background";
}

/** Options of {@link createCache}. */
export interface CacheOptions extends EntryOptions, Pick<CallOptions, "waitUntil"> {
  /** Where entries live: `s3Store`, `presignedStore`, `fileStore`, `memoryStore`, or your own. */
  store: ObjectStore;
  /** Prepended to every object key. Default: `"cache/"`. */
  prefix?: string;
  /** The in-memory layer; `false` turns it off. */
  memory?:
    | false
    | {
        /** Default: 10,000. */
        maxEntries?: number;
        /** Default: 64 MiB, keys included. An entry larger than this is not kept. */
        maxBytes?: number;
        /** What callers get from memory: the same object (`"share"`, the default), a copy, or a frozen object. */
        isolation?: "share" | "clone" | "freeze";
        /** An older copy in memory is checked against the store. Default: 60 s for explicit entries, never for function results. */
        revalidateAfter?: Duration;
      };
  /** What `wrap` and `getOrSet` do when the store is down: run the function (`"bypass"`, the default), or throw. */
  whenUnavailable?: "bypass" | "throw";
  /** `"miss"` is for buckets that answer 403 for absent keys. Default: `"throw"`. */
  whenForbidden?: "throw" | "miss";
  /** Your own codecs, asked before the built-in ones. */
  codecs?: readonly Codec[];
  /** A value that decodes to more than this is an error (`ERR_TOO_LARGE`), not an exhausted process. Default: 512 MiB. */
  maxValueBytes?: number;
  /** Deletes an expired object when it is first read. Default: true. */
  deleteExpired?: boolean;
  /** Waits so long after the end of an entry before deleting it. Default: none. */
  deleteGrace?: Duration;
}

// Not `(...args: any) => any`: with `Function` there are no contextual types, so `(n = 1) => n` stays a function of a
// number, and an unannotated parameter is an error as everywhere else.
type Fn = Function;
type Args<F> = F extends (this: any, ...args: infer A) => any ? A : never;
type Result<F> = F extends (this: any, ...args: any) => infer R ? Awaited<R> : never;
type This<F> = F extends (this: infer T, ...args: any) => any ? T : unknown;
type Async<F> = F extends (this: any, ...args: any) => PromiseLike<any>
  ? F
  : (this: This<F>, ...args: Args<F>) => Promise<Result<F>>;

/** Options of `cache.wrap`. */
export interface WrapOptions<F extends Fn = Fn> extends Omit<EntryOptions, "ttl"> {
  /** Required: a function's own name does not survive a minifier, and two functions called `e` would share entries. */
  name: string;
  /** How long a result lives, or a function of the result and the arguments. */
  ttl?: Duration | ((value: Result<F>, ...args: Args<F>) => Duration);
  /** What it returns takes the place of the arguments in the key. */
  key?: (this: This<F>, ...args: Args<F>) => unknown;
  /** Decides whether a result is stored. Default: every result, `null` and `undefined` too. */
  shouldCache?: (value: Result<F>) => boolean;
  /** Checks what was read from the store; what does not fit is a miss. */
  schema?: StandardSchemaV1<unknown, Result<F>>;
  /** Takes the place of a function wrapped before under this name. */
  replace?: boolean;
}

/** What a wrapped function can do besides being called. */
export interface WrappedMethods<F extends Fn> {
  /** The function that was wrapped. */
  readonly fn: F;
  /** Runs the function whatever is cached, and stores what it returns. */
  refresh: Async<F>;
  /** The cached value, or undefined; never runs the function. */
  peek(...args: Args<F>): Promise<Result<F> | undefined>;
  /** Deletes the entry of these arguments from both layers. */
  invalidate(...args: Args<F>): Promise<void>;
  /** The key of these arguments, as `cache.get` and `cache.delete` take it. */
  keyOf(...args: Args<F>): string;
  /** A grant to read the entry of these arguments, which is computed first when absent. */
  presign(...args: Args<F>): Promise<Grant>;
  /** The same function for one request: its own signal, waitUntil, life of grants, and single flight. */
  with(options: CallOptions & { expiresIn?: Duration }): Wrapped<F>;
}

/** A cached function: called like the function, always asynchronous. */
export type Wrapped<F extends Fn> = Async<F> & WrappedMethods<F>;

/** A value with what is known about it. */
export interface Entry<T> {
  key: string;
  value: T;
  /** The layer that answered. */
  source: "memory" | "store";
  /** Undefined for objects that other programs wrote. */
  createdAt: Date | undefined;
  /** Undefined when the entry never expires. */
  expiresAt: Date | undefined;
  /** Expired, and served all the same. */
  stale: boolean;
  /** Bytes of the stored object, after compression. */
  size: number;
  etag: string;
  contentType: string;
}

/** An object in a listing. */
export interface ListedObject {
  key: string;
  /** Bytes. */
  size: number;
  etag: string;
  lastModified: Date;
}

/** Options of `cache.set` and `cache.getOrSetStream`. */
export interface SetOptions extends EntryOptions, CallOptions {
  /** For people and other programs; how the value is decoded does not depend on it. */
  contentType?: string;
  /** Takes the place of `no-store` in `Cache-Control`. */
  cacheControl?: string;
  onProgress?: (progress: Progress) => void;
}

/** Options of `cache.getStream` and `cache.getResponse`. */
export interface StreamOptions extends CallOptions {
  /** The stored bytes as they are, not gunzipped. Default: false. */
  raw?: boolean;
  /** A part of the entry, in bytes. Of a compressed entry only with `raw`. */
  range?: { offset: number; length?: number };
  onProgress?: (progress: Progress) => void;
}

/** Options of `cache.getOrSet`. */
export interface GetOrSetOptions<T> extends Omit<EntryOptions, "ttl">, CallOptions {
  /** How long the value lives, or a function of the value. */
  ttl?: Duration | ((value: T) => Duration);
  /** Decides whether the value is stored. */
  shouldCache?: (value: T) => boolean;
  /** Checks what was read from the store; what does not fit is a miss. */
  schema?: StandardSchemaV1<unknown, T>;
}

/** What a load is given. */
export interface LoadContext {
  /** Aborts when the last caller that waits for this load has left. */
  signal: AbortSignal;
}

/** Options of `cache.presign`. */
export interface PresignOptions extends CallOptions {
  /** Default: `"read"`. */
  operation?: "read" | "write" | "delete";
  /** Life of the grant. Default: 5 minutes; it ends earlier when the signing credentials do. */
  expiresIn?: Duration;
  /** For writes: the exact number of bytes to be sent. */
  size?: number;
  /** For writes: the content type to be sent. For reads: what the answer says. */
  contentType?: string;
  /** For writes: the life of the entry, counted from now. */
  ttl?: Duration;
  /** For reads: the file name under which a browser saves the answer. */
  filename?: string;
  /** For writes: takes the place of `no-store`. */
  cacheControl?: string;
}

/** Permission for one operation on one object. JSON-safe. Instants are Unix seconds, as on the wire. */
export interface Grant {
  /** The object key, prefix included. */
  key: string;
  operation: "read" | "write" | "delete";
  method: string;
  url: string;
  /** Headers to be sent exactly so. */
  headers: Record<string, string>;
  /** Unix seconds. */
  expiresAt: number;
}

/** Events of a cache; durations are milliseconds. */
export interface CacheEvents {
  hit: { key: string; source: "memory" | "store"; stale: boolean; duration: number };
  miss: { key: string; duration: number };
  set: { key: string; size: number; duration: number };
  delete: { key: string };
  /** An entry was found past its end. */
  expire: { key: string };
  /** An entry left memory to make room; the object stays. */
  evict: { key: string; size: number };
  /** Handled trouble: a damaged entry, a store bypassed, a background write lost. Never thrown when nobody listens. */
  error: { key: string | undefined; error: BucketCacheError };
}

/** Counters since the cache was created, and the size of memory now. */
export interface CacheStats {
  memory: { hits: number; misses: number; evictions: number; entries: number; bytes: number };
  store: {
    hits: number;
    misses: number;
    reads: number;
    writes: number;
    deletes: number;
    bytesRead: number;
    bytesWritten: number;
    errors: number;
  };
  /** How often a wrapped function or a `getOrSet` load ran. */
  calls: number;
}

/** A two-level cache. Made by {@link createCache}. */
export interface Cache {
  /**
   * Caches the results of a function under `<prefix><name>/<md5 of the arguments>`.
   *
   * @throws TypeError without a name, or when another function was wrapped under it and `replace` is not set.
   */
  wrap<F extends Fn>(fn: F, options: WrapOptions<F>): Wrapped<F>;
  /** The value of an entry, or undefined. With a schema, a value that does not fit is a miss. */
  get<S extends StandardSchemaV1>(
    key: string,
    options: CallOptions & { schema: S },
  ): Promise<StandardSchemaV1.InferOutput<S> | undefined>;
  get<T = unknown>(key: string, options?: CallOptions): Promise<T | undefined>;
  /** The value with its metadata; tells a cached `undefined` from a miss. */
  getEntry<T = unknown>(key: string, options?: CallOptions): Promise<Entry<T> | undefined>;
  /** The content as a stream of bytes, gunzipped, or undefined. Streams are never held in memory. */
  getStream(key: string, options?: StreamOptions): Promise<ReadableStream<Bytes> | undefined>;
  /** The content as a `Response` with its content type, ready to be returned from a fetch handler. */
  getResponse(key: string, options?: StreamOptions): Promise<Response | undefined>;
  /** Stores a value, or streams a body, whatever was there before. */
  set(key: string, value: unknown, options?: SetOptions): Promise<void>;
  /** The cached value; when there is none, what `load` returns, which is stored. Concurrent callers share one load. */
  getOrSet<T>(
    key: string,
    load: (context: LoadContext) => T | PromiseLike<T>,
    options?: GetOrSetOptions<T>,
  ): Promise<T>;
  /** Like `getOrSet` for large content, which is streamed to the store and then read from it. */
  getOrSetStream(
    key: string,
    load: (context: LoadContext) => Body | PromiseLike<Body>,
    options?: SetOptions,
  ): Promise<ReadableStream<Bytes>>;
  /** Whether an entry exists that has not expired. */
  has(key: string, options?: CallOptions): Promise<boolean>;
  /** Deletes an entry from both layers. An absent one is no error. */
  delete(key: string, options?: CallOptions): Promise<void>;
  /** Values in the order of the keys; undefined for misses. */
  getMany<T = unknown>(keys: readonly string[], options?: CallOptions): Promise<(T | undefined)[]>;
  setMany(entries: Iterable<{ key: string; value: unknown } & EntryOptions>, options?: CallOptions): Promise<void>;
  deleteMany(keys: Iterable<string>, options?: CallOptions): Promise<void>;
  /** All entries below a prefix, in pages fetched as they are consumed. */
  list(options?: CallOptions & { prefix?: string }): AsyncIterableIterator<ListedObject>;
  /**
   * Deletes the entries below a prefix, of one wrapped function, or all.
   *
   * @throws TypeError without one of the three.
   */
  clear(options: CallOptions & ({ prefix: string } | { name: string } | { all: true })): Promise<void>;
  /** A grant for one entry, which works without credentials until it ends. */
  presign(key: string, options?: PresignOptions): Promise<Grant>;
  stats(): CacheStats;
  /** Listens; the result stops listening. */
  on<E extends keyof CacheEvents>(event: E, listener: (event: CacheEvents[E]) => void): () => void;
  /** Waits for background work. */
  flush(options?: CallOptions): Promise<void>;
  /** Flushes, releases sockets and channels, and lets the process end. */
  close(): Promise<void>;
}

/** Options of the {@link cached} decorator. */
export interface CachedOptions extends Omit<WrapOptions, "key"> {
  /** What it returns takes the place of the arguments in the key. */
  key?: (this: any, ...args: any) => unknown;
}

/** How values of one kind become bytes and come back. */
export interface Codec {
  /** Stored with each entry: an RFC 9651 token. The built-in names `json`, `text`, `bytes`, `tagged` are taken. */
  name: string;
  contentType: string;
  /** Whether this codec takes the value. Asked before the built-in codecs. */
  accepts(value: unknown): boolean;
  encode(value: any): string | Uint8Array;
  decode(body: Bytes): unknown;
}

/** What is known of an object without its body. */
export interface ObjectHead {
  /** Bytes of the whole object, also when a range was asked for. */
  size: number;
  etag: string;
  lastModified: Date;
  contentType: string;
  /** User metadata, names in lower case without `x-amz-meta-`. */
  metadata: Record<string, string>;
  /** The store's own time when it answered, where it is known. */
  now: Date | undefined;
  /** On versioned buckets, the version that was read. */
  versionId?: string | undefined;
}

/** Options of `ObjectStore.put`. */
export interface PutOptions extends CallOptions {
  contentType: string;
  metadata: Record<string, string>;
  cacheControl?: string;
  /** Base64 SHA-256 of the body; the store refuses another body. */
  sha256?: string;
  /** Write only over the object with this ETag. */
  ifMatch?: string;
  /** Write only where there is no object. */
  ifNoneMatch?: "*";
  onProgress?: (progress: Progress) => void;
}

/**
 * Where entries live. Small on purpose: your own store is one object with these methods, and
 * `storeConformance` of `bucketcache/testing` tells whether it keeps its promises.
 *
 * A missing object is `undefined`, a condition that fails is a `BucketCacheError` `ERR_CONFLICT`, a store that is down
 * is `ERR_UNAVAILABLE` or `ERR_TIMEOUT`.
 */
export interface ObjectStore {
  readonly name: string;
  /**
   * With `ifNoneMatch`, an object that still has this ETag is "not-modified"; where `lastModified` is given too and
   * the store can tell, an object with another one counts as changed (its metadata may be new).
   */
  get(
    key: string,
    options?: CallOptions & {
      range?: { offset: number; length?: number };
      ifNoneMatch?: string;
      lastModified?: Date;
    },
  ): Promise<(ObjectHead & { body: ReadableStream<Bytes> }) | "not-modified" | undefined>;
  head(key: string, options?: CallOptions): Promise<ObjectHead | undefined>;
  /** All or nothing: a body that fails, or an abort, leaves what was there before. */
  put(
    key: string,
    body: Uint8Array | Blob | ReadableStream<Uint8Array>,
    options: PutOptions,
  ): Promise<{ etag: string }>;
  /** An absent object is no error. */
  delete(key: string, options?: CallOptions & { ifMatch?: string; versionId?: string | undefined }): Promise<void>;
  deleteMany?(keys: readonly string[], options?: CallOptions): Promise<void>;
  /** Every object whose key begins with the prefix, in the order of the keys' UTF-8 bytes. */
  list(prefix: string, options?: CallOptions): AsyncIterable<ListedObject>;
  presign?(key: string, options: PresignOptions): Promise<Grant>;
  close?(): Promise<void>;
}
