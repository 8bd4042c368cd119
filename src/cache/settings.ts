import { checkCodecs } from "../entry/codec.js";
import { toSeconds } from "../base/duration.js";
import type { CacheOptions, Codec, Duration, EntryOptions, ObjectStore } from "../types.js";

/** How an entry is written: {@link EntryOptions} with every default filled in. */
export interface EntryPolicy {
  /** Seconds; undefined: never expires. */
  ttl: number | undefined;
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
  deleteExpired: boolean;
  /** Seconds. */
  deleteGrace: number;
  waitUntil: ((promise: Promise<unknown>) => void) | undefined;
}

export interface MemorySettings {
  maxEntries: number;
  maxBytes: number;
  isolation: "share" | "clone" | "freeze";
  /** Milliseconds after which a copy of an explicit entry is checked. */
  revalidateExplicit: number;
  /** The same for function results. */
  revalidateResults: number;
}

const MEMORY_ENTRIES = 10_000;
const MEMORY_BYTES = 64 * 1024 * 1024;
const REVALIDATE_EXPLICIT_MS = 60_000;
const MAX_VALUE_BYTES = 512 * 1024 * 1024;

/** @throws TypeError that names the option which is wrong. */
export function resolveSettings(options: CacheOptions): Settings {
  const store = options?.store;
  if (typeof store?.get !== "function" || typeof store.put !== "function") {
    throw new TypeError(
      "createCache needs a store: s3Store(…), presignedStore(…), fileStore(…), memoryStore() or your own",
    );
  }
  const prefix = options.prefix ?? "cache/";
  if (typeof prefix !== "string") throw new TypeError("prefix must be a string");
  const codecs = options.codecs ?? [];
  checkCodecs(codecs);
  return {
    store,
    prefix,
    entry: resolveEntry(options, { ttl: undefined, compress: "auto", background: false }),
    memory: options.memory === false ? undefined : resolveMemory(options.memory ?? {}),
    bypassUnavailable: oneOf(options.whenUnavailable, "whenUnavailable", ["bypass", "throw"]) === "bypass",
    forbiddenIsMiss: oneOf(options.whenForbidden, "whenForbidden", ["throw", "miss"]) === "miss",
    codecs,
    maxValueBytes: count(options.maxValueBytes, "maxValueBytes", MAX_VALUE_BYTES),
    deleteExpired: options.deleteExpired ?? true,
    deleteGrace: options.deleteGrace === undefined ? 0 : toSeconds(options.deleteGrace, "deleteGrace"),
    waitUntil: options.waitUntil,
  };
}

/** What one call says, over what the cache says. */
export function resolveEntry(options: EntryOptions, defaults: EntryPolicy): EntryPolicy {
  const { ttl, compress, write } = options;
  if (compress !== undefined && compress !== "auto" && typeof compress !== "boolean") {
    throw new TypeError(`compress must be true, false or "auto"; got ${String(compress)}`);
  }
  return {
    ttl: ttl === undefined ? defaults.ttl : resolveTtl(ttl),
    compress: compress ?? defaults.compress,
    background:
      write === undefined ? defaults.background : oneOf(write, "write", ["await", "background"]) === "background",
  };
}

/** Seconds; undefined for `Infinity`. */
export function resolveTtl(ttl: Duration): number | undefined {
  const seconds = toSeconds(ttl, "ttl");
  return seconds === Infinity ? undefined : seconds;
}

function resolveMemory(options: Exclude<CacheOptions["memory"], false | undefined>): MemorySettings {
  const after =
    options.revalidateAfter === undefined
      ? undefined
      : toSeconds(options.revalidateAfter, "memory.revalidateAfter") * 1000;
  return {
    maxEntries: count(options.maxEntries, "memory.maxEntries", MEMORY_ENTRIES),
    maxBytes: count(options.maxBytes, "memory.maxBytes", MEMORY_BYTES),
    isolation: oneOf(options.isolation, "memory.isolation", ["share", "clone", "freeze"]),
    revalidateExplicit: after ?? REVALIDATE_EXPLICIT_MS,
    revalidateResults: after ?? Infinity,
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
