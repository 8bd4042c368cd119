import { untilAborted } from "../../base/abort.js";
import type { Encoded } from "../../entry/codec.js";
import { keptValue, type Snapshot } from "../encoding.js";
import { cacheControl, formatMetadata, headerText, newNonce } from "../../entry/entry.js";
import { isConflict, isUnavailable } from "../../errors.js";
import { gzip } from "../../entry/gzip.js";
import type { WriteCondition } from "../../types.js";
import type { Found, Layers } from "../layers.js";
import type { EntryInfo } from "../memory/lru.js";
import type { Token } from "../concurrency/write-order.js";
import type { EntryPolicy } from "../settings.js";
import { ifUnchanged } from "./read.js";
import type { Bytes, CallOptions, PutOptions, SetOptions, WrittenObject } from "../../types.js";

/** From here on gzip is tried on values: below, the gain is smaller than the smallest billing unit and costs CPU. */
const COMPRESS_FROM = 1024;

/** What goes into the metadata of an entry and into its headers. */
interface Stamp {
  codec: string;
  contentType: string;
  compressed: boolean;
  /** Seconds. */
  ttl: number | undefined;
  /** When the value came to be, in local milliseconds: its life begins then, however long the write has to wait. */
  since: number;
  keyHash: string | undefined;
}

export type Extras = Pick<SetOptions, "signal" | "onProgress" | "cacheControl" | "contentType">;

/** `set` of a value: unconditional, in order, in both layers. */
export function setValue(
  layers: Layers,
  key: string,
  { encoded, kept, since }: Snapshot,
  policy: EntryPolicy,
  options: SetOptions,
): Promise<void> {
  const token = supersede(layers, key);
  const startedAt = performance.now();
  if (policy.background) {
    layers.memory?.delete(key);
    layers.keep(key, kept, encoded.body.byteLength, infoOf(layers, since, policy, encoded), !encoded.converted);
  }
  const work = replacing(
    layers,
    key,
    token,
    async () => {
      const { info, size, isNewest } = await putValue(layers, key, encoded, policy, since, undefined, {}, options);
      if (!isNewest || encoded.converted) layers.memory?.delete(key);
      else layers.keep(key, kept, encoded.body.byteLength, info, !token.superseded);
      emitSet(layers, key, size, startedAt);
      layers.announce?.(key);
    },
    options.signal,
  );
  return settle(layers, key, work, policy.background, options);
}

/** Whoever reads or loads this key right now no longer knows its newest value. */
export function supersede(layers: Layers, key: string): Token {
  layers.overtake(key);
  return layers.order.begin(key, true);
}

/**
 * Runs a write in its turn. What began to read while it was under way may have seen the old value: that is superseded
 * when the write ends, too.
 */
export function replacing(
  layers: Layers,
  key: string,
  token: Token,
  write: () => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const turn = layers.order.pending(key);
  const work = layers.order.enqueue(key, async () => {
    try {
      signal?.throwIfAborted();
      await write();
    } catch (error) {
      // It may have reached the store all the same, so memory must ask.
      if (!token.superseded) layers.memory?.delete(key);
      throw error;
    } finally {
      layers.order.supersedeReaders(key);
      layers.order.end(token);
    }
  });
  if (turn === undefined || signal === undefined) return work;
  // Who leaves the queue need not wait for the turn that comes to nothing.
  work.catch(() => undefined);
  return untilAborted(turn, signal).then(() => work);
}

export function settle(
  layers: Layers,
  key: string,
  work: Promise<void>,
  background: boolean,
  call: CallOptions,
): Promise<void> {
  if (!background) return work;
  layers.background.run(key, work, layers.waitUntilOf(call));
  return Promise.resolve();
}

export function emitSet(layers: Layers, key: string, size: number, startedAt: number): void {
  layers.events.emit("set", { key: layers.keyOf(key), size, duration: performance.now() - startedAt });
}

/** What is known of an entry before the store has it. Its times are the store's, as far as that has told its time. */
function infoOf(
  layers: Layers,
  since: number,
  { ttl }: EntryPolicy,
  { body, contentType }: Encoded,
  keyHash?: string,
): EntryInfo {
  const createdAt = inStoreTime(layers, since);
  return {
    createdAt,
    expiresAt: ttl === undefined ? undefined : createdAt + ttl,
    size: body.byteLength,
    etag: "",
    lastModified: undefined,
    contentType,
    keyHash,
  };
}

/** Unix seconds in the store's time. */
function inStoreTime(layers: Layers, localMilliseconds: number): number {
  return (localMilliseconds + layers.clock.now() - Date.now()) / 1000;
}

/** How a load keeps what it computed. */
export interface LoadedWrite {
  key: string;
  value: unknown;
  encoded: Encoded;
  policy: EntryPolicy;
  keyHash: string | undefined;
  /** undefined: the store could not be read, so nothing is known that a write could be held to. */
  condition: WriteCondition | undefined;
  token: Token;
  call: CallOptions;
}

/**
 * Keeps what a load computed, unless something newer came: in this process (the token), or in the store (the
 * condition). Then the result is its callers' alone.
 */
export async function storeLoaded(layers: Layers, write: LoadedWrite): Promise<Found> {
  const { key, encoded, policy, keyHash, condition, token, call } = write;
  const value = keptValue(layers, encoded, write.value);
  // Its first caller gets the buffer itself, and may change it, before it is written.
  if (policy.background && encoded.codec === "bytes") encoded.body = encoded.body.slice();
  const weight = encoded.body.byteLength;
  const since = Date.now();
  const early = infoOf(layers, since, policy, encoded, keyHash);
  if (token.superseded) return layers.keep(key, value, weight, early, false);
  // A hit in memory must be what a hit in the store is.
  const isExact = !encoded.converted;
  if (!isExact) layers.memory?.delete(key);
  if (condition === undefined) return layers.keep(key, value, weight, early, isExact && !layers.order.isPending(key));

  const startedAt = performance.now();
  const work = (token: Token, signal: AbortSignal | undefined): Promise<Found> =>
    layers.order.enqueue(key, async () => {
      if (token.superseded) return layers.keep(key, value, weight, early, false);
      try {
        const { info, size } = await putValue(layers, key, encoded, policy, since, keyHash, condition, { signal });
        layers.order.supersedeReaders(key, token);
        const found = layers.keep(key, value, weight, info, isExact && !token.superseded);
        emitSet(layers, key, size, startedAt);
        return found;
      } catch (error) {
        if (isConflict(error)) {
          if (!token.superseded) layers.memory?.delete(key);
          return layers.keep(key, value, weight, early, false);
        }
        if (isUnavailable(error) && layers.settings.bypassUnavailable) {
          layers.events.error(layers.keyOf(key), error);
          return layers.keep(key, value, weight, early, isExact && !token.superseded);
        }
        if (!token.superseded) layers.memory?.delete(key);
        throw error;
      }
    });

  if (!policy.background) return work(token, call.signal);
  const found = layers.keep(key, value, weight, early, isExact);
  // The load ends before its write: from here on a token of the write's own watches for newer values.
  const own = layers.order.begin(key, true);
  const written = work(own, undefined).finally(() => layers.order.end(own));
  layers.background.run(key, written, layers.waitUntilOf(call));
  return found;
}

async function putValue(
  layers: Layers,
  key: string,
  encoded: Encoded,
  policy: EntryPolicy,
  since: number,
  keyHash: string | undefined,
  condition: WriteCondition,
  options: Extras,
): Promise<{ info: EntryInfo; size: number; isNewest: boolean }> {
  options.signal?.throwIfAborted();
  let body = encoded.body;
  const compress = policy.compress === true || (policy.compress === "auto" && body.byteLength >= COMPRESS_FROM);
  let compressed = false;
  if (compress) {
    const gzipped = await gzip(body);
    compressed = policy.compress === true || gzipped.byteLength < body.byteLength;
    if (compressed) body = gzipped;
  }
  const stamp: Stamp = {
    codec: encoded.codec,
    contentType: options.contentType ?? encoded.contentType,
    compressed,
    ttl: policy.ttl,
    since,
    keyHash,
  };
  const clockWasKnown = layers.clock.known;
  let isNewest = true;
  let { etag, lastModified, expiresAt } = await put(layers, key, body, stamp, condition, options);
  if (stamp.ttl !== undefined && !clockWasKnown && clockIsOff(layers)) {
    // This was the first answer of the store, and it says that the local clock, which `expires_at` came from, is wrong.
    try {
      ({ etag, lastModified, expiresAt } = await put(layers, key, body, stamp, ifUnchanged(etag), options));
    } catch (error) {
      // A `set` that somebody has overwritten at once was a `set` all the same; a load yields.
      if (!isConflict(error) || condition.ifMatch !== undefined || condition.ifNoneMatch !== undefined) throw error;
      isNewest = false;
    }
  }
  const info: EntryInfo = {
    // Again, because the store's time may be known only now.
    ...infoOf(layers, since, policy, encoded, keyHash),
    size: body.byteLength,
    etag,
    lastModified,
    contentType: stamp.contentType,
    ...(expiresAt !== undefined && { expiresAt }),
  };
  return { info, size: body.byteLength, isNewest };
}

export async function put(
  layers: Layers,
  key: string,
  body: Bytes | Blob | ReadableStream<Bytes>,
  stamp: Stamp,
  condition: WriteCondition,
  options: Extras,
): Promise<WrittenObject> {
  const now = inStoreTime(layers, stamp.since);
  const put: PutOptions = {
    contentType: headerText(stamp.contentType, "contentType"),
    cacheControl: cacheControl(options.cacheControl),
    metadata: formatMetadata({
      created: now,
      codec: stamp.codec,
      nonce: newNonce(),
      ...(stamp.keyHash !== undefined && { key: stamp.keyHash }),
      expiresAt: stamp.ttl === undefined ? undefined : now + stamp.ttl,
      compressed: stamp.compressed,
    }),
    ...condition,
    ...(options.signal && { signal: options.signal }),
    ...(options.onProgress && { onProgress: options.onProgress }),
  };
  layers.counters.store.writes++;
  try {
    const written = await layers.settings.store.put(key, body, put);
    if (ArrayBuffer.isView(body)) layers.counters.store.bytesWritten += body.byteLength;
    return written;
  } catch (error) {
    throw layers.failure(error, key, options.signal ?? undefined);
  }
}

export function stampsEntries(layers: Layers): boolean {
  return layers.settings.store.stampsEntries === true;
}

function clockIsOff(layers: Layers): boolean {
  return !stampsEntries(layers) && Math.abs(layers.clock.now() - Date.now()) > 1;
}
