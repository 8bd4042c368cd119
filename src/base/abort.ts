const hubs = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Runs `abort` when the signal aborts, until the returned function is called. A signal gets one listener, however many
 * operations wait for it: Node warns of a leak from eleven on, and a hundred reads for one request are no leak.
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
  // A new function each time, because the same one may be added twice.
  const listener = (): void => abort();
  hub.add(listener);
  return () => void hub.delete(listener);
}

/** Settles as the work does, or rejects with the signal's reason when that aborts first. The work itself goes on. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise<T>((resolve, reject) => {
    const off = onAbort(signal, () => reject(signal.reason as Error));
    work.then(resolve, reject);
    work.then(off, off);
  });
}
