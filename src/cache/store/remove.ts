import { isBucketCacheError } from "../../errors.js";
import { asBucketCacheError } from "../events.js";
import type { ExpiredObject, Layers } from "../layers.js";
import { forEachPooled } from "../../base/pool.js";
import type { CallOptions } from "../../types.js";
import { headObject, ifUnchanged } from "./read.js";
import { replacing, supersede } from "./write.js";

/** `delete`: in both layers, in order. */
export function remove(layers: Layers, key: string, { signal }: CallOptions): Promise<void> {
  return removing(layers, key, () => layers.settings.store.delete(key, { signal }), signal);
}

/** The same for many keys, at once where the store can. */
export async function removeMany(layers: Layers, keys: readonly string[], call: CallOptions): Promise<void> {
  const { store } = layers.settings;
  if (store.deleteMany === undefined) return forEachPooled(keys, (key) => remove(layers, key, call));
  const { signal } = call;
  // One request takes the place of each key in the order of its writes: it waits for those before it, and those after wait.
  const earlier = Promise.all(keys.map((key) => layers.order.pending(key)));
  const request = earlier.then(() => store.deleteMany?.(keys, { signal }));
  await Promise.all(keys.map((key) => removing(layers, key, () => request, signal)));
}

function removing(
  layers: Layers,
  key: string,
  request: () => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const token = supersede(layers, key);
  layers.memory?.delete(key);
  return replacing(
    layers,
    key,
    token,
    async () => {
      layers.counters.store.deletes++;
      try {
        await request();
      } catch (error) {
        throw layers.failure(error, key, signal);
      }
      if (!token.superseded) layers.memory?.delete(key);
      layers.events.emit("delete", { key: layers.keyOf(key) });
      layers.announce?.(key);
    },
    signal,
  );
}

/**
 * Deletes an object that was found past its end, unless it has changed since (wire format, section 5). In the
 * background: its reader has a miss and does not wait. What a function is about to overwrite is left to it.
 */
export function discardExpired(
  layers: Layers,
  key: string,
  expired: ExpiredObject | undefined,
  call: CallOptions,
): void {
  const { deleteExpired, deleteGrace, store } = layers.settings;
  if (expired === undefined || !deleteExpired || layers.isLoading(key)) return;
  if (layers.clock.now() / 1000 < expired.endedAt + deleteGrace || layers.order.isPending(key)) return;
  const token = layers.order.begin(key);
  const work = layers.order.enqueue(key, async () => {
    try {
      const head = await headObject(layers, key, undefined);
      if (
        head === undefined ||
        token.superseded ||
        head.etag !== expired.etag ||
        head.lastModified.getTime() !== expired.lastModified.getTime() ||
        head.metadata["expires_at"] !== expired.expiresAt
      ) {
        return;
      }
      layers.counters.store.deletes++;
      await store.delete(key, {
        ...ifUnchanged(head.etag),
        ...(head.versionId !== undefined && { versionId: head.versionId }),
      });
      layers.events.emit("delete", { key: layers.keyOf(key) });
    } catch (error) {
      // Somebody was faster; or those who may only read leave the deleting to those who may.
      const code = isBucketCacheError(error) ? error.code : undefined;
      if (code !== "ERR_CONFLICT" && code !== "ERR_FORBIDDEN" && code !== "ERR_UNSUPPORTED") {
        throw asBucketCacheError(error, key, store.name);
      }
    } finally {
      layers.order.end(token);
    }
  });
  layers.background.run(key, work, layers.waitUntilOf(call));
}
