/** Writes entries in order: values and bodies that a caller sets, and values that a load has computed. */
import { untilAborted } from "../../base/abort.js";
import type { Encoded } from "../../entry/codec.js";
import type { Body, CallOptions, SetOptions, WriteCondition } from "../../types.js";
import type { Operation } from "../concurrency/write-order.js";
import { uploading, writing } from "../edges.js";
import { decide } from "../failure.js";
import type { EntryInfo } from "../memory/lru.js";
import { type CachedValue, type IsolatedValue, unkept } from "../memory/memory.js";
import { type EntryPolicy, resolveEntry } from "../settings.js";
import type { CacheState } from "../state.js";
import { closeUnread, toUpload } from "./body.js";
import type { Snapshot } from "./encode.js";
import type { WriteOptions } from "./put.js";
import type { BodyWrite } from "./upload.js";

/** A value that is to be written. */
export interface ValueWrite {
  key: string;
  encoded: Encoded;
  policy: EntryPolicy;
  sinceMs: number;
  /** The `key` of the entry's metadata, for function results. */
  keyHash: string | undefined;
  condition: WriteCondition;
}

/** Stores a value, unconditionally and in order, in both layers. */
export function setValue(
  state: CacheState,
  key: string,
  { encoded, isolated, sinceMs }: Snapshot,
  policy: EntryPolicy,
  options: SetOptions,
): Promise<void> {
  const { memory, reporting } = state;
  const write: ValueWrite = { key, encoded, policy, sinceMs, keyHash: undefined, condition: {} };
  const weight = encoded.body.byteLength;
  const startedAt = performance.now();
  const operation = beginWrite(state, key);
  if (policy.background) {
    memory.delete(key);
    if (!encoded.converted) memory.keep(key, isolated, weight, infoBefore(state, write));
  }
  const work = replace(state, operation, options.signal, async () => {
    const { info, isNewest } = await writing(({ putValue }) => putValue(state, write, options));
    if (!isNewest || encoded.converted) memory.delete(key);
    else if (!operation.superseded) memory.keep(key, isolated, weight, info);
    reporting.stored(key, info.size, startedAt);
  });
  return settle(state, key, work, policy, options);
}

/**
 * Stores a body, which memory never holds.
 *
 * @throws TypeError for an error page, and for a body that was read before.
 */
export function setBody(state: CacheState, key: string, body: Body, options: SetOptions): Promise<void> {
  const { memory, reporting, settings } = state;
  const upload = toUpload(body, options);
  const policy = resolveEntry(options, settings.entry);
  const startedAt = performance.now();
  const operation = beginWrite(state, key);
  memory.delete(key);
  const work = replace(state, operation, options.signal, async () => {
    const size = await uploadBody(state, { key, upload, policy, condition: {} }, options);
    if (!operation.superseded) memory.delete(key);
    reporting.stored(key, size, startedAt);
  });
  return settle(state, key, work, policy, options);
}

/** Puts a body by the part that does so, and returns its size on the wire. The body is closed when that part cannot be loaded. */
export async function uploadBody(state: CacheState, write: BodyWrite, options: WriteOptions): Promise<number> {
  try {
    return await uploading(({ putBody }) => putBody(state, write, options));
  } catch (error) {
    closeUnread(write.upload.body, error);
    throw error;
  }
}

/** Begins a `set` or `delete`, which supersedes what is in progress. */
export function beginWrite({ concurrency }: Pick<CacheState, "concurrency">, key: string): Operation {
  concurrency.supersede(key);
  return concurrency.begin(key, true);
}

/** Runs the write of a `set` or `delete` in its turn, and ends its operation. */
export function replace(
  { concurrency, memory }: Pick<CacheState, "concurrency" | "memory">,
  operation: Operation,
  signal: AbortSignal | undefined,
  write: () => Promise<void>,
): Promise<void> {
  const { key } = operation;
  const earlier = concurrency.writesOf(key);
  const work = concurrency.inTurn(key, async () => {
    try {
      signal?.throwIfAborted();
      await write();
      concurrency.announce?.(key);
    } catch (error) {
      // It may have reached the store all the same, so memory must ask.
      if (!operation.superseded) memory.delete(key);
      throw error;
    } finally {
      concurrency.supersedeReads(key);
      concurrency.end(operation);
    }
  });
  if (earlier === undefined || signal === undefined) return work;
  // A caller that leaves the queue need not wait for its turn, which comes to nothing.
  work.catch(() => undefined);
  return untilAborted(earlier, signal).then(() => work);
}

/** Waits for a write, or leaves it to the background. */
function settle(
  { concurrency }: CacheState,
  key: string,
  work: Promise<void>,
  policy: EntryPolicy,
  call: CallOptions,
): Promise<void> {
  if (!policy.background) return work;
  concurrency.background.run(key, work, call);
  return Promise.resolve();
}

/** A value that a load has computed. */
export interface LoadedValue {
  key: string;
  value: unknown;
  encoded: Encoded;
  isolated: IsolatedValue;
  policy: EntryPolicy;
  keyHash: string | undefined;
  /** Undefined when the store could not be read: nothing is known then that a write could be held to. */
  condition: WriteCondition | undefined;
  operation: Operation;
  call: CallOptions;
}

/**
 * How a loaded value fares, and what becomes of the copy in memory. The callers get the value in each case, except that
 * a refusal is thrown.
 */
const MEMORY_AFTER = {
  /** A newer value came in this process, before the write or during it. */
  superseded: "leave",
  /** The store was down when it was asked, so nothing is written. */
  "no condition": "keep",
  /** The store has the value. */
  written: "keep",
  /** A newer value came from another process, and stands. */
  conflict: "drop",
  /** The store went down, or cannot hold the value. An event tells it. */
  bypassed: "keep",
  /** The store refuses the value. */
  refused: "drop",
} as const;

/** Keeps what a load computed, unless something newer came: in this process (the operation), or in the store (the condition). */
export async function storeLoaded(state: CacheState, loaded: LoadedValue): Promise<CachedValue> {
  const { concurrency, memory } = state;
  const { key, encoded, policy, condition, operation, call } = loaded;
  // The first caller gets the buffer itself, and may change it before it is written.
  if (policy.background && encoded.codec === "bytes") encoded.body = encoded.body.slice();
  const write: ValueWrite = { ...loaded, sinceMs: Date.now(), condition: condition ?? {} };
  const early = infoBefore(state, write);
  if (operation.superseded) return settleLoaded(state, loaded, "superseded", early);
  // A value that reading would change is never kept, since a hit in memory must be what a hit in the store is.
  if (encoded.converted) memory.delete(key);
  if (condition === undefined) {
    return settleLoaded(state, loaded, concurrency.isWriting(key) ? "superseded" : "no condition", early);
  }
  if (!policy.background) return writeLoaded(state, loaded, write, early);
  const found = settleLoaded(state, loaded, "written", early);
  // The load ends before its write: from here on, an operation of the write watches for newer values.
  const later: LoadedValue = { ...loaded, operation: concurrency.begin(key, true), call: {} };
  const work = writeLoaded(state, later, write, early).finally(() => concurrency.end(later.operation));
  concurrency.background.run(key, work, call);
  return found;
}

/** Writes a loaded value in its turn. */
function writeLoaded(
  state: CacheState,
  loaded: LoadedValue,
  write: ValueWrite,
  early: EntryInfo,
): Promise<CachedValue> {
  const { concurrency, reporting, settings } = state;
  const { key, operation } = loaded;
  const startedAt = performance.now();
  return concurrency.inTurn(key, async () => {
    if (operation.superseded) return settleLoaded(state, loaded, "superseded", early);
    try {
      const { info } = await writing(({ putValue }) => putValue(state, write, { signal: loaded.call.signal }));
      concurrency.supersedeReads(key, operation);
      const result = settleLoaded(state, loaded, "written", info);
      reporting.stored(key, info.size, startedAt);
      return result;
    } catch (error) {
      const decision = decide("storeLoaded", error, settings);
      if (decision === "yield") return settleLoaded(state, loaded, "conflict", early);
      if (decision === "bypass") {
        reporting.error(key, error);
        return settleLoaded(state, loaded, "bypassed", early);
      }
      settleLoaded(state, loaded, "refused", early);
      throw error;
    }
  });
}

/** Does to memory what the outcome asks for, and returns what the callers get. */
function settleLoaded(
  { memory }: CacheState,
  { key, encoded, isolated, operation }: LoadedValue,
  outcome: keyof typeof MEMORY_AFTER,
  info: EntryInfo,
): CachedValue {
  const action = operation.superseded ? "leave" : MEMORY_AFTER[outcome];
  if (action === "keep" && !encoded.converted) return memory.keep(key, isolated, encoded.body.byteLength, info);
  if (action === "drop") memory.delete(key);
  return unkept(isolated, info);
}

/** Returns what is known of an entry before the store has it. */
export function infoBefore({ store }: CacheState, { encoded, policy, sinceMs, keyHash }: ValueWrite): EntryInfo {
  const createdAt = store.timeOf(sinceMs);
  return {
    createdAt,
    expiresAt: policy.ttlSeconds === undefined ? undefined : createdAt + policy.ttlSeconds,
    size: encoded.body.byteLength,
    etag: "",
    lastModified: undefined,
    contentType: encoded.contentType,
    keyHash,
  };
}
