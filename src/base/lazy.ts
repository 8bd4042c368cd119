import { BucketCacheError } from "../errors.js";
import { isBrowser, isWorkerd } from "./runtime.js";

/**
 * Makes a part that is loaded when there is first work for it. Work begins in the order in which it was asked for, and at
 * once when the part is there. A part that cannot be loaded is `ERR_UNAVAILABLE`, and the next work tries again.
 */
export function lazy<M>(load: () => Promise<M>): <T>(work: (part: M) => Promise<T>) => Promise<T> {
  let part: M | undefined;
  let loading: Promise<M> | undefined;
  let waiting = 0;
  return (work) => {
    if (part !== undefined && waiting === 0) return work(part);
    waiting++;
    // On workerd no request may wait for a promise of another request.
    const loaded = isWorkerd() ? load() : (loading ??= load());
    return loaded.then(
      (found) => {
        waiting--;
        return work((part = found));
      },
      (cause: unknown) => {
        waiting--;
        loading = undefined;
        throw new BucketCacheError(
          "ERR_UNAVAILABLE",
          "a part of bucketcache could not be loaded: the page is offline, or its files have moved",
          { cause },
        );
      },
    );
  };
}

/** Begins to load a part in a page, where loading takes a request. Elsewhere this does nothing. */
export function preload(part: (work: () => Promise<void>) => Promise<void>): void {
  if (isBrowser()) part(async () => undefined).catch(() => undefined);
}
