import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, lstat, mkdir, open, readdir, realpath, rename, rmdir, stat, unlink } from "node:fs/promises";
import { join, sep } from "node:path";
import type { Bytes } from "../types.js";
import { explain, systemError, unlessAbsent } from "./file-errors.js";
import { type FileHead, footerSize, parseFooter } from "./file-format.js";
import { locked } from "./lock.js";

/** Objects up to this size are read in one go, so that a body nobody reads holds no file open. */
const SMALL_BYTES = 65_536;
/** Enough for the footer of nearly every object. */
const FOOTER_GUESS_BYTES = 2_048;
/** Temporary files that nobody wrote to for so long belong to a process that has ended. */
const LEFT_OVER_MS = 24 * 3_600_000;
/** Left-over files are looked for at most this often. */
const CLEANING_INTERVAL_MS = 3_600_000;
/** Attempts to place a file while other processes change its folder. */
const MAX_RETRIES = 20;

/** An object that was found. */
export interface Opened {
  head: FileHead;
  /** The body of a small object, where it was asked for. */
  body: Bytes | undefined;
  /** The open file of a large object, to be closed. */
  file: FileHandle | undefined;
}

/** The files of a store. Paths are names below its folder. */
export class Folder {
  readonly #root: string;
  #cleaned = -Infinity;

  constructor(root: string) {
    this.#root = root;
  }

  #at(path: readonly string[]): string {
    return join(this.#root, ...path);
  }

  /** Returns the files and folders in a folder; none in an absent one. Symbolic links are neither. */
  async names(folders: readonly string[]): Promise<{ name: string; folder: boolean }[]> {
    return explain(
      undefined,
      (async () => {
        if (!(await this.#isOurs(folders))) return [];
        const entries = await readdir(this.#at(folders), { withFileTypes: true }).catch(unlessAbsent);
        return (entries ?? [])
          .filter((entry) => entry.isFile() || entry.isDirectory())
          .map((entry) => ({ name: entry.name, folder: entry.isDirectory() }));
      })(),
    );
  }

  /**
   * Opens the object in a file; undefined when there is none, or the file is not whole, not ours, or behind a symbolic
   * link.
   *
   * @param key - Key that the file must name; undefined takes any.
   */
  async open(path: readonly string[], key: string | undefined, withBody: boolean): Promise<Opened | undefined> {
    return explain(
      key,
      (async () => {
        if (!(await this.#isOurs(path.slice(0, -1)))) return undefined;
        // Not blocking: a pipe under one of our names would otherwise wait for its writer.
        const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
        // Windows has no such flag: there a link is looked for first.
        const linked = constants.O_NOFOLLOW === undefined && (await lstat(this.#at(path)).catch(unlessAbsent));
        if (linked && linked.isSymbolicLink()) return undefined;
        const file = await open(this.#at(path), flags).catch(unlessAbsent);
        let keep = false;
        try {
          const stats = await file?.stat();
          if (file === undefined || stats?.isFile() !== true) return undefined;
          const { size } = stats;
          let last = await readPart(file, Math.max(0, size - (withBody ? SMALL_BYTES : FOOTER_GUESS_BYTES)), size);
          const needed = footerSize(last);
          if (needed === undefined) return undefined;
          if (needed > last.byteLength) last = await readPart(file, Math.max(0, size - needed), size);
          const head = parseFooter(last, size, key);
          if (head === undefined) return undefined;
          keep = withBody && last.byteLength < size;
          const body = withBody && !keep ? last.subarray(0, head.size) : undefined;
          return { head, body, file: keep ? file : undefined };
        } finally {
          if (!keep) await file?.close();
        }
      })(),
    );
  }

  /** Creates a file beside the objects, to be written, and then placed or removed. */
  async create(): Promise<{ file: FileHandle; path: string }> {
    const path = this.#at(["~tmp", `${process.pid}-${randomUUID()}`]);
    await this.#ensure("~tmp");
    const file = await open(path, "wx");
    // The time is the file system's own: the clocks of machines that share a drive differ.
    await this.#clean((await file.stat()).mtimeMs);
    return { file, path };
  }

  /** Moves a finished file to where its object belongs, over what is there. */
  async place(temporary: string, path: readonly string[]): Promise<void> {
    const folders = path.slice(0, -1);
    for (let attempt = 0; ; attempt++) {
      try {
        if (!(await this.#isOurs(folders))) await this.#make(folders);
        return await rename(temporary, this.#at(path));
      } catch (error) {
        const { code = "" } = error as NodeJS.ErrnoException;
        // A delete has just removed the empty folder; or, on Windows, a reader has the old file open for a moment.
        const passing = code === "ENOENT" || (process.platform === "win32" && /^(EPERM|EACCES|EBUSY)$/.test(code));
        if (!passing || attempt === MAX_RETRIES) throw error;
        if (code !== "ENOENT") await new Promise((resolve) => setTimeout(resolve, 10 * attempt));
      }
    }
  }

  /** Tells whether there is a file. */
  async has(path: readonly string[]): Promise<boolean> {
    if (!(await this.#isOurs(path.slice(0, -1)))) return false;
    return (await lstat(this.#at(path)).catch(unlessAbsent)) !== undefined;
  }

  /** Removes a file, and the folders above it that are empty then. */
  async remove(path: readonly string[]): Promise<void> {
    if (!(await this.#isOurs(path.slice(0, -1)))) return;
    await unlink(this.#at(path)).catch(unlessAbsent);
    for (let depth = path.length - 1; depth > 0; depth--) {
      // This fails where something is left. A writer that is about to place a file there makes the folder again.
      const kept = await rmdir(this.#at(path.slice(0, depth))).catch(() => true);
      if (kept === true) return;
    }
  }

  /** Runs `work` while no other change to this key runs, in any process. */
  async locked<T>(name: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    await this.#ensure("~lock");
    return locked(this.#at(["~lock"]), name, signal, work);
  }

  /** Tells whether a folder is there, and no symbolic link leads to it from ours. */
  async #isOurs(folders: readonly string[]): Promise<boolean> {
    const root = await realpath(this.#root).catch(unlessAbsent);
    const real = root && (await realpath(join(root, ...folders)).catch(unlessAbsent));
    if (root !== undefined && real !== undefined && folders.length > 0) {
      return real === [root.endsWith(sep) ? root.slice(0, -1) : root, ...folders].join(sep);
    }
    // An absent folder is empty. A file in its place, or above it, is a mistake that must not look empty.
    const stats = await stat(this.#root).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
    if (stats?.isDirectory() === false) throw systemError("ENOTDIR", this.#root);
    return real !== undefined;
  }

  async #ensure(name: string): Promise<void> {
    if (await this.#isOurs([name])) return;
    await mkdir(this.#root, { recursive: true });
    await this.#make([name]);
  }

  /** Makes folders one by one, none through a symbolic link. */
  async #make(folders: readonly string[]): Promise<void> {
    for (let depth = 1; depth <= folders.length; depth++) {
      const path = folders.slice(0, depth);
      await mkdir(this.#at(path)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "EEXIST") throw error;
      });
      if (!(await this.#isOurs(path))) {
        // A delete has removed it again, or it was never a folder.
        const there = await stat(this.#at(path)).catch(unlessAbsent);
        if (there !== undefined) throw systemError(there.isDirectory() ? "ELOOP" : "ENOTDIR", this.#at(path));
        return;
      }
    }
  }

  /** Removes the files that crashed processes left, once an hour at most. Trouble with that is not the writer's. */
  async #clean(now: number): Promise<void> {
    if (now - this.#cleaned < CLEANING_INTERVAL_MS) return;
    this.#cleaned = now;
    for (const folder of ["~tmp", "~lock"]) {
      const files = await this.names([folder]).catch(() => []);
      for (const { name } of files) {
        const path = this.#at([folder, name]);
        const stats = await stat(path).catch(() => undefined);
        if (stats?.isFile() === true && now - stats.mtimeMs > LEFT_OVER_MS) await unlink(path).catch(() => {});
      }
    }
  }
}

/** Reads the bytes of a file from `start` to `end`; fewer where it ends before. */
export async function readPart(file: FileHandle, start: number, end: number): Promise<Bytes> {
  const bytes = new Uint8Array(end - start);
  let at = 0;
  while (at < bytes.byteLength) {
    const { bytesRead } = await file.read(bytes, at, bytes.byteLength - at, start + at);
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return bytes.subarray(0, at);
}
