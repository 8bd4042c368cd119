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
import type { Bytes, ListedObject, ObjectStore } from "../types.js";
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

const NAME = "file";
/** What is read, and written, at a time. */
const CHUNK = 262_144;
/** Many small reads go out together. */
const AHEAD = 32;

/**
 * Entries in a folder: for development, and for one machine. Any number of processes may share it.
 *
 * - A write goes to a temporary file and is renamed into place: a reader sees the old entry or the new one, whole.
 *   Nothing is flushed to the disk: after a power failure an entry may be missing, but none is served half.
 * - Conditions hold between all writers, also of other processes: each change holds a lock of the key's own, a file
 *   under `~lock`, while it checks and renames. The lock of a process of this machine that died is taken over at once,
 *   that of another machine (on a network drive) after 10 seconds.
 * - The ETag is a hash of the content (SHA-256, shortened). A range that begins at or beyond the end is `ERR_STORE`.
 * - What is not an entry is not served: truncated or foreign files, and what lies behind a symbolic link.
 * - Temporary files of a process that crashed are removed a day later, when something is written.
 *
 * There is no `presign`. Trouble with the folder is a `BucketCacheError`: no permission is `ERR_FORBIDDEN`, a full disk
 * `ERR_UNAVAILABLE`, so that `wrap` still answers.
 *
 * @param options.directory - Made when first written to. A relative path counts from the process's directory now.
 * @throws TypeError without a directory.
 */
export function fileStore(options: { directory: string }): ObjectStore {
  if (typeof options?.directory !== "string" || options.directory === "") {
    throw new TypeError('fileStore needs { directory }, the path of a folder, such as "./.cache"');
  }
  const folder = new Folder(resolve(options.directory));

  async function headAt(key: string): Promise<FileHead | undefined> {
    return (await folder.open(pathFor(key), key, false))?.head;
  }

  const store: ObjectStore = {
    name: NAME,

    async get(key, { signal, range, ifNoneMatch, lastModified } = {}) {
      signal?.throwIfAborted();
      const opened = await folder.open(pathFor(key), key, true);
      if (opened === undefined) {
        signal?.throwIfAborted();
        return undefined;
      }
      const { body, file } = opened;
      const head = headOf(opened.head);
      let keep = false;
      try {
        signal?.throwIfAborted();
        if (isUnmodified(head, ifNoneMatch, lastModified)) return "not-modified";
        const { start, end } = rangeWithin(range, head.size, { key, store: NAME });
        keep = file !== undefined;
        return {
          ...head,
          body: file ? readFrom(file, start, end, key, signal) : toStream((body as Bytes).subarray(start, end)),
        };
      } finally {
        if (!keep) await file?.close();
      }
    },

    async head(key, { signal } = {}) {
      signal?.throwIfAborted();
      const head = await headAt(key);
      signal?.throwIfAborted();
      return head && headOf(head);
    },

    async put(key, body, options) {
      const { signal, ifMatch, ifNoneMatch } = options;
      const path = pathFor(key);
      // Copied before anything is awaited: what the caller does to its array or metadata later changes nothing.
      const metadata = lowerCaseNames(options.metadata);
      const total = ArrayBuffer.isView(body) ? body.byteLength : "size" in body ? body.size : undefined;
      const stream = ArrayBuffer.isView(body) ? toStream(new Uint8Array(body)) : bodyStream(body);
      let created;
      try {
        signal?.throwIfAborted();
        created = await explain(key, folder.create());
      } catch (error) {
        stream.cancel(error).catch(() => {});
        throw error;
      }
      const { file, path: temporary } = created;
      try {
        const { etag, modified } = await write(file, key, stream, total, { ...options, metadata });
        await file.close();
        await explain(
          key,
          folder.locked(lockName(key), signal, async () => {
            if (ifMatch !== undefined || ifNoneMatch !== undefined) {
              checkConditions(await headAt(key), { ifMatch, ifNoneMatch }, { key, store: NAME });
            }
            await folder.place(temporary, path);
          }),
        );
        return { etag, lastModified: new Date(modified) };
      } catch (error) {
        await file.close().catch(() => {});
        await unlink(temporary).catch(() => {});
        throw error;
      }
    },

    async delete(key, { signal, ifMatch } = {}) {
      signal?.throwIfAborted();
      const path = pathFor(key);
      // An absent one needs no lock, and no folder for locks where there is none at all.
      if (!(await explain(key, folder.has(path)))) return;
      await explain(
        key,
        folder.locked(lockName(key), signal, async () => {
          const current = ifMatch === undefined ? undefined : await headAt(key);
          if (current !== undefined) checkConditions(current, { ifMatch }, { key, store: NAME });
          else if (ifMatch !== undefined) return;
          await folder.remove(path);
        }),
      );
    },

    async deleteMany(keys, options) {
      options?.signal?.throwIfAborted();
      for (let at = 0; at < keys.length; at += AHEAD) {
        await Promise.all(keys.slice(at, at + AHEAD).map((key) => store.delete(key, options)));
      }
    },

    async *list(prefix, { signal } = {}) {
      signal?.throwIfAborted();
      // Those whose names would be too long lie elsewhere; they are few, and are merged in.
      const long: FileHead[] = [];
      for await (const head of heads(folder, ["~long"], await folder.names(["~long"]), signal)) {
        if (head.key.startsWith(prefix)) long.push(head);
      }
      long.sort((a, b) => compareUtf8(a.key, b.key));
      const cut = prefix.lastIndexOf("/") + 1;
      const folders = cut === 0 ? [] : foldersOf(prefix.slice(0, cut - 1));
      for await (const head of walk(folder, folders, prefix.slice(0, cut), prefix.slice(cut), signal)) {
        while (long[0] !== undefined && compareUtf8(long[0].key, head.key) < 0) yield listed(long.shift() as FileHead);
        yield listed(head);
      }
      for (const head of long) yield listed(head);
    },
  };
  return store;
}

/** Writes a body, and what is known of it, to a new file. */
async function write(
  file: FileHandle,
  key: string,
  stream: ReadableStream<Uint8Array>,
  total: number | undefined,
  options: Parameters<ObjectStore["put"]>[2],
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
    if (waitingSize >= CHUNK) await flush();
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

/** The objects below a folder, in the order of their keys. */
async function* walk(
  folder: Folder,
  folders: readonly string[],
  parent: string,
  start: string,
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
      yield* walk(folder, [...folders, item.name], item.key, "", signal);
      at++;
    } else {
      let end = at;
      while (items[end]?.folder === false) end++;
      yield* heads(folder, folders, items.slice(at, end), signal);
      at = end;
    }
  }
}

/** What is known of the objects in these files, in their order; a few are read at a time. */
async function* heads(
  folder: Folder,
  folders: readonly string[],
  names: readonly { name: string; key?: string }[],
  signal: AbortSignal | undefined,
): AsyncGenerator<FileHead> {
  for (let at = 0; at < names.length; at += AHEAD) {
    signal?.throwIfAborted();
    const read = names.slice(at, at + AHEAD).map(({ name, key }) => folder.open([...folders, name], key, false));
    for (const opened of await Promise.all(read)) if (opened !== undefined) yield opened.head;
  }
}

function pathFor(key: string): string[] {
  if (/\p{Surrogate}/u.test(key)) throw new TypeError("an object key must not hold half a surrogate pair");
  return pathOf(key) ?? ["~long", `${sha256Hex(key)}.entry`];
}

function lockName(key: string): string {
  return sha256Hex(key).slice(0, 40);
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

/** Part of an open file, which is closed at its end, on an error, and when the stream is cancelled. */
function readFrom(
  file: FileHandle,
  start: number,
  end: number,
  key: string,
  signal: AbortSignal | undefined,
): ReadableStream<Bytes> {
  let at = start;
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        try {
          signal?.throwIfAborted();
          const chunk = await explain(key, readPart(file, at, Math.min(end, at + CHUNK)));
          at += chunk.byteLength;
          if (chunk.byteLength === 0 && at < end) {
            const details = { key, store: NAME };
            throw new BucketCacheError(
              "ERR_UNAVAILABLE",
              "the file was cut off while it was read; read it again",
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
