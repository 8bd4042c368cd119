import { createHash } from "node:crypto";
import { type FileHandle, unlink } from "node:fs/promises";
import { resolve } from "node:path";
import { bodyStream, toStream } from "../base/body.js";
import { concat } from "../base/bytes.js";
import { BucketCacheError } from "../errors.js";
import { explain } from "./file-errors.js";
import { type FileHead, footer } from "./file-format.js";
import { Folder, readPart } from "./folder.js";
import { decodeName, fileSegment, foldersOf, pathOf } from "./file-names.js";
import type { Bytes, CallOptions, ListedObject, ObjectStore, PutOptions, WrittenObject } from "../types.js";
import {
  checkConditions,
  compareUtf8,
  drain,
  isUnmodified,
  type LocalHead,
  lowerCaseNames,
  rangeWithin,
  wrongDigest,
} from "./objects.js";

type GetOptions = NonNullable<Parameters<ObjectStore["get"]>[1]>;
type PutBody = Parameters<ObjectStore["put"]>[1];

const NAME = "file";

/** Size of the pieces in which bodies are read and written. */
const CHUNK_BYTES = 262_144;

/** Number of small files that are read, or deleted, at once. */
const FILES_AT_ONCE = 32;

/** Folder of the objects whose names would be too long for a file system. */
const LONG = "~long";

/**
 * Keeps entries in a folder: for development, and for one machine. Any number of processes may share it.
 *
 * - A write goes to a temporary file and is renamed into place: a reader sees the old entry or the new one, whole.
 *   Nothing is flushed to the disk: after a power failure an entry may be missing, but none is served half.
 * - Conditions hold between all writers, also of other processes: each change holds a lock of the key's own, a file
 *   under `~lock`, while it checks and renames. The lock of a process of this machine that died is taken over at once,
 *   that of another machine (on a network drive) after 10 seconds.
 * - The ETag is a hash of the content (SHA-256, shortened). A range that begins at or beyond the end is `ERR_STORE`.
 * - Only whole entries are served: neither truncated nor foreign files, nor files behind a symbolic link.
 * - Temporary files of a process that crashed are removed a day later, when something is written.
 *
 * There is no `presign`. Trouble with the folder is a `BucketCacheError`: no permission is `ERR_FORBIDDEN`, a full disk
 * `ERR_UNAVAILABLE`, so that `wrap` still answers.
 *
 * @example
 * ```ts
 * import { createCache } from "bucketcache";
 * import { fileStore } from "bucketcache/file";
 *
 * const cache = createCache({ store: fileStore({ directory: "./.cache" }) });
 * ```
 *
 * @param options.directory - Created by the first write. A relative path counts from the process's directory now.
 * @throws TypeError without a directory
 */
export function fileStore(options: { directory: string }): ObjectStore {
  if (typeof options?.directory !== "string" || options.directory === "") {
    throw new TypeError('fileStore needs { directory }, the path of a folder, such as "./.cache"');
  }
  const folder = new Folder(resolve(options.directory));
  const remove: ObjectStore["delete"] = (key, callOptions) => removeObject(folder, key, callOptions);
  return {
    name: NAME,
    get: (key, callOptions) => getObject(folder, key, callOptions),
    async head(key, { signal } = {}) {
      signal?.throwIfAborted();
      const head = await readHead(folder, key);
      signal?.throwIfAborted();
      return head && headOf(head);
    },
    put: (key, body, putOptions) => putObject(folder, key, body, putOptions),
    delete: remove,
    async deleteMany(keys, callOptions) {
      callOptions?.signal?.throwIfAborted();
      for (let at = 0; at < keys.length; at += FILES_AT_ONCE) {
        await Promise.all(keys.slice(at, at + FILES_AT_ONCE).map((key) => remove(key, callOptions)));
      }
    },
    list: (prefix, callOptions) => listObjects(folder, prefix, callOptions),
  };
}

async function readHead(folder: Folder, key: string): Promise<FileHead | undefined> {
  return (await folder.open(pathFor(key), key, false))?.head;
}

async function getObject(
  folder: Folder,
  key: string,
  { signal, range, ifNoneMatch, lastModified }: GetOptions = {},
): ReturnType<ObjectStore["get"]> {
  signal?.throwIfAborted();
  const opened = await folder.open(pathFor(key), key, true);
  if (opened === undefined) {
    signal?.throwIfAborted();
    return undefined;
  }
  const { body, file } = opened;
  const head = headOf(opened.head);
  let keepOpen = false;
  try {
    signal?.throwIfAborted();
    if (isUnmodified(head, ifNoneMatch, lastModified)) return "not-modified";
    const { start, end } = rangeWithin(range, head.size, { key, store: NAME });
    if (file === undefined) return { ...head, body: toStream((body as Bytes).subarray(start, end)) };
    keepOpen = true;
    return { ...head, body: readFrom(file, { start, end }, key, signal) };
  } finally {
    if (!keepOpen) await file?.close();
  }
}

async function putObject(folder: Folder, key: string, body: PutBody, options: PutOptions): Promise<WrittenObject> {
  const { signal } = options;
  const path = pathFor(key);
  // Copied before anything is awaited: a later change of the caller's array or metadata changes nothing.
  const metadata = lowerCaseNames(options.metadata);
  const total = ArrayBuffer.isView(body) ? body.byteLength : "size" in body ? body.size : undefined;
  const stream = ArrayBuffer.isView(body) ? toStream(new Uint8Array(body)) : bodyStream(body);
  const { file, path: temporary } = await createFile(folder, key, stream, signal);
  try {
    const { etag, modified } = await write(file, key, { stream, total }, { ...options, metadata });
    await file.close();
    await changeLocked(folder, key, signal, async () => {
      const { ifMatch, ifNoneMatch } = options;
      if (ifMatch !== undefined || ifNoneMatch !== undefined) {
        checkConditions(await readHead(folder, key), { ifMatch, ifNoneMatch }, { key, store: NAME });
      }
      await folder.place(temporary, path);
    });
    return { etag, lastModified: new Date(modified) };
  } catch (error) {
    await file.close().catch(() => {});
    await unlink(temporary).catch(() => {});
    throw error;
  }
}

/** Creates a temporary file for a body. When that fails, the body is cancelled. */
async function createFile(
  folder: Folder,
  key: string,
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal | undefined,
): ReturnType<Folder["create"]> {
  try {
    signal?.throwIfAborted();
    return await explain(key, folder.create());
  } catch (error) {
    body.cancel(error).catch(() => {});
    throw error;
  }
}

async function removeObject(
  folder: Folder,
  key: string,
  { signal, ifMatch }: NonNullable<Parameters<ObjectStore["delete"]>[1]> = {},
): Promise<void> {
  signal?.throwIfAborted();
  const path = pathFor(key);
  // An absent object needs no lock, and no folder for locks where there is no folder at all.
  if (!(await explain(key, folder.has(path)))) return;
  await changeLocked(folder, key, signal, async () => {
    if (ifMatch !== undefined) {
      const current = await readHead(folder, key);
      if (current === undefined) return;
      checkConditions(current, { ifMatch }, { key, store: NAME });
    }
    await folder.remove(path);
  });
}

/** Runs a change of an object while no other change of it runs, in any process. */
function changeLocked(
  folder: Folder,
  key: string,
  signal: AbortSignal | undefined,
  change: () => Promise<void>,
): Promise<void> {
  return explain(key, folder.locked(sha256Hex(key).slice(0, 40), signal, change));
}

async function* listObjects(
  folder: Folder,
  prefix: string,
  { signal }: CallOptions = {},
): AsyncGenerator<ListedObject, void, undefined> {
  signal?.throwIfAborted();
  const long = await longHeads(folder, prefix, signal);
  const cut = prefix.lastIndexOf("/") + 1;
  const folders = cut === 0 ? [] : foldersOf(prefix.slice(0, cut - 1));
  for await (const head of walk(folder, folders, { parent: prefix.slice(0, cut), start: prefix.slice(cut) }, signal)) {
    while (long[0] !== undefined && compareUtf8(long[0].key, head.key) < 0) yield listed(long.shift() as FileHead);
    yield listed(head);
  }
  for (const head of long) yield listed(head);
}

/** Returns the objects with long names below a prefix, in the order of their keys. They are few. */
async function longHeads(folder: Folder, prefix: string, signal: AbortSignal | undefined): Promise<FileHead[]> {
  const long: FileHead[] = [];
  for await (const head of heads(folder, [LONG], await folder.names([LONG]), signal)) {
    if (head.key.startsWith(prefix)) long.push(head);
  }
  return long.sort((a, b) => compareUtf8(a.key, b.key));
}

/** Writes a body, and behind it the head of the object, to a new file. */
async function write(
  file: FileHandle,
  key: string,
  { stream, total }: { stream: ReadableStream<Uint8Array>; total: number | undefined },
  options: PutOptions,
): Promise<Pick<FileHead, "etag" | "modified">> {
  const { contentType, cacheControl, metadata, sha256, onProgress } = options;
  const hash = createHash("sha256");
  let size = 0;
  let waiting: Uint8Array[] = [];
  let waitingSize = 0;
  const flush = async (): Promise<void> => {
    const chunk = waiting.length === 1 ? (waiting[0] as Uint8Array) : concat(waiting);
    waiting = [];
    waitingSize = 0;
    await explain(key, file.writeFile(chunk));
  };
  await drain(stream, options, async (chunk) => {
    hash.update(chunk);
    waiting.push(chunk);
    size += chunk.byteLength;
    waitingSize += chunk.byteLength;
    if (waitingSize >= CHUNK_BYTES) await flush();
    onProgress?.({ loaded: size, total });
  });
  if (size === 0) onProgress?.({ loaded: 0, total });
  const digest = hash.digest();
  if (sha256 !== undefined && digest.toString("base64") !== sha256) throw wrongDigest({ key, store: NAME });
  const etag = `"${digest.toString("hex", 0, 16)}"`;
  const modified = Date.now();
  waiting.push(footer({ key, size, etag, modified, contentType, cacheControl, metadata }));
  await flush();
  return { etag, modified };
}

/**
 * Yields the objects below a folder, in the order of their keys.
 *
 * @param names.parent - Beginning of their keys, which the folder stands for.
 * @param names.start - Beginning of the names in the folder itself.
 */
async function* walk(
  folder: Folder,
  folders: readonly string[],
  { parent, start }: { parent: string; start: string },
  signal: AbortSignal | undefined,
): AsyncGenerator<FileHead> {
  const items: { name: string; folder: boolean; key: string }[] = [];
  for (const { name, folder: isFolder } of await folder.names(folders)) {
    const segment = isFolder ? decodeName(name) : fileSegment(name);
    // A folder sorts as its objects do: by its segment and the slash behind that.
    const key = isFolder ? `${segment}/` : segment;
    if (segment !== undefined && key?.startsWith(start) === true) {
      items.push({ name, folder: isFolder, key: parent + key });
    }
  }
  items.sort((a, b) => compareUtf8(a.key, b.key));
  for (let at = 0; at < items.length;) {
    const item = items[at] as (typeof items)[number];
    if (item.folder) {
      yield* walk(folder, [...folders, item.name], { parent: item.key, start: "" }, signal);
      at++;
    } else {
      let end = at;
      while (items[end]?.folder === false) end++;
      yield* heads(folder, folders, items.slice(at, end), signal);
      at = end;
    }
  }
}

/** Yields the heads of the objects in these files, in their order; a few are read at a time. */
async function* heads(
  folder: Folder,
  folders: readonly string[],
  names: readonly { name: string; key?: string }[],
  signal: AbortSignal | undefined,
): AsyncGenerator<FileHead> {
  for (let at = 0; at < names.length; at += FILES_AT_ONCE) {
    signal?.throwIfAborted();
    const read = names
      .slice(at, at + FILES_AT_ONCE)
      .map(({ name, key }) => folder.open([...folders, name], key, false));
    for (const opened of await Promise.all(read)) if (opened !== undefined) yield opened.head;
  }
}

function pathFor(key: string): string[] {
  if (/\p{Surrogate}/u.test(key)) throw new TypeError("an object key must not hold half a surrogate pair");
  return pathOf(key) ?? [LONG, `${sha256Hex(key)}.entry`];
}

function sha256Hex(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function headOf({ size, etag, modified, contentType, cacheControl, metadata }: FileHead): LocalHead {
  return {
    size,
    etag,
    lastModified: new Date(modified),
    contentType,
    cacheControl,
    metadata,
    now: new Date(Date.now()),
  };
}

function listed({ key, size, etag, modified }: FileHead): ListedObject {
  return { key, size, etag, lastModified: new Date(modified) };
}

/** Makes a stream of a part of an open file, which is closed at its end, on an error, and when the stream is cancelled. */
function readFrom(
  file: FileHandle,
  { start, end }: { start: number; end: number },
  key: string,
  signal: AbortSignal | undefined,
): ReadableStream<Bytes> {
  let at = start;
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        try {
          signal?.throwIfAborted();
          const chunk = await explain(key, readPart(file, at, Math.min(end, at + CHUNK_BYTES)));
          at += chunk.byteLength;
          if (chunk.byteLength === 0 && at < end) {
            const details = { key, store: NAME };
            throw new BucketCacheError(
              "ERR_UNAVAILABLE",
              "the file was cut off while it was read: read it again",
              details,
            );
          }
          if (chunk.byteLength > 0) controller.enqueue(chunk);
          if (at < end) return;
          await file.close();
          controller.close();
        } catch (error) {
          await file.close().catch(() => {});
          throw error;
        }
      },
      cancel: () => file.close(),
    },
    { highWaterMark: 0 },
  );
}
