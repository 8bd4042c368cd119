/** What a cache does with many entries at once. */
import { untilAborted } from "../base/abort.js";
import { isReserved, sanitizeName } from "../data/key.js";
import type { Layers } from "./layers.js";
import { forEachPooled } from "../base/pool.js";
import type { CallOptions, ListedObject } from "../types.js";
import { get } from "./entries.js";
import { removeMany } from "./store/remove.js";

/** Keys in one request to delete: what S3 takes. */
const DELETE_BATCH = 1000;

export async function getMany(layers: Layers, keys: readonly string[], options: CallOptions): Promise<unknown[]> {
  const values = new Array<unknown>(keys.length).fill(undefined);
  const { memory, settings } = layers;
  settings.store.prepare?.(keys.filter((key) => memory?.peek(key) === undefined));
  await forEachPooled(keys, async (key, index) => {
    values[index] = await get(layers, key, options);
  });
  return values;
}

export function deleteMany(layers: Layers, keys: Iterable<string>, options: CallOptions): Promise<void> {
  return forEachPooled(batches([...new Set(keys)]), (batch) => removeMany(layers, batch, options));
}

export async function* list(
  layers: Layers,
  { prefix: below = "", signal }: CallOptions & { prefix?: string },
): AsyncGenerator<ListedObject, undefined> {
  const { prefix, store } = layers.settings;
  signal?.throwIfAborted();
  try {
    for await (const object of store.list(prefix + below, { signal })) {
      if (!isReserved(prefix, object.key)) yield { ...object, key: layers.keyOf(object.key) };
    }
  } catch (error) {
    throw layers.failure(error, undefined, signal);
  }
}

export async function clear(
  layers: Layers,
  options: CallOptions & { prefix?: string; name?: string; all?: true },
): Promise<void> {
  const { signal } = options;
  const below = clearedPrefix(options);
  signal?.throwIfAborted();
  const objectPrefix = layers.settings.prefix + below;
  layers.forgetBelow(objectPrefix);
  try {
    // What is not written yet would not be listed.
    await untilAborted(layers.order.pendingBelow(objectPrefix), signal);
    let batch: string[] = [];
    for await (const { key } of list(layers, { prefix: below, signal })) {
      batch.push(layers.settings.prefix + key);
      if (batch.length === DELETE_BATCH) {
        await removeMany(layers, batch, options);
        batch = [];
      }
    }
    if (batch.length > 0) await removeMany(layers, batch, options);
  } finally {
    layers.forgetBelow(objectPrefix);
  }
}

function clearedPrefix({ prefix, name, all }: { prefix?: string; name?: string; all?: true } = {}): string {
  if (all === true && prefix === undefined && name === undefined) return "";
  if (typeof name === "string" && prefix === undefined && all === undefined) return `${sanitizeName(name)}/`;
  if (typeof prefix === "string" && prefix !== "" && name === undefined && all === undefined) return prefix;
  throw new TypeError("clear needs either a name or a prefix; to delete every entry of this cache say { all: true }");
}

function* batches(keys: readonly string[]): Iterable<string[]> {
  for (let i = 0; i < keys.length; i += DELETE_BATCH) yield keys.slice(i, i + DELETE_BATCH);
}
