/** Finds the value of a key in memory, else in the store, else computes it. */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { BucketCacheError } from "../errors.js";
import type { Encoded } from "../entry/codec.js";
import type { CallOptions, WriteCondition } from "../types.js";
import type { Operation } from "./concurrency/write-order.js";
import { decide } from "./failure.js";
import type { LifetimePolicy } from "./lifetime.js";
import type { EntryInfo, MemoryNode } from "./memory/lru.js";
import { type CachedValue, unkept } from "./memory/memory.js";
import type { EntryPolicy } from "./settings.js";
import type { CacheState } from "./state.js";
import { encode, isolatedValue } from "./store/encode.js";
import { read, type Reading } from "./store/read.js";
import { discardEnded } from "./store/remove.js";
import { storeLoaded } from "./store/write.js";

/** The function that an entry belongs to, and its arguments: tells two functions of one key apart. */
export interface Identity {
  /** The `key` of the entry's metadata; undefined where the runtime cannot hash. */
  hash: () => Promise<string | undefined>;
  /** Whether memory has proof already that this node belongs to it. */
  owns: (node: MemoryNode) => boolean;
}

/** One call of a wrapped function, or of `getOrSet`. */
export interface LoadRequest {
  /** The object key. */
  key: string;
  /** Names the flight: loads of one key and one identity are one load. */
  flight: string;
  /** For function results. */
  identity: Identity | undefined;
  schema: StandardSchemaV1 | undefined;
  lifetime: LifetimePolicy;
  /** The signal is undefined where no caller can abort. */
  compute: (signal: AbortSignal | undefined) => unknown;
  policyOf: (value: unknown) => EntryPolicy;
  shouldCache: ((value: never) => boolean) | undefined;
  call: CallOptions;
}

/** A value that was found without computing it. */
export interface FoundValue {
  value: CachedValue;
  source: "memory" | "store";
}

/** Returns the value as its reader takes it, or undefined when it is of no use to that reader. */
type Fit = (value: CachedValue) => Promise<CachedValue | undefined>;

/** A value computed by a load, on its way to its callers. */
interface Computation {
  /** Undefined when the store could not be read. */
  condition: WriteCondition | undefined;
  operation: Operation;
  signal: AbortSignal | undefined;
}

/** Keys as `wrap` derives them from arguments. */
const DERIVED_KEY = /\/[0-9a-f]{32}$/;

const UNKNOWN = { size: 0, etag: "", contentType: "" } as EntryInfo;

/**
 * Returns the value of a key: from memory, else from the store, else computed and kept. Concurrent callers share one
 * load. An error of the function reaches every waiter unchanged.
 */
export async function load(state: CacheState, request: LoadRequest): Promise<CachedValue> {
  const { key, call, lifetime } = request;
  const { memory, reporting } = state;
  call.signal?.throwIfAborted();
  const startedAt = performance.now();
  const node = memory.recall(key);
  const copy = node && (await accept(state, request, node));
  if (node === undefined || copy === undefined) return loadBeyondMemory(state, request);
  if (memory.stateOf(node, lifetime) !== "fresh") return loadBeyondMemory(state, request, node);
  reporting.memoryHit(key, startedAt);
  return copy;
}

/** Returns the value of a key from memory, else from the store. Computes nothing. */
export async function find(
  state: CacheState,
  { key, call, lifetime }: Pick<LoadRequest, "key" | "call" | "lifetime">,
  fit: Fit,
): Promise<FoundValue | undefined> {
  const { memory, reporting, settings } = state;
  call.signal?.throwIfAborted();
  const startedAt = performance.now();
  const node = memory.recall(key);
  const copy = node && (await fit(node));
  const fromMemory = (value: CachedValue): FoundValue => {
    reporting.memoryHit(key, startedAt);
    return { value, source: "memory" };
  };
  if (node !== undefined && copy !== undefined && memory.stateOf(node, lifetime) === "fresh") return fromMemory(copy);
  let reading: Reading;
  try {
    reading = await read(state, key, call, copy && node);
  } catch (error) {
    if (copy === undefined || decide("find", error, settings) !== "bypass") throw error;
    reporting.error(key, error);
    return fromMemory(copy);
  }
  discardEnded(state, key, reading.ended, call);
  const value = reading.value && (await fit(reading.value));
  reading.report(value !== undefined);
  return value && { value, source: "store" };
}

/** Loads without asking memory: the result was read from the store, or computed. `node` is a copy to be confirmed. */
export function loadBeyondMemory(state: CacheState, request: LoadRequest, node?: MemoryNode): Promise<CachedValue> {
  const { concurrency } = state;
  return concurrency.once(concurrency.loads, request.flight, request.call, (signal) =>
    loadOnce(state, request, node, signal),
  );
}

async function loadOnce(
  state: CacheState,
  request: LoadRequest,
  node: MemoryNode | undefined,
  signal: AbortSignal | undefined,
): Promise<CachedValue> {
  const { concurrency } = state;
  const writes = concurrency.writesOf(request.key);
  if (writes !== undefined) await writes;
  const operation = concurrency.begin(request.key);
  try {
    const { value, condition } = await seekInStore(state, request, node, signal);
    return value ?? (await computeAndStore(state, request, { condition, operation, signal }));
  } finally {
    concurrency.end(operation);
  }
}

/** Returns what the store has for a request, and the condition of a write in its place. */
async function seekInStore(
  state: CacheState,
  request: LoadRequest,
  node: MemoryNode | undefined,
  signal: AbortSignal | undefined,
): Promise<{ value: CachedValue | undefined; condition: WriteCondition | undefined }> {
  const { key, call } = request;
  try {
    const reading = await read(state, key, { signal, waitUntil: call.waitUntil }, node);
    const value = reading.value && (await accept(state, request, reading.value));
    reading.report(value !== undefined);
    return { value, condition: reading.condition };
  } catch (error) {
    if (decide("load", error, state.settings) !== "bypass") throw error;
    state.reporting.error(key, error);
    // No answer says that the copy has changed.
    return { value: node && (await accept(state, request, node)), condition: undefined };
  }
}

/** Runs the function whatever is cached. Its result counts as newer than what any other load computes meanwhile. */
export function refresh(state: CacheState, request: LoadRequest): Promise<CachedValue> {
  const { concurrency } = state;
  const { key, call } = request;
  return concurrency.once(concurrency.loads, `${request.flight}\0refresh`, call, async (signal) => {
    const operation = concurrency.begin(key, true);
    try {
      const value = await computeAndStore(state, request, { condition: {}, operation, signal });
      // Other tabs are told once the store has the result: until then it has the old one.
      void concurrency.settled(key, undefined).then(() => concurrency.announce?.(key));
      return value;
    } finally {
      concurrency.end(operation);
    }
  });
}

async function computeAndStore(
  state: CacheState,
  request: LoadRequest,
  { condition, operation, signal }: Computation,
): Promise<CachedValue> {
  const { key, call, schema, shouldCache } = request;
  const { concurrency, memory, reporting, settings } = state;
  reporting.counters.calls++;
  const value = await request.compute(signal);
  if (signal?.aborted) throw signal.reason as Error;
  refuseStreams(value);
  const uncached = (): CachedValue => unkept(memory.isolate(value), UNKNOWN);
  if (shouldCache !== undefined && !shouldCache(value as never)) return uncached();
  const policy = request.policyOf(value);
  let encoded: Encoded;
  try {
    encoded = encode(state, key, value);
  } catch (error) {
    // A value that is too large to keep is no reason to withhold it.
    if (decide("encode", error, settings) !== "bypass") throw error;
    reporting.error(key, error);
    return uncached();
  }
  const keyHash = await request.identity?.hash();
  if (operation.isWrite) concurrency.supersede(key, operation);
  const isolated = isolatedValue(state, encoded, value);
  const loadedCall = { signal, waitUntil: call.waitUntil };
  const loaded = { key, value, encoded, isolated, policy, keyHash, condition, operation, call: loadedCall };
  const stored = await storeLoaded(state, loaded);
  if (stored.node !== undefined && schema !== undefined) stored.node.validFor = schema;
  return stored;
}

/** Returns an entry that belongs to the request and fits its schema, as the schema's output. */
export async function accept(
  state: Pick<CacheState, "reporting">,
  { key, identity, schema }: Pick<LoadRequest, "key" | "identity" | "schema">,
  found: CachedValue,
): Promise<CachedValue | undefined> {
  if (identity === undefined) {
    if (found.createdAt === undefined && DERIVED_KEY.test(key)) return undefined;
  } else if (found.node === undefined || !identity.owns(found.node)) {
    const hash = await identity.hash();
    if (found.createdAt === undefined || (hash !== undefined && found.keyHash !== hash)) return undefined;
    if (hash === undefined) warnOnce(state.reporting, key);
  }
  return conform(schema, found);
}

/** Returns the entry with its value as the schema gives it; undefined when it does not fit. */
export async function conform(
  schema: StandardSchemaV1 | undefined,
  found: CachedValue,
): Promise<CachedValue | undefined> {
  if (schema === undefined || found.node?.validFor === schema) return found;
  const result = await schema["~standard"].validate(found.value);
  if (result.issues !== undefined) return undefined;
  if (result.value !== found.value) {
    return Object.assign(Object.create(found) as CachedValue, { value: result.value });
  }
  if (found.node !== undefined) found.node.validFor = schema;
  return found;
}

const warned = new WeakSet<CacheState["reporting"]>();

function warnOnce(reporting: CacheState["reporting"], key: string): void {
  if (warned.has(reporting)) return;
  warned.add(reporting);
  const message =
    "crypto.subtle is missing, as on plain-http pages: entries are not checked to belong to their function. Serve https";
  reporting.error(key, new BucketCacheError("ERR_UNSUPPORTED", message, { key }));
}

/** Refuses streams, because a hit could not give the same type back. */
function refuseStreams(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  const isStream =
    ["ReadableStream", "Response", "Blob", "File", "ArrayBuffer"].includes(kind) || Symbol.asyncIterator in value;
  if (!isStream) return;
  throw new TypeError(
    `a cached function must not return a ${kind}: use getOrSetStream, or return a Uint8Array, a string or plain data`,
  );
}
