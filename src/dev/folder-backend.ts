import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import {
  Bucket,
  randomId,
  type Backend,
  type BlobReader,
  type BlobRef,
  type BlobWriter,
  type OpenUpload,
  type Part,
  type StoredObject,
  type Upload,
} from "./storage.js";
import { lockFolder } from "./lock.js";

const FORMAT = "bucketcache-dev-1";
/** Bodies up to this size are written, or read, in one synchronous go: cheaper than trips to the thread pool. */
const SMALL_BYTES = 128 * 1024;
const BLOCK_BYTES = 512 * 1024;

type BucketRecord = Pick<Bucket, "created" | "cors">;

/**
 * Keeps everything in a folder. No name in it comes from a key: the record of an object is named by the SHA-256 of the
 * key and holds the names of its blobs, so every key fits every file system, and none leads out of the folder.
 *
 *     bucketcache-dev.json                    says that the folder is ours
 *     lock                                    the process that has it
 *     bucket-<name>/bucket.json               when it was created, CORS rules
 *     bucket-<name>/objects/<sha256>.json     a record
 *     bucket-<name>/uploads/<id>/*.json       an open upload and its parts
 *     data/<random>                           bytes
 *
 * A record is written beside its place and renamed, after its blobs are complete. Blobs that no record knows, left by
 * a process that was killed, are removed at the next start.
 */
export class FolderBackend implements Backend {
  readonly #root: string;
  readonly #data: string;
  readonly #readers = new Map<string, number>();
  readonly #doomed = new Set<string>();

  readonly #unlock: () => void;

  /** @throws BucketCacheError ERR_CONFLICT when another server has the folder. */
  constructor(root: string) {
    this.#root = root;
    this.#data = join(root, "data");
    fs.mkdirSync(root, { recursive: true });
    this.#unlock = lockFolder(root);
  }

  /** Loads the buckets that an earlier server left. */
  load(): Bucket[] {
    const marker = join(this.#root, "bucketcache-dev.json");
    const ours = readJson<{ format: string }>(marker)?.format === FORMAT;
    fs.mkdirSync(this.#data, { recursive: true });
    if (!ours) {
      writeJson(marker, { format: FORMAT });
      return [];
    }
    const buckets: Bucket[] = [];
    const known = new Set<string>();
    for (const entry of fs.readdirSync(this.#root)) {
      const name = /^bucket-(.+)$/.exec(entry)?.[1];
      const record = name === undefined ? undefined : readJson<BucketRecord>(join(this.#root, entry, "bucket.json"));
      if (name === undefined || record === undefined) continue;
      const objects = readFolder<StoredObject>(this.#path(name, "objects"));
      const uploads = this.#loadUploads(name, objects);
      for (const { blobs } of objects) for (const { id } of blobs) known.add(id);
      for (const { parts } of uploads) for (const { id } of parts.values()) known.add(id);
      const bucket = new Bucket(this, name, record.created, record.cors);
      bucket.load(objects, uploads);
      buckets.push(bucket);
    }
    for (const file of fs.readdirSync(this.#data)) {
      if (/^[0-9a-f]{32}$/.test(file) && !known.has(file)) fs.rmSync(join(this.#data, file), { force: true });
    }
    return buckets;
  }

  #loadUploads(bucket: string, objects: readonly StoredObject[]): OpenUpload[] {
    const completed = new Set(objects.map(({ uploadId }) => uploadId));
    const uploads: OpenUpload[] = [];
    for (const id of fs.readdirSync(this.#path(bucket, "uploads"))) {
      const folder = this.#path(bucket, "uploads", id);
      const upload = readJson<Upload>(join(folder, "upload.json"));
      // A process may have ended while it completed: the object is there, and its upload only looks open.
      if (upload === undefined || completed.has(id)) {
        fs.rmSync(folder, { recursive: true, force: true });
        continue;
      }
      const parts = readFolder<Part>(folder).filter((part) => part.number !== undefined);
      uploads.push({ upload, parts: new Map(parts.map((part) => [part.number, part])) });
    }
    return uploads;
  }

  createBlob(): BlobWriter {
    return new FolderWriter(this.#data);
  }

  read(blobs: readonly BlobRef[], start: number, end: number): Buffer | BlobReader {
    const ranges: BlobRange[] = [];
    let at = 0;
    for (const { id, size } of blobs) {
      const from = Math.max(start - at, 0);
      const to = Math.min(end - at, size);
      if (from < to) ranges.push({ id, path: join(this.#data, id), from, to });
      at += size;
    }
    const [first] = ranges;
    if (first === undefined) return Buffer.alloc(0);
    if (ranges.length === 1 && first.to - first.from <= SMALL_BYTES) return readSmall(first);
    for (const { id } of ranges) this.#readers.set(id, (this.#readers.get(id) ?? 0) + 1);
    return new FolderReader(ranges, () => {
      for (const { id } of ranges) this.#release(id);
    });
  }

  #release(id: string): void {
    const left = (this.#readers.get(id) ?? 1) - 1;
    if (left > 0) return void this.#readers.set(id, left);
    this.#readers.delete(id);
    if (this.#doomed.delete(id)) this.#remove(id);
  }

  #remove(id: string): void {
    fs.rmSync(join(this.#data, id), { force: true });
  }

  removeBlobs(blobs: readonly BlobRef[]): void {
    for (const { id } of blobs) {
      if (this.#readers.has(id)) this.#doomed.add(id);
      else this.#remove(id);
    }
  }

  saveBucket({ name, created, cors }: Pick<Bucket, "name" | "created" | "cors">): void {
    fs.mkdirSync(this.#path(name, "objects"), { recursive: true });
    fs.mkdirSync(this.#path(name, "uploads"), { recursive: true });
    writeJson(this.#path(name, "bucket.json"), { created, cors });
  }

  removeBucket(name: string): void {
    fs.rmSync(this.#path(name), { recursive: true, force: true });
  }

  saveObject(bucket: string, object: StoredObject): void {
    writeJson(this.#objectPath(bucket, object.key), object);
  }

  removeObject(bucket: string, key: string): void {
    fs.rmSync(this.#objectPath(bucket, key), { force: true });
  }

  saveUpload(bucket: string, upload: Upload): void {
    fs.mkdirSync(this.#path(bucket, "uploads", upload.id));
    writeJson(this.#path(bucket, "uploads", upload.id, "upload.json"), upload);
  }

  savePart(bucket: string, uploadId: string, part: Part): void {
    writeJson(this.#path(bucket, "uploads", uploadId, `${part.number}.json`), part);
  }

  removeUpload(bucket: string, uploadId: string): void {
    fs.rmSync(this.#path(bucket, "uploads", uploadId), { recursive: true, force: true });
  }

  close(): void {
    this.#unlock();
  }

  #path(bucket: string, ...rest: string[]): string {
    return join(this.#root, `bucket-${bucket}`, ...rest);
  }

  #objectPath(bucket: string, key: string): string {
    return this.#path(bucket, "objects", `${createHash("sha256").update(key).digest("hex")}.json`);
  }
}

interface BlobRange {
  id: string;
  path: string;
  from: number;
  to: number;
}

function readSmall({ path, from, to }: BlobRange): Buffer {
  const buffer = Buffer.allocUnsafe(to - from);
  const file = fs.openSync(path, "r");
  try {
    if (fs.readSync(file, buffer, 0, buffer.length, from) !== buffer.length) throw new Error("a blob is cut short");
    return buffer;
  } finally {
    fs.closeSync(file);
  }
}

/** Reads blob after blob, one block ahead of its reader, so that disk and socket work at the same time. */
class FolderReader implements BlobReader {
  readonly #ranges: BlobRange[];
  readonly #onClose: () => void;
  #file: FileHandle | undefined;
  #ahead: Promise<Buffer | undefined>;
  #closed = false;

  constructor(ranges: BlobRange[], onClose: () => void) {
    this.#ranges = ranges;
    this.#onClose = onClose;
    this.#ahead = this.#read();
    this.#ahead.catch(() => {});
  }

  async next(): Promise<Buffer | undefined> {
    const block = await this.#ahead;
    if (block !== undefined && !this.#closed) {
      this.#ahead = this.#read();
      this.#ahead.catch(() => {});
    }
    return block;
  }

  async #read(): Promise<Buffer | undefined> {
    const range = this.#ranges[0];
    if (range === undefined || this.#closed) return undefined;
    this.#file ??= await open(range.path, "r");
    const buffer = Buffer.allocUnsafe(Math.min(BLOCK_BYTES, range.to - range.from));
    const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, range.from);
    if (bytesRead === 0) throw new Error("a blob is cut short");
    range.from += bytesRead;
    if (range.from === range.to) {
      this.#ranges.shift();
      await this.#file.close();
      this.#file = undefined;
    }
    return buffer.subarray(0, bytesRead);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // The file can be closed only when the read that is under way has ended.
    void this.#ahead
      .catch(() => {})
      .then(() => this.#file?.close())
      .catch(() => {})
      .then(this.#onClose);
  }
}

/** Writes a blob in large blocks; receiving goes on while one block is written, and waits for it before the next. */
class FolderWriter implements BlobWriter {
  readonly #id = randomId();
  readonly #path: string;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #flushed = false;
  #file: FileHandle | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(folder: string) {
    this.#path = join(folder, this.#id);
  }

  write(chunk: Buffer): void | Promise<void> {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < BLOCK_BYTES) return;
    const before = this.#writing;
    this.#flush();
    return before;
  }

  #flush(): void {
    this.#flushed = true;
    const chunks = this.#chunks;
    const bytes = this.#bytes;
    this.#chunks = [];
    this.#bytes = 0;
    this.#writing = this.#writing.then(async () => {
      this.#file ??= await open(this.#path, "wx");
      const { bytesWritten } = await this.#file.writev(chunks);
      if (bytesWritten < bytes) throw new Error("the disk is full");
    });
    // The next `write`, or `finish`, rejects with the error.
    this.#writing.catch(() => {});
  }

  finish(): string | Promise<string> {
    if (this.#bytes <= SMALL_BYTES && !this.#flushed) {
      fs.writeFileSync(this.#path, Buffer.concat(this.#chunks), { flag: "wx" });
      return this.#id;
    }
    this.#flush();
    return this.#writing.then(async () => {
      await this.#file?.close();
      return this.#id;
    });
  }

  async discard(): Promise<void> {
    await this.#writing.catch(() => {});
    await this.#file?.close();
    fs.rmSync(this.#path, { force: true });
  }
}

function readJson<T>(path: string): T | undefined {
  try {
    return JSON.parse(fs.readFileSync(path, "utf8")) as T;
  } catch {
    // The file is absent, or not one that this server wrote.
    return undefined;
  }
}

/** Reads every record of a folder. Files that were being written when a process ended are removed. */
function readFolder<T>(folder: string): T[] {
  const records: T[] = [];
  for (const file of fs.readdirSync(folder)) {
    const path = join(folder, file);
    if (file.endsWith(".tmp")) fs.rmSync(path, { force: true });
    else {
      const record = readJson<T>(path);
      if (record !== undefined) records.push(record);
    }
  }
  return records;
}

function writeJson(path: string, value: unknown): void {
  const temporary = `${path}.${randomId()}.tmp`;
  fs.writeFileSync(temporary, JSON.stringify(value));
  fs.renameSync(temporary, path);
}
