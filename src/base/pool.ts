/** Number of items in work at once: enough to hide the latency of a store, few enough for its connections and for memory. */
const CONCURRENCY = 64;

/**
 * Runs `work` on each item, many at a time, and waits for all. After an error nothing new is begun.
 *
 * @throws The first error, once the work in progress has ended.
 */
export async function forEachPooled<T>(
  items: Iterable<T>,
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  let index = 0;
  let failed = false;
  let failure: unknown;
  const worker = async (): Promise<void> => {
    for (;;) {
      if (failed) return;
      try {
        const next = iterator.next();
        if (next.done === true) return;
        await work(next.value, index++);
      } catch (error) {
        if (!failed) failure = error;
        failed = true;
      }
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  if (failed) throw failure;
}
