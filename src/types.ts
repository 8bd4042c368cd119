import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { BucketCacheError } from "./errors.js";
import type { ByteRange, ListedObject, ObjectStore } from "./object-store.js";

export type * from "./object-store.js";

/**
 * Length of time. A number is in SECONDS, as in HTTP, Redis `EX` and the AWS SDK's `expiresIn`; a string has its unit:
 * `"500ms"`, `"90s"`, `"5m"`, `"1h"`, `"7d"`, `"2w"`. `Infinity` means never.
 *
 * @example
 * ```ts
 * import { createCache } from "bucketcache";
 * import { memoryStore } from "bucketcache/memory"; // or any other store
 *
 * const cache = createCache({ store: memoryStore() });
 * await cache.set("greeting", "hello", { ttl: "5m" });
 * ```
 */
export type Duration = number | string;

/** Bytes over a plain `ArrayBuffer`, which `fetch`, `Blob` and WebCrypto take without a cast. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** Content that is streamed into an entry. Strings are encoded as UTF-8. */
export type Body = ReadableStream<Uint8Array | string> | AsyncIterable<Uint8Array | string> | Blob | Response;

/** Progress of a transfer, in bytes of the body on the wire. */
export interface Progress {
  /** Bytes that have arrived. */
  loaded: number;
  /** Bytes of the whole body; undefined while that is not known. */
  total: number | undefined;
}

/** Options that every call takes. */
export interface CallOptions {
  /** Aborts this call, and no other. The call rejects with the `reason` of the signal, never with a `BucketCacheError`. */
  signal?: AbortSignal | undefined;
  /** Keeps background work alive after the response, as edge runtimes require (`ctx.waitUntil`). */
  waitUntil?: ((promise: Promise<unknown>) => void) | undefined;
}

/** Options of entries: set once on the cache, overridden by `wrap` and by each call. */
export interface EntryOptions {
  /**
   * Life of the entry, counted from the moment when its value was given or computed.
   *
   * @default Infinity
   */
  ttl?: Duration;
  /**
   * Whether the body is stored as gzip. `"auto"` stores the smaller form of values from 1 KiB up, and decides by content
   * type for streams.
   *
   * @default "auto"
   */
  compress?: boolean | "auto";
  /**
   * With `"await"`, a call resolves when the entry is stored; with `"background"`, it resolves first.
   *
   * @default "await"
   */
  write?: "await" | "background";
}

/** Options of {@link createCache}. */
export interface CacheOptions extends EntryOptions, Pick<CallOptions, "waitUntil"> {
  /** Store of the entries: `s3Store`, `presignedStore`, `fileStore`, `memoryStore`, or your own. */
  store: ObjectStore;
  /**
   * Beginning of every object key.
   *
   * @default "cache/"
   */
  prefix?: string;
  /** The in-memory layer; `false` turns it off. */
  memory?:
    | false
    | {
        /**
         * Most entries that memory holds.
         *
         * @default 10_000
         */
        maxEntries?: number;
        /**
         * Most bytes that memory holds, keys included. A larger entry is not kept.
         *
         * @default 67_108_864 (64 MiB)
         */
        maxBytes?: number;
        /**
         * Whether callers get one and the same object from memory, a copy each, or a frozen object.
         *
         * @default "share"
         */
        isolation?: "share" | "clone" | "freeze";
        /**
         * Age from which a copy in memory is checked against the store.
         *
         * @default "60s" for explicit entries, Infinity for function results
         */
        revalidateAfter?: Duration;
      };
  /**
   * When the store is down, `wrap` and `getOrSet` run the function (`"bypass"`), or throw.
   *
   * @default "bypass"
   */
  whenUnavailable?: "bypass" | "throw";
  /**
   * Meaning of a 403. `"miss"` is for buckets that answer 403 for absent keys.
   *
   * @default "throw"
   */
  whenForbidden?: "throw" | "miss";
  /** Your own codecs, which are asked before the built-in ones. */
  codecs?: readonly Codec[];
  /**
   * Most bytes of a decoded value. A larger one is an error (`ERR_TOO_LARGE`), not an exhausted process.
   *
   * @default 536_870_912 (512 MiB)
   */
  maxValueBytes?: number;
  /**
   * Deletes an expired object when it is first read.
   *
   * @default true
   */
  deleteExpired?: boolean;
  /**
   * Time between the end of an entry and the deletion of its object.
   *
   * @default 0
   */
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
  /** Life of a result, or a function that derives it from the result and the arguments. */
  ttl?: Duration | ((value: Result<F>, ...args: Args<F>) => Duration);
  /** Returns the data that takes the place of the arguments in the key. */
  key?: (this: This<F>, ...args: Args<F>) => unknown;
  /** Decides whether a result is stored. Without it every result is, `null` and `undefined` too. */
  shouldCache?: (value: Result<F>) => boolean;
  /** Checks values that were read from the store. A value that does not fit is a miss. */
  schema?: StandardSchemaV1<unknown, Result<F>>;
  /** Takes the place of a function wrapped before under this name. */
  replace?: boolean;
}

/** Methods of a wrapped function. */
export interface WrappedMethods<F extends Fn> {
  /** The function that was wrapped. */
  readonly fn: F;
  /** Runs the function whatever is cached, and stores its result. */
  refresh: Async<F>;
  /** Returns the cached value, or undefined. Never runs the function. */
  peek(...args: Args<F>): Promise<Result<F> | undefined>;
  /** Deletes the entry of these arguments from both layers. */
  invalidate(...args: Args<F>): Promise<void>;
  /** Returns the key of these arguments, as `cache.get` and `cache.delete` take it. */
  keyOf(...args: Args<F>): string;
  /** Returns a grant to read the entry of these arguments, which is computed first when absent. */
  presign(...args: Args<F>): Promise<Grant>;
  /**
   * Returns the same function for one request, with its signal, `waitUntil` and life of grants.
   *
   * @example
   * ```ts
   * import { createCache } from "bucketcache";
   * import { memoryStore } from "bucketcache/memory"; // or any other store
   *
   * const cache = createCache({ store: memoryStore() });
   * const buildReport = cache.wrap(async (month: string) => `all of ${month}`, { name: "report" });
   * const report = await buildReport.with({ signal: AbortSignal.timeout(5_000) })("2026-11");
   * ```
   */
  with(options: CallOptions & { expiresIn?: Duration }): Wrapped<F>;
}

/** A cached function: called like the function, always asynchronous. */
export type Wrapped<F extends Fn> = Async<F> & WrappedMethods<F>;

/** A value with what is known about it. */
export interface Entry<T> {
  /** Key as the caller named it, without the cache's prefix. */
  key: string;
  /** The value, decoded. */
  value: T;
  /** The layer that answered. */
  source: "memory" | "store";
  /** When the value came to be; undefined for objects that other programs wrote. */
  createdAt: Date | undefined;
  /** When the entry ends; undefined for never. */
  expiresAt: Date | undefined;
  /** Bytes of the stored object, after compression. */
  size: number;
  /** The store's name for this version of the object, in quotes. */
  etag: string;
  /** Media type of the value. It stays the same when the stored body is compressed. */
  contentType: string;
}

/** Options of `cache.set` and `cache.getOrSetStream`. */
export interface SetOptions extends EntryOptions, CallOptions {
  /** Media type of the object, for people and other programs. Decoding does not depend on it. */
  contentType?: string;
  /** Directives that take the place of `no-store` in `Cache-Control`. */
  cacheControl?: string;
  /** Called as bytes go out. For large uploads, it is called once for each part that is done. */
  onProgress?: (progress: Progress) => void;
}

/** Options of `cache.getStream` and `cache.getResponse`. */
export interface StreamOptions extends CallOptions {
  /**
   * Returns the stored bytes as they are, not gunzipped.
   *
   * @default false
   */
  raw?: boolean;
  /** Part of the entry, in bytes. A compressed entry has parts only with `raw`. */
  range?: ByteRange;
  /** Called as bytes come in. */
  onProgress?: (progress: Progress) => void;
}

/** Options of `cache.getOrSet`. */
export interface GetOrSetOptions<T> extends Omit<EntryOptions, "ttl">, CallOptions {
  /** Life of the value, or a function that derives it from the value. */
  ttl?: Duration | ((value: T) => Duration);
  /** Decides whether the value is stored. */
  shouldCache?: (value: T) => boolean;
  /** Checks values that were read from the store. A value that does not fit is a miss. */
  schema?: StandardSchemaV1<unknown, T>;
}

/** Argument of the functions that `getOrSet` and `getOrSetStream` call. */
export interface LoadContext {
  /** Aborts when the last caller that waits for this load has left. */
  signal: AbortSignal;
}

/** Options of `cache.presign`. */
export interface PresignOptions extends CallOptions {
  /**
   * Operation that the grant permits.
   *
   * @default "read"
   */
  operation?: "read" | "write" | "delete";
  /**
   * Life of the grant. It ends earlier when the signing credentials do.
   *
   * @default "5m"
   */
  expiresIn?: Duration;
  /** For writes: the exact number of bytes to be sent. */
  size?: number;
  /** For writes: the content type to be sent. For reads: the content type of the answer. */
  contentType?: string;
  /**
   * For writes: the life of the entry, counted from now.
   *
   * @default The `ttl` of the cache.
   */
  ttl?: Duration;
  /** For reads: the file name under which a browser saves the answer. */
  filename?: string;
  /** For writes: directives that take the place of `no-store` in `Cache-Control`. */
  cacheControl?: string;
}

/** Permission for one operation on one object. It survives JSON. Instants are Unix seconds, as on the wire. */
export interface Grant {
  /** The object key, prefix included. */
  key: string;
  /** Operation that it permits. */
  operation: "read" | "write" | "delete";
  /** Method of the HTTP request: `GET`, `PUT` or `DELETE`. */
  method: string;
  /** Address of the HTTP request. Anyone who knows it may use it until the grant ends. */
  url: string;
  /** Headers of the HTTP request, to be sent as they are. */
  headers: Record<string, string>;
  /** End of the grant in Unix seconds. */
  expiresAt: number;
}

/** Events of a cache. Keys are as the caller named them; a function's are those that `keyOf` returns. */
export interface CacheEvents {
  /** An entry was found. */
  hit: {
    /** Its key. */
    key: string;
    /** The layer that answered. */
    source: "memory" | "store";
    /** Duration of the operation in milliseconds. */
    duration: number;
  };
  /** No entry was found, in either layer. */
  miss: {
    /** Its key. */
    key: string;
    /** Duration of the operation in milliseconds. */
    duration: number;
  };
  /** An entry was stored. */
  set: {
    /** Its key. */
    key: string;
    /** Bytes of the stored object, after compression. */
    size: number;
    /** Duration of the operation in milliseconds. */
    duration: number;
  };
  /** An entry was deleted by the caller, though it may have been absent, or because it was found past its end. */
  delete: {
    /** Its key. */
    key: string;
  };
  /** An entry was found past its end. */
  expire: {
    /** Its key. */
    key: string;
  };
  /** An entry left memory to make room; the object stays. */
  evict: {
    /** Its key. */
    key: string;
    /** Bytes that the entry held in memory, its key included. */
    size: number;
  };
  /** The cache has handled trouble: a damaged entry, a store bypassed, a background write lost. Never thrown when nobody listens. */
  error: {
    /** Its key; undefined where no single entry is concerned. */
    key: string | undefined;
    /** The trouble. */
    error: BucketCacheError;
  };
}

/** Counters since the cache was created, and the size of memory now. */
export interface CacheStats {
  /** The first layer. */
  memory: {
    /** Reads that it answered. */
    hits: number;
    /** Reads that it could not answer. */
    misses: number;
    /** Entries that left it to make room. */
    evictions: number;
    /** Entries in it now. */
    entries: number;
    /** Bytes in it now, keys included, as counted for `maxBytes`. */
    bytes: number;
  };
  /** The second layer. */
  store: {
    /** Reads that it answered. */
    hits: number;
    /** Reads that found no entry. */
    misses: number;
    /** Objects asked for. */
    reads: number;
    /** Objects written. */
    writes: number;
    /** Objects deleted. */
    deletes: number;
    /** Bytes of bodies that came in, as they are stored. */
    bytesRead: number;
    /** Bytes of bodies that went out, as they are stored. */
    bytesWritten: number;
    /** Operations that failed. */
    errors: number;
  };
  /** Calls of wrapped functions and of `getOrSet` loads that ran the function. */
  calls: number;
}

/** A two-level cache, made by {@link createCache}. */
export interface Cache {
  /**
   * Caches the results of a function under `<prefix><name>/<md5 of the arguments>`.
   *
   * @example
   * ```ts
   * import { createCache } from "bucketcache";
   * import { memoryStore } from "bucketcache/memory"; // or any other store
   *
   * const cache = createCache({ store: memoryStore() });
   * const buildReport = cache.wrap(async (month: string) => `all of ${month}`, { name: "report", ttl: "1d" });
   * const report = await buildReport("2026-11");
   * ```
   *
   * @throws TypeError without a name, or when another function was wrapped under it and `replace` is not set.
   */
  wrap<F extends Fn>(fn: F, options: WrapOptions<F>): Wrapped<F>;
  /**
   * Returns the value of an entry, or undefined. With a schema, a value that does not fit is a miss.
   *
   * @throws BucketCacheError as the store does. A missing entry is no error.
   */
  get<S extends StandardSchemaV1>(
    key: string,
    options: CallOptions & { schema: S },
  ): Promise<StandardSchemaV1.InferOutput<S> | undefined>;
  /**
   * Returns the value of an entry, or undefined. `T` is a claim that nothing checks: pass a schema to check it.
   *
   * @throws BucketCacheError as the store does. A missing entry is no error.
   */
  get<T = unknown>(key: string, options?: CallOptions): Promise<T | undefined>;
  /** Returns the value with its metadata. Tells a cached `undefined` from a miss. */
  getEntry<T = unknown>(key: string, options?: CallOptions): Promise<Entry<T> | undefined>;
  /** Returns the content as a stream of bytes, gunzipped, or undefined. Memory never holds streams. */
  getStream(key: string, options?: StreamOptions): Promise<ReadableStream<Bytes> | undefined>;
  /** Returns the content as a `Response` with its content type, ready to be returned from a fetch handler; or undefined. */
  getResponse(key: string, options?: StreamOptions): Promise<Response | undefined>;
  /**
   * Stores a value, or streams a body, whatever was there before.
   *
   * @throws TypeError that names the path of what cannot be stored; BucketCacheError `ERR_TOO_LARGE`, and as the store does.
   */
  set(key: string, value: unknown, options?: SetOptions): Promise<void>;
  /**
   * Returns the cached value. When there is none, `load` runs, and its result is stored. Concurrent callers share one load.
   *
   * @example
   * ```ts
   * import { createCache } from "bucketcache";
   * import { memoryStore } from "bucketcache/memory"; // or any other store
   *
   * const cache = createCache({ store: memoryStore() });
   * const rates = await cache.getOrSet("rates", async ({ signal }) => ({ EUR: 1, late: signal.aborted }), { ttl: "10m" });
   * ```
   */
  getOrSet<T>(
    key: string,
    load: (context: LoadContext) => T | PromiseLike<T>,
    options?: GetOrSetOptions<T>,
  ): Promise<T>;
  /** Does the same as `getOrSet` for large content, which is streamed to the store and then read from it. */
  getOrSetStream(
    key: string,
    load: (context: LoadContext) => Body | PromiseLike<Body>,
    options?: SetOptions,
  ): Promise<ReadableStream<Bytes>>;
  /** Tells whether an entry exists that has not expired. */
  has(key: string, options?: CallOptions): Promise<boolean>;
  /** Deletes an entry from both layers. An absent one is no error. */
  delete(key: string, options?: CallOptions): Promise<void>;
  /** Returns values in the order of the keys; undefined for misses. */
  getMany<T = unknown>(keys: readonly string[], options?: CallOptions): Promise<(T | undefined)[]>;
  /** Stores entries, many at once. Rejects when one could not be stored; the others may have been. */
  setMany(entries: Iterable<{ key: string; value: unknown } & EntryOptions>, options?: CallOptions): Promise<void>;
  /** Deletes entries from both layers, many to a request where the store can. Absent ones are no error. */
  deleteMany(keys: Iterable<string>, options?: CallOptions): Promise<void>;
  /** Lists all entries below a prefix, in pages fetched as they are consumed. */
  list(options?: CallOptions & { prefix?: string }): AsyncIterableIterator<ListedObject>;
  /**
   * Deletes the entries below a prefix, of one wrapped function, or all.
   *
   * @throws TypeError without one of the three.
   */
  clear(options: CallOptions & ({ prefix: string } | { name: string } | { all: true })): Promise<void>;
  /**
   * Returns a grant for one entry, which works without credentials until it ends.
   *
   * @throws BucketCacheError `ERR_UNSUPPORTED` where the store cannot sign.
   */
  presign(key: string, options?: PresignOptions): Promise<Grant>;
  /** Returns the counters so far, as a copy. */
  stats(): CacheStats;
  /**
   * Calls the listener on each event of this kind. Returns a function that stops it.
   *
   * @example
   * ```ts
   * import { createCache } from "bucketcache";
   * import { memoryStore } from "bucketcache/memory"; // or any other store
   *
   * const cache = createCache({ store: memoryStore() });
   * const stop = cache.on("error", ({ key, error }) => console.warn(key, error));
   * stop();
   * ```
   */
  on<E extends keyof CacheEvents>(event: E, listener: (event: CacheEvents[E]) => void): () => void;
  /** Waits for background work. */
  flush(options?: CallOptions): Promise<void>;
  /** Flushes, releases sockets and channels, and lets the process end. */
  close(): Promise<void>;
}

/** Options of the {@link cached} decorator. */
export interface CachedOptions extends Omit<WrapOptions, "key"> {
  /** Returns the data that takes the place of the arguments in the key. */
  key?: (this: any, ...args: any) => unknown;
}

/** Encoding of values of one kind as bytes. */
export interface Codec {
  /** Name that is stored with each entry: an RFC 9651 token. The names `json`, `text`, `bytes` and `tagged` are taken. */
  name: string;
  /** Media type of the stored object, for people and other programs. */
  contentType: string;
  /** Tells whether this codec takes the value. It is asked before the built-in codecs. */
  accepts(value: unknown): boolean;
  /** Returns the bytes to be stored, before compression. A string is stored as UTF-8. */
  encode(value: any): string | Uint8Array;
  /** Returns the value of bytes that `encode` made. When it throws, the entry is damaged, which is a miss. */
  decode(body: Bytes): unknown;
}
