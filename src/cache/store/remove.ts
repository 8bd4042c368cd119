import { forEachPooled } from "../../base/pool.js";
import type { CallOptions, ObjectHead } from "../../types.js";
import { asBucketCacheError, decide } from "../failure.js";
import type { CacheState } from "../state.js";
import { ifUnchanged } from "./read.js";
import { beginWrite, replace } from "./write.js";

/** Most keys in one request to delete: S3 takes no more. */
export const DELETE_BATCH = 1000;

/** Deletes an entry in both layers, in order. */
export function remove(state: CacheState, key: string, { signal }: CallOptions): Promise<void> {
  return removeBy(state, key, signal, () => state.store.objects.delete(key, { signal }));
}

/** Deletes entries in both layers, many to a request where the store can. */
export function removeMany(state: CacheState, keys: Iterable<string>, call: CallOptions): Promise<void> {
  return forEachPooled(batches([...new Set(keys)]), (batch) => removeBatch(state, batch, call));
}

async function removeBatch(state: CacheState, keys: readonly string[], call: CallOptions): Promise<void> {
  const { concurrency, store } = state;
  const { signal } = call;
  if (store.objects.deleteMany === undefined) return forEachPooled(keys, (key) => remove(state, key, call));
  // One request takes the place of each key in the order of its writes: it waits for those before it, and those after wait.
  const earlier = Promise.all(keys.map((key) => concurrency.writesOf(key)));
  let request: Promise<void> | undefined;
  // Begun by the first key whose turn comes, so that its failure is heard even when every caller has left meanwhile.
  const send = (): Promise<void> => (request ??= earlier.then(() => store.objects.deleteMany?.(keys, { signal })));
  await Promise.all(keys.map((key) => removeBy(state, key, signal, send)));
}

function removeBy(
  state: CacheState,
  key: string,
  signal: AbortSignal | undefined,
  request: () => Promise<void>,
): Promise<void> {
  const { memory, reporting, store } = state;
  const operation = beginWrite(state, key);
  memory.delete(key);
  return replace(state, operation, signal, async () => {
    reporting.counters.store.deletes++;
    try {
      await request();
      store.tellLimitations();
    } catch (error) {
      throw store.failure(error, key, signal);
    }
    if (!operation.superseded) memory.delete(key);
    reporting.deleted(key);
  });
}

/**
 * Deletes an object that has ended, after a HEAD that shows it unchanged, and only as it was seen. This happens in the
 * background: its reader has a miss and does not wait. An object that a function is about to overwrite is left to it.
 */
export function discardEnded(
  { concurrency, reporting, settings, store }: CacheState,
  key: string,
  ended: ObjectHead | undefined,
  call: CallOptions,
): void {
  if (ended === undefined || concurrency.isLoading(key) || concurrency.isWriting(key)) return;
  const operation = concurrency.begin(key);
  const work = concurrency.inTurn(key, async () => {
    try {
      const head = await store.head(key, undefined);
      if (head === undefined || operation.superseded || !isSameWrite(head, ended)) return;
      reporting.counters.store.deletes++;
      const { versionId } = head;
      await store.objects.delete(key, { ...ifUnchanged(head.etag), ...(versionId !== undefined && { versionId }) });
      store.tellLimitations();
      reporting.deleted(key);
    } catch (error) {
      if (decide("discard", error, settings) !== "yield") throw asBucketCacheError(error, key, store.objects.name);
    } finally {
      concurrency.end(operation);
    }
  });
  concurrency.background.run(key, work, call);
}

function isSameWrite(one: ObjectHead, other: ObjectHead): boolean {
  return (
    one.etag === other.etag &&
    one.lastModified.getTime() === other.lastModified.getTime() &&
    one.metadata["expires_at"] === other.metadata["expires_at"]
  );
}

function* batches(keys: readonly string[]): Iterable<string[]> {
  for (let i = 0; i < keys.length; i += DELETE_BATCH) yield keys.slice(i, i + DELETE_BATCH);
}
