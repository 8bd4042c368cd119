// The contract between a cache and the place where its entries live.
import type { BucketCacheError } from "./errors.js";
import type { Bytes, CallOptions, Grant, PresignOptions, Progress } from "./types.js";

/** Range of an object's bytes. */
export interface ByteRange {
  /** The first byte, counted from 0. */
  offset: number;
  /** Number of bytes; all that follow, where it is absent. */
  length?: number;
}

/** An object in a listing. */
export interface ListedObject {
  /** Key of the entry, without the prefix, where a cache lists; key of the object where a store lists. */
  key: string;
  /** Bytes of the object. */
  size: number;
  /** The store's name for this version of the object, in quotes. */
  etag: string;
  /** When it was written, by the store's clock. */
  lastModified: Date;
}

/** Facts about an object besides its body. */
export interface ObjectHead {
  /** Bytes of the whole object, also when a range was asked for. */
  size: number;
  /** The store's name for this version of the object, in quotes. */
  etag: string;
  /** When it was written, by the store's clock. */
  lastModified: Date;
  /** Media type that the object was written with. */
  contentType: string;
  /** User metadata, names in lower case without `x-amz-meta-`. */
  metadata: Record<string, string>;
  /** The store's own time when it answered, where it is known. */
  now: Date | undefined;
  /** Version that was read, on versioned buckets. */
  versionId?: string | undefined;
}

/** An object with its body, as `ObjectStore.get` returns it. */
export interface FoundObject extends ObjectHead {
  /** The bytes as they are stored. The stream fails when fewer arrive than were announced. */
  body: ReadableStream<Bytes>;
  /**
   * Reads the whole body in one piece, for a store that can do so faster than by `body`. The caller uses either this or
   * `body`, never both.
   *
   * @throws BucketCacheError `ERR_TOO_LARGE` beyond `maxBytes`, without reading further
   */
  bytes?(maxBytes: number): Promise<Bytes>;
}

/** The outcome of a write. */
export interface WrittenObject {
  /** The store's name for the version that was written, in quotes. */
  etag: string;
  /** When it was written, by the store's clock, where the store says so. */
  lastModified?: Date;
  /** Unix seconds at which the entry ends, where the store decides about that: see `ObjectStore.stampsEntries`. */
  expiresAt?: number;
}

/** The condition of a write. */
export interface WriteCondition {
  /** Write only over the object with this ETag. */
  ifMatch?: string;
  /** Write only where there is no object. */
  ifNoneMatch?: "*";
}

/** Options of `ObjectStore.put`. */
export interface PutOptions extends CallOptions, WriteCondition {
  /** Media type, which is stored with the object. */
  contentType: string;
  /** User metadata, names in lower case without `x-amz-meta-`. It takes the place of all that was there. */
  metadata: Record<string, string>;
  /** `Cache-Control` that is stored with the object, for programs that read it by HTTP. */
  cacheControl?: string;
  /** Base64 SHA-256 of the body; the store refuses another body. */
  sha256?: string;
  /** Called as bytes go out. For large uploads, it is called once for each part that is done. */
  onProgress?: (progress: Progress) => void;
}

/**
 * Place where entries live. The interface is small on purpose: your own store is one object with these methods, and
 * `storeConformance` of `bucketcache/testing` tells whether it keeps its promises.
 *
 * A missing object is `undefined`, a condition that fails is a `BucketCacheError` `ERR_CONFLICT`, a store that is down
 * is `ERR_UNAVAILABLE` or `ERR_TIMEOUT`.
 */
export interface ObjectStore {
  /** Kind of the store, with its bucket or folder: errors name it. */
  readonly name: string;
  /**
   * Returns an object, or a range of its body. The reader cancels a body that it does not read to its end.
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
  /** Returns the facts about an object, without its body. */
  head(key: string, options?: CallOptions): Promise<ObjectHead | undefined>;
  /** Writes an object, all or nothing: a body that fails, or an abort, leaves what was there before. */
  put(key: string, body: Uint8Array | Blob | ReadableStream<Uint8Array>, options: PutOptions): Promise<WrittenObject>;
  /** Deletes an object. An absent one is no error. */
  delete(key: string, options?: CallOptions & { ifMatch?: string; versionId?: string | undefined }): Promise<void>;
  /** Deletes many objects at once. Without this method, a cache deletes one by one. */
  deleteMany?(keys: readonly string[], options?: CallOptions): Promise<void>;
  /** Lists every object whose key begins with the prefix, in the order of the keys' UTF-8 bytes. */
  list(prefix: string, options?: CallOptions): AsyncIterable<ListedObject>;
  /** Returns a grant for one operation on one object, where the store can sign. */
  presign?(key: string, options: PresignOptions): Promise<Grant>;
  /** Gets ready to read these keys soon: a store that has to ask for permission asks once for all. */
  prepare?(keys: readonly string[]): void;
  /**
   * Returns the store's time in Unix milliseconds, where its answers have told it; undefined before. Entries end by it. A
   * cache on a store without this method learns the time from `ObjectHead.now`.
   */
  now?(): number | undefined;
  /**
   * True where the store makes the metadata of entries itself, by a clock that is right: a presign handler does. The
   * cache then neither corrects nor repeats a write because of its own clock, and takes the end from
   * `WrittenObject.expiresAt`.
   */
  readonly stampsEntries?: boolean;
  /** Signs requests for others, as a presign handler needs it; absent where the store holds no credentials. */
  readonly signer?: BucketSigner;
  /**
   * Features that the store was found to lack, one error each (`ERR_UNSUPPORTED`), in the order in which it was learned. The
   * store has gone on in another way. A cache tells of each by one `error` event.
   */
  readonly limitations?: readonly BucketCacheError[];
  /** Releases what the store holds, such as sockets. The store may be used again, and opens them anew. */
  close?(): Promise<void>;
}

/** A request for one object (or, with an empty key, for the bucket) before it has a host and a signature. */
export interface SignableRequest {
  /** The HTTP method. */
  method: "GET" | "HEAD" | "PUT" | "DELETE" | "POST";
  /** The object key, not encoded. */
  key: string;
  /** Query parameters, values not encoded. */
  query?: Record<string, string>;
  /** Names in lower case. All of them are signed, so the store enforces them. */
  headers?: Record<string, string>;
}

/** A request that its signature permits. */
export interface SignedRequest {
  /** The HTTP method. */
  method: string;
  /** The address, with the signature in its query. */
  url: string;
  /** Headers to be sent as they are. `host` is not among them; `content-length` is, where it was signed. */
  headers: Record<string, string>;
  /** End in Unix seconds: the end that was asked for, or that of the signing credentials when it is earlier. */
  expiresAt: number;
}

/** A part of a multipart upload that the store has. */
export interface UploadedPart {
  /** Counted from 1. */
  partNumber: number;
  /** ETag of the part, as the store answered its upload. */
  etag: string;
}

/** Acts on a bucket for a presign handler, with the credentials of its store. */
export interface BucketSigner {
  /**
   * Signs a request that a client will send; `expiresIn` is in seconds. For a PUT it also signs a header that stops a copy
   * source from being smuggled in, where the store lets unsigned `x-amz-*` headers through.
   */
  sign(request: SignableRequest, expiresIn: number): Promise<SignedRequest>;
  /** Begins a multipart upload, and resolves to its id. */
  createUpload(key: string, headers: Record<string, string>, options?: CallOptions): Promise<string>;
  /**
   * Puts the parts together. `entry` is the metadata by which the store recognizes its own success when the answer to an
   * earlier attempt was lost.
   */
  completeUpload(
    key: string,
    uploadId: string,
    parts: readonly UploadedPart[],
    condition: WriteCondition,
    options?: CallOptions & { entry?: string },
  ): Promise<{
    /** The ETag of the object. */
    etag: string;
  }>;
  /** Ends an upload and removes its parts. One that is gone already is no error. */
  abortUpload(key: string, uploadId: string, options?: CallOptions): Promise<void>;
  /** Lists the parts that the store has. */
  listParts(
    key: string,
    uploadId: string,
    options?: CallOptions,
  ): Promise<
    (UploadedPart & {
      /** The size of the part, in bytes. */
      size: number;
    })[]
  >;
  /** Lists one page of the objects below a prefix; `cursor` is undefined on the last. */
  listPage(
    prefix: string,
    cursor?: string,
    options?: CallOptions,
  ): Promise<{
    /** The objects, in the order of their keys. */
    objects: ListedObject[];
    /** The place where the next page begins. */
    cursor: string | undefined;
  }>;
}
