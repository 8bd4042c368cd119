// What a place for entries is, for those who use one and those who write one.
import type { Bytes, CallOptions, Grant, PresignOptions, Progress } from "./types.js";

/** A part of an object. */
export interface ByteRange {
  /** The first byte, counted from 0. */
  offset: number;
  /** How many bytes. Default: all that follow. */
  length?: number;
}

/** An object in a listing. */
export interface ListedObject {
  /** From a cache without its prefix; from a store the whole key. */
  key: string;
  /** Bytes. */
  size: number;
  /** The store's name for this version of the object, in quotes. */
  etag: string;
  /** When it was written, by the store's clock. */
  lastModified: Date;
}

/** What is known of an object without its body. */
export interface ObjectHead {
  /** Bytes of the whole object, also when a range was asked for. */
  size: number;
  /** The store's name for this version of the object, in quotes. */
  etag: string;
  /** When it was written, by the store's clock. */
  lastModified: Date;
  /** As it was written. */
  contentType: string;
  /** User metadata, names in lower case without `x-amz-meta-`. */
  metadata: Record<string, string>;
  /** The store's own time when it answered, where it is known. */
  now: Date | undefined;
  /** On versioned buckets, the version that was read. */
  versionId?: string | undefined;
}

/** What `ObjectStore.get` finds. */
export interface FoundObject extends ObjectHead {
  /** The bytes as they are stored. Fails when fewer arrive than were announced. */
  body: ReadableStream<Bytes>;
}

/** Options of `ObjectStore.put`. */
export interface PutOptions extends CallOptions {
  /** Stored with the object. */
  contentType: string;
  /** User metadata, names in lower case without `x-amz-meta-`. Takes the place of all that was there. */
  metadata: Record<string, string>;
  /** Stored with the object, for those who read it by HTTP. Default: none. */
  cacheControl?: string;
  /** Base64 SHA-256 of the body; the store refuses another body. */
  sha256?: string;
  /** Write only over the object with this ETag. */
  ifMatch?: string;
  /** Write only where there is no object. */
  ifNoneMatch?: "*";
  /** Called as bytes go out: of large uploads, once for each part that is done. */
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
  /** For errors: what the store is, and of which bucket or folder. */
  readonly name: string;
  /**
   * An object, or a range of its body. A body that nobody reads to its end is cancelled by the reader.
   *
   * With `ifNoneMatch`, an object that still has this ETag is "not-modified"; where `lastModified` is given too and
   * the store can tell, an object with another one counts as changed (its metadata may be new).
   */
  get(
    key: string,
    options?: CallOptions & {
      range?: ByteRange;
      ifNoneMatch?: string;
      lastModified?: Date;
    },
  ): Promise<FoundObject | "not-modified" | undefined>;
  /** What is known of an object, without its body. */
  head(key: string, options?: CallOptions): Promise<ObjectHead | undefined>;
  /** All or nothing: a body that fails, or an abort, leaves what was there before. */
  put(
    key: string,
    body: Uint8Array | Blob | ReadableStream<Uint8Array>,
    options: PutOptions,
  ): Promise<Pick<ObjectHead, "etag">>;
  /** An absent object is no error. */
  delete(key: string, options?: CallOptions & { ifMatch?: string; versionId?: string | undefined }): Promise<void>;
  /** Deletes many at once, where the store can. Default: `delete` for each. */
  deleteMany?(keys: readonly string[], options?: CallOptions): Promise<void>;
  /** Every object whose key begins with the prefix, in the order of the keys' UTF-8 bytes. */
  list(prefix: string, options?: CallOptions): AsyncIterable<ListedObject>;
  /** A grant for one operation on one object, where the store can sign. */
  presign?(key: string, options: PresignOptions): Promise<Grant>;
  /** Releases what the store holds, sockets say. It may be used again, and opens anew. */
  close?(): Promise<void>;
}
