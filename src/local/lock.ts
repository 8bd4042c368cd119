import { readFile, rename, stat, unlink, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { randomUUID } from "node:crypto";

/** A change takes milliseconds. A holder that keeps its lock for this long, and cannot be asked, is taken for dead. */
const STALE_MS = 10_000;

/** The last in the queue for each lock of this process: its own callers wait without touching the disk. */
const queues = new Map<string, Promise<unknown>>();

/**
 * Runs `work` while no other holder of the lock does, in this process or another: the lock is a file that only one can
 * create. The lock of a process that died is taken over.
 */
export async function locked<T>(
  directory: string,
  name: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const path = join(directory, name);
  const before = queues.get(path) ?? Promise.resolve();
  const mine = before.then(async () => {
    await acquire(path, signal);
    const since = performance.now();
    try {
      return await work();
    } finally {
      // A lock that was held for too long may be another's by now.
      if (performance.now() - since < STALE_MS) await unlink(path).catch(() => {});
    }
  });
  const settled = mine.catch(() => {});
  queues.set(path, settled);
  try {
    return await mine;
  } finally {
    if (queues.get(path) === settled) queues.delete(path);
  }
}

async function acquire(path: string, signal: AbortSignal | undefined): Promise<void> {
  let seen = "";
  let since = 0;
  for (let attempt = 0; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await writeFile(path, `${process.pid} ${hostname()}`, { flag: "wx" });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const holder = await identify(path);
    if (holder === undefined) continue;
    if (holder.id !== seen) [seen, since] = [holder.id, performance.now()];
    if (holder.dead || performance.now() - since > STALE_MS) await takeAway(path, seen);
    else await new Promise((resolve) => setTimeout(resolve, Math.min(1 + attempt, 20) * (0.5 + Math.random())));
  }
}

/** Returns the holder of a lock. Its id is another for every holding. */
async function identify(path: string): Promise<{ id: string; dead: boolean } | undefined> {
  try {
    const { ino, mtimeMs } = await stat(path);
    const text = await readFile(path, "utf8");
    const [pid, host] = text.split(" ");
    // An empty file was created just now and is about to be written.
    return { id: `${ino} ${mtimeMs} ${text}`, dead: text !== "" && host === hostname() && !isAlive(Number(pid)) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Another user's process may not be signalled, and lives.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/**
 * Removes the lock of a dead holder. It does so by a rename, in which only one can succeed: of two processes that found
 * the holder dead, the second would otherwise remove the new lock of the first.
 */
async function takeAway(path: string, id: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  // A rename keeps number and time of a file. The lock of another holder is put back, some moments later.
  if ((await identify(aside))?.id === id) await unlink(aside);
  else await rename(aside, path);
}
