/** What a cache does with one entry. */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { Found, Layers } from "./layers.js";
import { type EntryPolicy, resolveEntry, resolveTtl } from "./settings.js";
import type { CallOptions, Entry, GetOrSetOptions, LoadContext } from "../types.js";
import { conform, find, load } from "./load.js";
import { headObject, judge } from "./store/read.js";
import { discardExpired } from "./store/remove.js";

type ReadOptions = CallOptions & { schema?: StandardSchemaV1 };

function lookUp(
  layers: Layers,
  key: string,
  call: ReadOptions,
): Promise<{ found: Found; source: "memory" | "store" } | undefined> {
  return find(layers, key, call, revalidateAfter(layers), (found) => conform(call.schema, found));
}

function revalidateAfter(layers: Layers): number {
  return layers.settings.memory?.revalidateExplicit ?? 0;
}

export async function get(layers: Layers, key: string, options: ReadOptions): Promise<unknown> {
  const result = await lookUp(layers, key, options);
  return result && layers.handOut(result.found);
}

export async function getEntry(layers: Layers, key: string, options: CallOptions): Promise<Entry<unknown> | undefined> {
  const result = await lookUp(layers, key, options);
  if (result === undefined) return undefined;
  const { found, source } = result;
  return {
    key: layers.keyOf(key),
    value: layers.handOut(found),
    source,
    createdAt: toDate(found.createdAt),
    expiresAt: toDate(found.expiresAt),
    stale: false,
    size: found.size,
    etag: found.etag,
    contentType: found.contentType,
  };
}

export async function getOrSet<T>(
  layers: Layers,
  key: string,
  compute: (context: LoadContext) => T | PromiseLike<T>,
  options: GetOrSetOptions<T>,
): Promise<unknown> {
  const { ttl, ...others } = options;
  const policy = resolveEntry(
    typeof ttl === "function" || ttl === undefined ? others : { ...others, ttl },
    layers.settings.entry,
  );
  const found = await load(layers, {
    key,
    flight: key,
    identity: undefined,
    schema: options.schema,
    revalidateAfter: revalidateAfter(layers),
    compute: (signal) => compute({ signal: signal ?? new AbortController().signal }),
    policyOf: (value): EntryPolicy =>
      typeof ttl === "function" ? { ...policy, ttl: resolveTtl(ttl(value as T)) } : policy,
    shouldCache: options.shouldCache,
    call: options,
  });
  return layers.handOut(found);
}

export async function has(layers: Layers, key: string, options: CallOptions): Promise<boolean> {
  const node = layers.memory?.peek(key);
  if (node !== undefined && !layers.hasEnded(node) && node.isFresh(revalidateAfter(layers))) {
    return true;
  }
  await layers.order.settled(key, options.signal);
  const head = await headObject(layers, key, options.signal);
  if (head === undefined) return false;
  const judged = judge(layers, key, head);
  if (judged.kind === "gone") discardExpired(layers, key, judged.expired, options);
  return judged.kind === "live";
}

function toDate(seconds: number | undefined): Date | undefined {
  return seconds === undefined ? undefined : new Date(seconds * 1000);
}
