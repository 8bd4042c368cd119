import type { StandardSchemaV1 } from "@standard-schema/spec";
import { encode } from "./encoding.js";
import { BucketCacheError, isBucketCacheError, isUnavailable } from "../errors.js";
import type { WriteCondition } from "../types.js";
import type { Found, Layers, Reading } from "./layers.js";
import type { EntryInfo, MemoryNode } from "./memory/lru.js";
import type { Token } from "./concurrency/write-order.js";
import { read } from "./store/read.js";
import { discardExpired } from "./store/remove.js";
import type { EntryPolicy } from "./settings.js";
import type { CallOptions } from "../types.js";
import { storeLoaded } from "./store/write.js";

/** Whose result an entry is: what tells two functions of one key apart. */
export interface Identity {
  /** The `key` of the entry; undefined where the runtime cannot hash. */
  hash: () => Promise<string | undefined>;
  /** Whether memory knows this node for it already. */
  owns: (node: MemoryNode) => boolean;
}

/** One `wrap` call or `getOrSet`. */
export interface LoadRequest {
  /** The object key. */
  key: string;
  /** Names the flight: loads of one key and one identity are one load. */
  flight: string;
  /** For function results. */
  identity: Identity | undefined;
  schema: StandardSchemaV1 | undefined;
  /** Milliseconds after which a copy in memory is checked. */
  revalidateAfter: number;
  /** The signal is undefined where nobody can abort. */
  compute: (signal: AbortSignal | undefined) => unknown;
  policyOf: (value: unknown) => EntryPolicy;
  shouldCache: ((value: never) => boolean) | undefined;
  call: CallOptions;
}

const DERIVED_KEY = /\/[0-9a-f]{32}$/;

/**
 * The value of a key: from memory, else from the store, else computed and kept. Concurrent callers share one load.
 *
 * This is the policy on failure, in one place: what the store refuses is thrown; when the store is down the function
 * runs and the trouble is told by an event; what the function throws reaches every waiter unchanged.
 */
export async function load(layers: Layers, request: LoadRequest): Promise<Found> {
  const { key, call } = request;
  call.signal?.throwIfAborted();
  const startedAt = performance.now();
  const node = layers.recall(key);
  let checked: MemoryNode | undefined;
  if (node !== undefined) {
    const accepted = await accept(layers, request, node);
    if (accepted !== undefined) {
      if (node.isFresh(request.revalidateAfter)) {
        layers.hitMemory(node, startedAt);
        return accepted;
      }
      checked = node;
    }
  }
  return loadBeyondMemory(layers, request, checked);
}

/** What memory has, else the store, if it fits; nothing is computed. */
export async function find(
  layers: Layers,
  key: string,
  call: CallOptions,
  revalidateAfter: number,
  fit: (found: Found) => Found | undefined | Promise<Found | undefined>,
): Promise<{ found: Found; source: "memory" | "store" } | undefined> {
  call.signal?.throwIfAborted();
  const startedAt = performance.now();
  const node = layers.recall(key);
  const inMemory = node && (await fit(node));
  const fromMemory = (node: MemoryNode, found: Found): { found: Found; source: "memory" } => {
    layers.hitMemory(node, startedAt);
    return { found, source: "memory" };
  };
  if (node !== undefined && inMemory !== undefined && node.isFresh(revalidateAfter)) {
    return fromMemory(node, inMemory);
  }
  let reading: Reading;
  try {
    reading = await read(layers, key, call, inMemory && node);
  } catch (error) {
    // A copy that has not ended is better than none while the store is down.
    if (!node || !inMemory || !isUnavailable(error) || !layers.settings.bypassUnavailable) throw error;
    layers.events.error(layers.keyOf(key), error);
    return fromMemory(node, inMemory);
  }
  discardExpired(layers, key, reading.expired, call);
  const found = reading.found && (await fit(reading.found));
  reading.tell(found !== undefined);
  return found && { found, source: "store" };
}

/** As `load`, without asking memory: what it resolves to was read from the store, or computed. */
export function loadBeyondMemory(layers: Layers, request: LoadRequest, checked?: MemoryNode): Promise<Found> {
  return layers.once(layers.loads, request.flight, request.call, (signal) => fly(layers, request, checked, signal));
}

async function fly(
  layers: Layers,
  request: LoadRequest,
  node: MemoryNode | undefined,
  signal: AbortSignal | undefined,
): Promise<Found> {
  const { key, call } = request;
  const pending = layers.order.pending(key);
  if (pending !== undefined) await pending;
  const token = layers.order.begin(key);
  try {
    let condition: WriteCondition | undefined;
    try {
      const reading = await read(layers, key, { signal, waitUntil: call.waitUntil }, node);
      if (reading.found !== undefined) {
        const accepted = await accept(layers, request, reading.found);
        reading.tell(accepted !== undefined);
        if (accepted !== undefined) return accepted;
      }
      condition = reading.condition;
    } catch (error) {
      if (!isBypassed(layers, error)) throw error;
      layers.events.error(layers.keyOf(key), error);
      // It has not ended, and nobody can say that it has changed.
      if (node !== undefined) return node;
    }
    return await computeAndStore(layers, request, condition, token, signal);
  } finally {
    layers.order.end(token);
  }
}

/** Runs the function whatever is cached; what it returns counts as newer than what any other load computes meanwhile. */
export function refresh(layers: Layers, request: LoadRequest): Promise<Found> {
  return layers.once(layers.loads, `${request.flight}\0refresh`, request.call, async (signal) => {
    const token = layers.order.begin(request.key, true);
    try {
      const found = await computeAndStore(layers, request, {}, token, signal, () => {
        layers.order.supersede(request.key, token);
        layers.reads.detach(request.key);
        layers.loads.detach(request.key);
      });
      // What is on its way in the background is told when it is there: until then the store has the old one.
      void Promise.resolve(layers.order.pending(request.key)).then(() => layers.announce?.(request.key));
      return found;
    } finally {
      layers.order.end(token);
    }
  });
}

async function computeAndStore(
  layers: Layers,
  request: LoadRequest,
  condition: WriteCondition | undefined,
  token: Token,
  signal: AbortSignal | undefined,
  beforeStoring?: () => void,
): Promise<Found> {
  const { key, call } = request;
  layers.counters.calls++;
  const value = await request.compute(signal);
  if (signal?.aborted) throw signal.reason as Error;
  refuseStreams(value);
  const uncached = (): Found => layers.keep(key, layers.isolate(value), 0, UNKNOWN, false);
  if (request.shouldCache !== undefined && !request.shouldCache(value as never)) return uncached();
  const policy = request.policyOf(value);
  let encoded;
  try {
    encoded = encode(layers, key, value);
  } catch (error) {
    // Too large to keep is no reason to withhold what was computed.
    if (!isBucketCacheError(error)) throw error;
    layers.events.error(layers.keyOf(key), error);
    return uncached();
  }
  const keyHash = await request.identity?.hash();
  beforeStoring?.();
  const found = await storeLoaded(layers, {
    key,
    value,
    encoded,
    policy,
    keyHash,
    condition,
    token,
    call: { signal, waitUntil: call.waitUntil },
  });
  if (found.node !== undefined && request.schema !== undefined) found.node.validFor = request.schema;
  return found;
}

const UNKNOWN = { size: 0, etag: "", contentType: "" } as EntryInfo;

function isBypassed(layers: Layers, error: unknown): boolean {
  if (isUnavailable(error)) return layers.settings.bypassUnavailable;
  return isBucketCacheError(error) && error.code === "ERR_TOO_LARGE";
}

/** Whether an entry is this request's, and fits its schema; the result holds the schema's output. */
export async function accept(
  layers: Layers,
  request: Pick<LoadRequest, "key" | "identity" | "schema">,
  found: Found,
): Promise<Found | undefined> {
  const { identity } = request;
  if (identity === undefined) {
    if (found.createdAt === undefined && DERIVED_KEY.test(request.key)) return undefined;
  } else if (found.node === undefined || !identity.owns(found.node)) {
    const hash = await identity.hash();
    if (found.createdAt === undefined || (hash !== undefined && found.keyHash !== hash)) return undefined;
    if (hash === undefined) warnOnce(layers, request.key);
  }
  return conform(request.schema, found);
}

/** The entry with its value as the schema gives it; undefined when it does not fit. */
export async function conform(schema: StandardSchemaV1 | undefined, found: Found): Promise<Found | undefined> {
  if (schema === undefined || found.node?.validFor === schema) return found;
  const result = await schema["~standard"].validate(found.value);
  if (result.issues !== undefined) return undefined;
  if (result.value !== found.value) return Object.assign(Object.create(found) as Found, { value: result.value });
  if (found.node !== undefined) found.node.validFor = schema;
  return found;
}

const warned = new WeakSet<Layers>();

function warnOnce(layers: Layers, key: string): void {
  if (warned.has(layers)) return;
  warned.add(layers);
  const message =
    "crypto.subtle is missing (a plain-http page other than localhost): entries are not checked to belong to their function. Serve the page over https";
  layers.events.error(layers.keyOf(key), new BucketCacheError("ERR_UNSUPPORTED", message, { key }));
}

// A hit could not give the same type back.
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
