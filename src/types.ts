import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { BucketCacheError } from "./errors.js";
import type { ByteRange, ListedObject, ObjectStore } from "./object-store.js";

export type * from "./object-store.js";

/** A length of time: a number is SECONDS (as in HTTP, Redis EX, `expiresIn`); a string is "500ms", "90s", "5m", "1h", "7d", "2w". `Infinity` is never. */
export type Duration = number | string;

/** Bytes that own a plain `ArrayBuffer`: what `fetch`, `Blob` and WebCrypto take without a cast. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** What streams into an entry. Strings are encoded as UTF-8. */
export type Body = ReadableStream<Uint8Array | string> | AsyncIterable<Uint8Array | string> | Blob | Response;

/** How far a transfer is, in bytes of the body on the wire. `total` is undefined while the end is not known. */
export interface Progress {
  /** Bytes that have arrived. */
  loaded: number;
  /** Bytes in all, where it is known. */
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
  /** As the caller named it, without the cache's prefix. */
  key: string;
  /** What was stored, decoded. */
  value: T;
  /** The layer that answered. */
  source: "memory" | "store";
  /** Undefined for objects that other programs wrote. */
  createdAt: Date | undefined;
  /** Undefined when the entry never expires. */
  expiresAt: Date | undefined;
  /** Bytes of the stored object, after compression. */
  size: number;
  /** The store's name for this version of the object, in quotes. */
  etag: string;
  /** Of the value, also when it is stored compressed. */
  contentType: string;
}

/** Options of `cache.set` and `cache.getOrSetStream`. */
export interface SetOptions extends EntryOptions, CallOptions {
  /** For people and other programs; how the value is decoded does not depend on it. */
  contentType?: string;
  /** Takes the place of `no-store` in `Cache-Control`. */
  cacheControl?: string;
  /** Called as bytes go out: of large uploads, once for each part that is done. */
  onProgress?: (progress: Progress) => void;
}

/** Options of `cache.getStream` and `cache.getResponse`. */
export interface StreamOptions extends CallOptions {
  /** The stored bytes as they are, not gunzipped. Default: false. */
  raw?: boolean;
  /** A part of the entry, in bytes. Of a compressed entry only with `raw`. */
  range?: ByteRange;
  /** Called as bytes come in. */
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
  /** For writes: the life of the entry, counted from now. Default: as for the entries of the cache. */
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
  /** What it permits. */
  operation: "read" | "write" | "delete";
  /** Of the HTTP request: `GET`, `PUT` or `DELETE`. */
  method: string;
  /** Where to send it. Whoever knows the URL may use it until the grant ends. */
  url: string;
  /** Headers to be sent exactly so. */
  headers: Record<string, string>;
  /** Unix seconds. */
  expiresAt: number;
}

/** Events of a cache. Keys are as the caller named them; those of functions are what `keyOf` returns. */
export interface CacheEvents {
  /** An entry was found. */
  hit: {
    /** Its key. */
    key: string;
    /** The layer that answered. */
    source: "memory" | "store";
    /** Milliseconds. */
    duration: number;
  };
  /** No entry was found, in either layer. */
  miss: {
    /** Its key. */
    key: string;
    /** Milliseconds. */
    duration: number;
  };
  /** An entry was stored. */
  set: {
    /** Its key. */
    key: string;
    /** Bytes of the stored object, after compression. */
    size: number;
    /** Milliseconds. */
    duration: number;
  };
  /** An entry was deleted: by the caller, then it may have been absent, or because it was found past its end. */
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
    /** Bytes that it held in memory, its key included. */
    size: number;
  };
  /** Handled trouble: a damaged entry, a store bypassed, a background write lost. Never thrown when nobody listens. */
  error: {
    /** Undefined where no single entry is concerned. */
    key: string | undefined;
    /** What went wrong. */
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
    /** Of bodies that came in, as they are stored. */
    bytesRead: number;
    /** Of bodies that went out, as they are stored. */
    bytesWritten: number;
    /** Operations that failed. */
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
  /** The value of an entry, or undefined. `T` is what you say it is: nothing is checked. */
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
  /** Stores entries, many at once. Rejects when one could not be stored; the others may have been. */
  setMany(entries: Iterable<{ key: string; value: unknown } & EntryOptions>, options?: CallOptions): Promise<void>;
  /** Deletes entries from both layers, many to a request where the store can. Absent ones are no error. */
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
  /** What was counted so far, as a copy. */
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
  /** Of the stored object, for people and other programs. */
  contentType: string;
  /** Whether this codec takes the value. Asked before the built-in codecs. */
  accepts(value: unknown): boolean;
  /** The bytes to be stored, before compression; a string is stored as UTF-8. */
  encode(value: any): string | Uint8Array;
  /** The value of bytes that `encode` made. What it throws makes the entry a damaged one, which is a miss. */
  decode(body: Bytes): unknown;
}
