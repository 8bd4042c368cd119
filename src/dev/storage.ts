import { randomBytes } from "node:crypto";
import type { BodyChecksum } from "./body.js";
import { S3Error } from "./errors.js";
import { SortedKeys } from "./sorted-keys.js";

export interface CorsRule {
  id?: string | undefined;
  origins: string[];
  methods: string[];
  headers: string[];
  expose: string[];
  maxAge?: number | undefined;
}

/** A run of bytes, kept under a name that has nothing to do with the key. */
export interface BlobRef {
  id: string;
  size: number;
}

/** The part of the description that an object and an upload share, from their first request to the last. */
export interface Description {
  /** Standard headers that come back with every read, names in lower case. */
  headers: Record<string, string>;
  /** Names without `x-amz-meta-`. */
  metadata: Record<string, string>;
}

/** A checksum of a whole object; a composite one is the checksum of the checksums of its parts. */
export interface ObjectChecksum extends BodyChecksum {
  type: "FULL_OBJECT" | "COMPOSITE";
}

export interface StoredObject extends Description {
  key: string;
  size: number;
  /** Without quotes. */
  etag: string;
  /** Unix milliseconds, whole seconds as S3 keeps them. */
  modified: number;
  blobs: BlobRef[];
  /** The blobs are the parts of a multipart upload. */
  multipart: boolean;
  checksum?: ObjectChecksum | undefined;
  /** The upload that became this object. */
  uploadId?: string | undefined;
}

export interface Part extends BlobRef {
  number: number;
  etag: string;
  modified: number;
  checksum?: BodyChecksum | undefined;
}

export interface Upload extends Description {
  id: string;
  key: string;
  initiated: number;
  checksum?: Pick<ObjectChecksum, "algorithm" | "type"> | undefined;
}

/** Writes one blob. */
export interface BlobWriter {
  /** Writes a chunk. The caller waits for a promise before it writes the next one. */
  write(chunk: Buffer): void | Promise<void>;
  /** Ends the blob, and returns its id. */
  finish(): Promise<string> | string;
  /** Removes the bytes that were written, finished or not. */
  discard(): Promise<void> | void;
}

/** Reads a range of an object. It has to be closed, since blobs that are being read are not removed. */
export interface BlobReader {
  /** Returns the next bytes; undefined at the end. */
  next(): Promise<Buffer | undefined>;
  close(): void;
}

/** The place of bytes and records. Records are written synchronously: once a call returns, its change has happened. */
export interface Backend {
  createBlob(): BlobWriter;
  /** Returns a reader, or the bytes themselves when they are few or in memory anyway. */
  read(blobs: readonly BlobRef[], start: number, end: number): Buffer | BlobReader;
  removeBlobs(blobs: readonly BlobRef[]): void;
  saveBucket(bucket: Pick<Bucket, "name" | "created" | "cors">): void;
  removeBucket(name: string): void;
  saveObject(bucket: string, object: StoredObject): void;
  removeObject(bucket: string, key: string): void;
  saveUpload(bucket: string, upload: Upload): void;
  savePart(bucket: string, uploadId: string, part: Part): void;
  removeUpload(bucket: string, uploadId: string): void;
  close(): void;
}

/** An upload that is neither completed nor aborted. */
export interface OpenUpload {
  upload: Upload;
  parts: Map<number, Part>;
}

/** One bucket: everything but the bytes is in memory. Its changes are synchronous, so that conditions hold. */
export class Bucket {
  readonly name: string;
  readonly created: number;
  cors: readonly CorsRule[] | undefined;
  readonly keys = new SortedKeys();
  readonly uploads = new Map<string, OpenUpload>();
  readonly #objects = new Map<string, StoredObject>();
  readonly #backend: Backend;

  constructor(backend: Backend, name: string, created: number, cors?: readonly CorsRule[]) {
    this.#backend = backend;
    this.name = name;
    this.created = created;
    this.cors = cors;
  }

  /** Fills the bucket with the objects and uploads that were kept. */
  load(objects: readonly StoredObject[], uploads: readonly OpenUpload[]): void {
    for (const object of objects) this.#objects.set(object.key, object);
    this.keys.load(this.#objects.keys());
    for (const open of uploads) this.uploads.set(open.upload.id, open);
  }

  get size(): number {
    return this.#objects.size;
  }

  find(key: string): StoredObject | undefined {
    return this.#objects.get(key);
  }

  get(key: string): StoredObject {
    const object = this.#objects.get(key);
    if (object === undefined) throw new S3Error("NoSuchKey", undefined, { Key: key });
    return object;
  }

  put(object: StoredObject): void {
    const old = this.#objects.get(object.key);
    this.#backend.saveObject(this.name, object);
    this.#objects.set(object.key, object);
    if (old === undefined) this.keys.add(object.key);
    else this.#backend.removeBlobs(old.blobs);
  }

  delete(key: string): void {
    const old = this.#objects.get(key);
    if (old === undefined) return;
    this.#backend.removeObject(this.name, key);
    this.#objects.delete(key);
    this.keys.delete(key);
    this.#backend.removeBlobs(old.blobs);
  }

  setCors(cors: readonly CorsRule[] | undefined): void {
    this.#backend.saveBucket({ name: this.name, created: this.created, cors });
    this.cors = cors;
  }

  createUpload(upload: Upload): void {
    this.#backend.saveUpload(this.name, upload);
    this.uploads.set(upload.id, { upload, parts: new Map() });
  }

  /** Returns the upload of that id, if it is for that key. */
  upload(id: string, key: string): OpenUpload {
    const open = this.uploads.get(id);
    if (open === undefined || open.upload.key !== key) throw new S3Error("NoSuchUpload", undefined, { UploadId: id });
    return open;
  }

  putPart(open: OpenUpload, part: Part): void {
    const old = open.parts.get(part.number);
    this.#backend.savePart(this.name, open.upload.id, part);
    open.parts.set(part.number, part);
    if (old !== undefined) this.#backend.removeBlobs([old]);
  }

  /** Makes an upload an object; parts that it does not use are removed. */
  complete(open: OpenUpload, object: StoredObject): void {
    this.put({ ...object, uploadId: open.upload.id });
    const used = new Set(object.blobs.map(({ id }) => id));
    this.#closeUpload(
      open,
      [...open.parts.values()].filter(({ id }) => !used.has(id)),
    );
  }

  abort(open: OpenUpload): void {
    this.#closeUpload(open, [...open.parts.values()]);
  }

  #closeUpload(open: OpenUpload, unused: readonly Part[]): void {
    this.uploads.delete(open.upload.id);
    this.#backend.removeUpload(this.name, open.upload.id);
    this.#backend.removeBlobs(unused);
  }
}

/** All buckets of a server. */
export class Storage {
  readonly backend: Backend;
  readonly buckets = new Map<string, Bucket>();

  constructor(backend: Backend, kept: readonly Bucket[] = []) {
    this.backend = backend;
    for (const bucket of kept) this.buckets.set(bucket.name, bucket);
  }

  bucket(name: string): Bucket {
    const bucket = this.buckets.get(name);
    if (bucket === undefined) throw new S3Error("NoSuchBucket", undefined, { BucketName: name });
    return bucket;
  }

  createBucket(name: string, now: number): void {
    if (this.buckets.has(name)) return;
    const bucket = new Bucket(this.backend, name, wholeSeconds(now));
    this.backend.saveBucket(bucket);
    this.buckets.set(name, bucket);
  }

  deleteBucket(bucket: Bucket): void {
    if (bucket.size > 0) throw new S3Error("BucketNotEmpty", undefined, { BucketName: bucket.name });
    for (const open of bucket.uploads.values()) bucket.abort(open);
    this.backend.removeBucket(bucket.name);
    this.buckets.delete(bucket.name);
  }
}

/** Rounds down to whole seconds: the instants of S3 have no fraction. */
export function wholeSeconds(now: number): number {
  return Math.floor(now / 1000) * 1000;
}

/** Makes a name that nobody guesses and every file system takes. */
export function randomId(): string {
  return randomBytes(16).toString("hex");
}

const BUCKET_NAME = /^(?!\d+\.\d+\.\d+\.\d+$)(?!xn--)[a-z0-9](?:[a-z0-9-]|\.(?!\.))*[a-z0-9]$/;

export function isBucketName(name: string): boolean {
  return name.length >= 3 && name.length <= 63 && BUCKET_NAME.test(name);
}
