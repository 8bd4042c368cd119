import { toSeconds } from "../base/duration.js";
import { checkPrefix } from "../data/key.js";
import { checkCodecs } from "../entry/codec.js";
import type { CacheOptions, CallOptions, Codec, Duration, EntryOptions, ObjectStore } from "../types.js";
import type { LifetimePolicy } from "./lifetime.js";

/** How an entry is written: {@link EntryOptions} with every default filled in. */
export interface EntryPolicy {
  /** Undefined: never expires. */
  ttlSeconds: number | undefined;
  compress: boolean | "auto";
  background: boolean;
}

/** {@link CacheOptions}, checked, with every default filled in. */
export interface Settings {
  store: ObjectStore;
  prefix: string;
  entry: EntryPolicy;
  memory: MemorySettings | undefined;
  bypassUnavailable: boolean;
  forbiddenIsMiss: boolean;
  codecs: readonly Codec[];
  maxValueBytes: number;
  lifetime: LifetimeSettings;
  waitUntil: CallOptions["waitUntil"];
}

/** The lifetime policies of a cache. */
export interface LifetimeSettings {
  /** For objects that the store answers with: only their end counts, since the answer confirms them. */
  objects: LifetimePolicy;
  /** For copies of explicit entries. */
  explicit: LifetimePolicy;
  /** For copies of function results. */
  results: LifetimePolicy;
}

interface MemorySettings {
  maxEntries: number;
  maxBytes: number;
  isolation: "share" | "clone" | "freeze";
}

const MAX_ENTRIES = 10_000;
const MAX_BYTES = 64 * 1024 * 1024;
const REVALIDATE_EXPLICIT_MS = 60_000;
const MAX_VALUE_BYTES = 512 * 1024 * 1024;

/**
 * Checks the options of a cache and fills in the defaults.
 *
 * @throws TypeError that names the option which is wrong.
 */
export function resolveSettings(options: CacheOptions): Settings {
  const store = options?.store;
  if (typeof store?.get !== "function" || typeof store.put !== "function") {
    throw new TypeError(
      "createCache needs a store: s3Store(…), presignedStore(…), fileStore(…), memoryStore() or your own",
    );
  }
  const prefix = options.prefix ?? "cache/";
  checkPrefix(prefix);
  const codecs = options.codecs ?? [];
  checkCodecs(codecs);
  return {
    store,
    prefix,
    entry: resolveEntry(options, { ttlSeconds: undefined, compress: "auto", background: false }),
    memory: options.memory === false ? undefined : resolveMemory(options.memory ?? {}),
    bypassUnavailable: oneOf(options.whenUnavailable, "whenUnavailable", ["bypass", "throw"]) === "bypass",
    forbiddenIsMiss: oneOf(options.whenForbidden, "whenForbidden", ["throw", "miss"]) === "miss",
    codecs,
    maxValueBytes: count(options.maxValueBytes, "maxValueBytes", MAX_VALUE_BYTES),
    lifetime: resolveLifetime(options),
    waitUntil: options.waitUntil,
  };
}

/** Returns the options of one call over the defaults of its cache. */
export function resolveEntry({ ttl, compress, write }: EntryOptions, defaults: EntryPolicy): EntryPolicy {
  if (compress !== undefined && compress !== "auto" && typeof compress !== "boolean") {
    throw new TypeError(`compress must be true, false or "auto"; got ${String(compress)}`);
  }
  return {
    ttlSeconds: ttl === undefined ? defaults.ttlSeconds : resolveTtl(ttl),
    compress: compress ?? defaults.compress,
    background:
      write === undefined ? defaults.background : oneOf(write, "write", ["await", "background"]) === "background",
  };
}

/** Returns the policy of each value by options whose `ttl` may be a function of the value and the arguments. */
export function resolvePolicy(
  { ttl, ...others }: Omit<EntryOptions, "ttl"> & { ttl?: Duration | ((value: never, ...args: never) => Duration) },
  defaults: EntryPolicy,
): (...valueAndArgs: unknown[]) => EntryPolicy {
  if (typeof ttl === "function") {
    const policy = resolveEntry(others, defaults);
    return (...valueAndArgs) => ({
      ...policy,
      ttlSeconds: resolveTtl((ttl as (...valueAndArgs: unknown[]) => Duration)(...valueAndArgs)),
    });
  }
  const policy = resolveEntry({ ...others, ...(ttl !== undefined && { ttl }) }, defaults);
  return () => policy;
}

/** Returns seconds; undefined for `Infinity`. */
function resolveTtl(ttl: Duration): number | undefined {
  const seconds = toSeconds(ttl, "ttl");
  return seconds === Infinity ? undefined : seconds;
}

function resolveMemory(options: Exclude<CacheOptions["memory"], false | undefined>): MemorySettings {
  return {
    maxEntries: count(options.maxEntries, "memory.maxEntries", MAX_ENTRIES),
    maxBytes: count(options.maxBytes, "memory.maxBytes", MAX_BYTES),
    isolation: oneOf(options.isolation, "memory.isolation", ["share", "clone", "freeze"]),
  };
}

function resolveLifetime({ memory, deleteExpired, deleteGrace }: CacheOptions): LifetimeSettings {
  const after = memory === false ? undefined : memory?.revalidateAfter;
  const revalidateAfterMs = after === undefined ? undefined : toSeconds(after, "memory.revalidateAfter") * 1000;
  const graceMs = deleteGrace === undefined ? 0 : toSeconds(deleteGrace, "deleteGrace") * 1000;
  const deleteGraceMs = deleteExpired === false ? Infinity : graceMs;
  return {
    objects: { revalidateAfterMs: Infinity, deleteGraceMs },
    explicit: { revalidateAfterMs: revalidateAfterMs ?? REVALIDATE_EXPLICIT_MS, deleteGraceMs },
    results: { revalidateAfterMs: revalidateAfterMs ?? Infinity, deleteGraceMs },
  };
}

function count(value: number | undefined, option: string, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value === "number" && value > 0) return value;
  throw new TypeError(`${option} must be a positive number; got ${String(value)}`);
}

function oneOf<T extends string>(value: T | undefined, option: string, choices: readonly [T, ...T[]]): T {
  if (value === undefined) return choices[0];
  if (choices.includes(value)) return value;
  throw new TypeError(`${option} must be ${choices.map((choice) => `"${choice}"`).join(" or ")}; got ${String(value)}`);
}
