import * as fs from "node:fs";
import { join } from "node:path";
import { BucketCacheError } from "../errors.js";

/** Folders that this process has locked. Its id in a lock file may also be left from before a restart of a container. */
const held = new Set<string>();

/**
 * Takes a folder for this process, and returns a function that gives it back. Two servers in one folder would each serve
 * half of its objects, and remove those that the other one is about to write.
 *
 * @throws BucketCacheError ERR_CONFLICT when another server that is alive has it.
 */
export function lockFolder(folder: string): () => void {
  const path = join(fs.realpathSync(folder), "lock");
  for (;;) {
    try {
      fs.writeFileSync(path, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const holder = readHolder(path);
    if (holder === process.pid ? held.has(path) : isAlive(holder)) {
      throw new BucketCacheError(
        "ERR_CONFLICT",
        `The folder ${folder} is in use by a dev server in process ${holder}; close that one, or take another folder`,
      );
    }
    fs.rmSync(path, { force: true });
  }
  held.add(path);
  return () => {
    held.delete(path);
    fs.rmSync(path, { force: true });
  };
}

function readHolder(path: string): number {
  try {
    return Number(fs.readFileSync(path, "utf8"));
  } catch {
    // It was removed just now.
    return NaN;
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
