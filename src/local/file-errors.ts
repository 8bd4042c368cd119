import { BucketCacheError, type ErrorCode } from "../errors.js";

type FileError = Error & { code?: string; path?: string; syscall?: string };

const MEANING: Record<string, [code: ErrorCode, advice: string]> = {};
for (const [codes, code, advice] of [
  ["EACCES EPERM EROFS", "ERR_FORBIDDEN", "give this process the right to read and write there"],
  ["ENOSPC EDQUOT", "ERR_UNAVAILABLE", "the disk, or the quota, is full: make room, or choose another directory"],
  [
    "EMFILE ENFILE",
    "ERR_UNAVAILABLE",
    "too many open files: read or cancel every body, or raise the limit (ulimit -n)",
  ],
  ["EIO EBUSY ESTALE ETIMEDOUT EAGAIN", "ERR_UNAVAILABLE", "the drive does not answer as it should"],
  [
    "ENOTDIR EEXIST",
    "ERR_STORE",
    "something that is not a folder is in the way: choose a directory of the store's own",
  ],
  ["ELOOP", "ERR_STORE", "a symbolic link is in the way, and is not followed: remove it"],
  ["ENAMETOOLONG", "ERR_STORE", "choose a directory with a shorter path"],
] as const) {
  for (const one of codes.split(" ")) MEANING[one] = [code, advice];
}

/**
 * Awaits work on files.
 *
 * @throws BucketCacheError with advice, in place of an error of the file system
 */
export async function explain<T>(key: string | undefined, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { code, path, message } = (error ?? {}) as FileError;
    if (typeof code !== "string" || !/^E[A-Z0-9]+$/.test(code)) throw error;
    const [meaning, advice] = MEANING[code] ?? ["ERR_STORE", "the file system refuses"];
    const where = path === undefined ? "" : ` at ${path}`;
    throw new BucketCacheError(meaning, `${code}${where}: ${advice} (${message})`, {
      key,
      store: "file",
      cause: error,
    });
  }
}

/** Turns the error of an absent file into undefined, for `catch`. A file in place of a folder means that nothing is below it. */
export function unlessAbsent(error: unknown): undefined {
  if (!["ENOENT", "ENOTDIR", "ENAMETOOLONG", "ELOOP"].includes((error as FileError).code ?? "")) throw error;
}

/** Makes an error as the file system does. */
export function systemError(code: string, path: string): FileError {
  return Object.assign(new Error(`${code}: ${path}`), { code, path });
}
