const hubs = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Runs `abort` when the signal aborts, until the function that is returned is called. However many wait for one signal,
 * it has one listener: Node warns of a leak from eleven, and a hundred reads for one request are none.
 */
export function onAbort(signal: AbortSignal | undefined, abort: () => void): () => void {
  if (signal === undefined) return () => {};
  if (signal.aborted) {
    abort();
    return () => {};
  }
  let hub = hubs.get(signal);
  if (hub === undefined) {
    const all = new Set<() => void>();
    const run = (): void => {
      for (const one of [...all]) one();
    };
    signal.addEventListener("abort", run, { once: true });
    hubs.set(signal, (hub = all));
  }
  // Not the function itself, which may be added twice.
  const own = (): void => abort();
  hub.add(own);
  return () => void hub.delete(own);
}

/** What the work gives, or the signal's reason when that aborts first. The work itself goes on. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise<T>((resolve, reject) => {
    const off = onAbort(signal, () => reject(signal.reason as Error));
    work.then(resolve, reject);
    work.then(off, off);
  });
}
