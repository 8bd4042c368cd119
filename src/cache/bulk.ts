/** The operations of a cache on all entries below a prefix. */
import { untilAborted } from "../base/abort.js";
import { checkBeginning, isReserved, sanitizeName } from "../data/key.js";
import type { CallOptions, ListedObject } from "../types.js";
import type { CacheState } from "./state.js";
import { DELETE_BATCH, removeMany } from "./store/remove.js";

type ClearOptions = CallOptions & { prefix?: string; name?: string; all?: true };

export async function* list(
  { reporting, settings, store }: CacheState,
  { prefix: below = "", signal }: CallOptions & { prefix?: string },
): AsyncGenerator<ListedObject, undefined> {
  const { prefix } = settings;
  checkBeginning(below);
  signal?.throwIfAborted();
  try {
    for await (const object of store.objects.list(prefix + below, { signal })) {
      if (!isReserved(prefix, object.key)) yield { ...object, key: reporting.keyOf(object.key) };
    }
    store.tellLimitations();
  } catch (error) {
    throw store.failure(error, undefined, signal);
  }
}

export async function clear(state: CacheState, options: ClearOptions): Promise<void> {
  const { concurrency, memory, settings } = state;
  const { signal } = options;
  const below = clearedPrefix(options);
  checkBeginning(below);
  signal?.throwIfAborted();
  const objectPrefix = settings.prefix + below;
  const forget = (): void => {
    concurrency.supersedeBelow(objectPrefix);
    memory.clear(objectPrefix);
  };
  forget();
  try {
    // An entry that is not written yet would not be listed.
    await untilAborted(concurrency.settledBelow(objectPrefix), signal);
    let batch: string[] = [];
    for await (const { key } of list(state, { prefix: below, signal })) {
      batch.push(settings.prefix + key);
      if (batch.length === DELETE_BATCH) {
        await removeMany(state, batch, options);
        batch = [];
      }
    }
    await removeMany(state, batch, options);
  } finally {
    forget();
  }
}

function clearedPrefix({ prefix, name, all }: ClearOptions = {}): string {
  if (all === true && prefix === undefined && name === undefined) return "";
  if (typeof name === "string" && prefix === undefined && all === undefined) return `${sanitizeName(name)}/`;
  if (typeof prefix === "string" && prefix !== "" && name === undefined && all === undefined) return prefix;
  throw new TypeError("clear needs either a name or a prefix; to delete every entry of this cache say { all: true }");
}
