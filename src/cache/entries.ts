/** The operations of a cache on one entry. */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { CallOptions, Entry, GetOrSetOptions, LoadContext } from "../types.js";
import { conform, find, type FoundValue, load } from "./load.js";
import { resolvePolicy } from "./settings.js";
import type { CacheState } from "./state.js";
import { inspect } from "./store/read.js";
import { discardEnded } from "./store/remove.js";

type ReadOptions = CallOptions & { schema?: StandardSchemaV1 };

function lookUp(state: CacheState, key: string, call: ReadOptions): Promise<FoundValue | undefined> {
  const { lifetime } = state.settings;
  return find(state, { key, call, lifetime: lifetime.explicit }, (value) => conform(call.schema, value));
}

export async function get(state: CacheState, key: string, options: ReadOptions): Promise<unknown> {
  const found = await lookUp(state, key, options);
  return found && state.memory.handOut(found.value);
}

export async function getEntry(
  state: CacheState,
  key: string,
  options: CallOptions,
): Promise<Entry<unknown> | undefined> {
  const found = await lookUp(state, key, options);
  if (found === undefined) return undefined;
  const { value, source } = found;
  return {
    key: state.reporting.keyOf(key),
    value: state.memory.handOut(value),
    source,
    createdAt: toDate(value.createdAt),
    expiresAt: toDate(value.expiresAt),
    size: value.size,
    etag: value.etag,
    contentType: value.contentType,
  };
}

export async function getOrSet<T>(
  state: CacheState,
  key: string,
  compute: (context: LoadContext) => T | PromiseLike<T>,
  options: GetOrSetOptions<T>,
): Promise<unknown> {
  const { memory, settings } = state;
  const value = await load(state, {
    key,
    flight: key,
    identity: undefined,
    schema: options.schema,
    lifetime: settings.lifetime.explicit,
    compute: (signal) => compute({ signal: signal ?? new AbortController().signal }),
    policyOf: resolvePolicy(options, settings.entry),
    shouldCache: options.shouldCache,
    call: options,
  });
  return memory.handOut(value);
}

export async function has(state: CacheState, key: string, options: CallOptions): Promise<boolean> {
  const { concurrency, memory, settings, store } = state;
  const node = memory.peek(key);
  if (node !== undefined && memory.stateOf(node, settings.lifetime.explicit) === "fresh") return true;
  await concurrency.settled(key, options.signal);
  const head = await store.head(key, options.signal);
  if (head === undefined) return false;
  const entry = inspect(state, key, head);
  if (entry.state === "ended") discardEnded(state, key, head, options);
  return entry.state === "fresh";
}

function toDate(seconds: number | undefined): Date | undefined {
  return seconds === undefined ? undefined : new Date(seconds * 1000);
}
