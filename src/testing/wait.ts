/**
 * Waits; without end for `Infinity`.
 *
 * @throws the signal's reason
 */
export function wait(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const done = (): void => {
      signal?.removeEventListener("abort", abort);
      resolve();
    };
    const timer = milliseconds === Infinity ? undefined : setTimeout(done, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
