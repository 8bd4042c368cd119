/** What the store has, as the cache understands it: metadata, end, body and value of one object. */
import { readAll } from "../../base/body.js";
import { decodeForeign, decodeValue } from "../../entry/decode.js";
import { isExpired, parseMetadata } from "../../entry/entry.js";
import { BucketCacheError, isBucketCacheError, isConflict } from "../../errors.js";
import { gunzip } from "../../entry/gzip.js";
import type { WriteCondition } from "../../types.js";
import type { ExpiredObject, Layers, Reading } from "../layers.js";
import type { EntryInfo, MemoryNode } from "../memory/lru.js";
import type { Token } from "../concurrency/write-order.js";
import { isBrowser } from "../../base/runtime.js";
import type { Bytes, CallOptions, ObjectHead, ObjectStore } from "../../types.js";

/** In a page a condition costs a preflight request each time: below this a plain GET is cheaper. Bytes. */
const PREFLIGHT = 65_536;

/** How often an object is read that others overwrite all the time. */
const ATTEMPTS = 3;

type Opened = Omit<Reading, "tell">;

type Got = Exclude<Awaited<ReturnType<ObjectStore["get"]>>, undefined | "not-modified">;

/**
 * Asks the store, once for all who ask at the same time. `node` is a copy to be confirmed by a conditional GET.
 *
 * @throws BucketCacheError as the store does; the signal's reason
 */
export function read(layers: Layers, key: string, call: CallOptions, node?: MemoryNode): Promise<Reading> {
  return layers.once(layers.reads, key, call, (signal) => ask(layers, key, signal, node));
}

async function ask(
  layers: Layers,
  key: string,
  signal: AbortSignal | undefined,
  node: MemoryNode | undefined,
): Promise<Reading> {
  const startedAt = performance.now();
  const pending = layers.order.pending(key);
  if (pending !== undefined) await pending;
  const token = layers.order.begin(key);
  const hasEnded = layers.hasEnded(layers.memory?.peek(key));
  try {
    const got = await getObject(layers, key, {
      signal,
      ...(node !== undefined && node.etag !== "" && !(isBrowser() && node.size < PREFLIGHT)
        ? { ifNoneMatch: node.etag, ...(node.lastModified && { lastModified: node.lastModified }) }
        : {}),
    });
    let opened: Opened;
    if (got === "not-modified" && node !== undefined) {
      // What ended on the way is over, whatever the store confirms.
      const isLive = !layers.hasEnded(node);
      if (isLive) node.confirm();
      opened = {
        found: isLive ? node : undefined,
        condition: ifUnchanged(node.etag),
        expired: undefined,
      };
    } else {
      opened = typeof got === "object" ? await openNewest(layers, key, got, signal, token) : ABSENT;
    }
    // Once for both layers: of an object that has ended, too, it has been told.
    if (hasEnded && opened.expired === undefined) layers.events.emit("expire", { key: layers.keyOf(key) });
    let isTold = false;
    const tell = (isHit: boolean): void => {
      if (isTold) return;
      isTold = true;
      if (!isHit) return miss(layers, key, startedAt);
      layers.counters.store.hits++;
      layers.emitHit(key, "store", startedAt);
    };
    if (opened.found === undefined) {
      if (mayKeep(layers, token)) layers.memory?.delete(key);
      tell(false);
    }
    return { ...opened, tell };
  } finally {
    layers.order.end(token);
  }
}

// A write that was asked for before the read began, and waits for its turn, has not superseded it and soon will.
function mayKeep(layers: Layers, token: Token): boolean {
  return !token.superseded && !layers.order.isPending(token.key);
}

export function miss(layers: Layers, key: string, startedAt: number): void {
  layers.counters.store.misses++;
  layers.events.emit("miss", { key: layers.keyOf(key), duration: performance.now() - startedAt });
}

/** `ObjectStore.get` with what the cache adds to it: counting, the clock, 403 as a miss, errors of one kind. */
export async function getObject(
  layers: Layers,
  key: string,
  options: Parameters<ObjectStore["get"]>[1] & CallOptions,
): ReturnType<ObjectStore["get"]> {
  layers.counters.store.reads++;
  return counted(layers, key, options.signal, () => layers.settings.store.get(key, options));
}

export async function headObject(
  layers: Layers,
  key: string,
  signal: AbortSignal | undefined,
): Promise<ObjectHead | undefined> {
  return counted(layers, key, signal, () => layers.settings.store.head(key, { signal }));
}

async function counted<T extends ObjectHead | "not-modified" | undefined>(
  layers: Layers,
  key: string,
  signal: AbortSignal | undefined,
  ask: () => Promise<T>,
): Promise<T | undefined> {
  try {
    const answer = await ask();
    if (typeof answer === "object") layers.clock.learn(answer.now);
    return answer;
  } catch (error) {
    const failure = layers.failure(error, key, signal);
    if (layers.settings.forbiddenIsMiss && isBucketCacheError(failure) && failure.code === "ERR_FORBIDDEN") {
      return undefined;
    }
    throw failure;
  }
}

/** As `open`. What is overwritten while its body is read on after a break is read again: who reads wants a value. */
async function openNewest(
  layers: Layers,
  key: string,
  got: Got,
  signal: AbortSignal | undefined,
  token: Token,
): Promise<Opened> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await open(layers, key, got, signal, token);
    } catch (error) {
      if (attempt === ATTEMPTS || !isConflict(error)) throw error;
    }
    const again = await getObject(layers, key, { signal });
    if (typeof again !== "object") return ABSENT;
    got = again;
  }
}

/** Metadata, end and body of an object, as a value. */
async function open(
  layers: Layers,
  key: string,
  got: Got,
  signal: AbortSignal | undefined,
  token: Token,
): Promise<Opened> {
  const opened = judge(layers, key, got);
  if (opened.kind === "gone") {
    await discardBody(got);
    return { found: undefined, condition: ifUnchanged(got.etag), expired: opened.expired };
  }
  const { maxValueBytes } = layers.settings;
  if (got.size > maxValueBytes) {
    await discardBody(got);
    throw tooLarge(layers, key);
  }
  const body = await readBody(layers, key, got, signal);
  let decoded: Bytes;
  let value: unknown;
  try {
    const gzipped = opened.compressed && (opened.codec !== undefined || isGzip(body));
    decoded = gzipped ? await gunzip(body, maxValueBytes) : body;
    value = await (opened.codec === undefined
      ? decodeForeign(decoded)
      : decodeValue(opened.codec, decoded, layers.settings.codecs));
  } catch (error) {
    if (isBucketCacheError(error) && error.code === "ERR_TOO_LARGE") throw tooLarge(layers, key);
    damaged(layers, key, error instanceof Error ? error.message : String(error), error);
    return { found: undefined, condition: ifUnchanged(got.etag), expired: undefined };
  }
  const info: EntryInfo = {
    createdAt: opened.createdAt,
    expiresAt: opened.expiresAt,
    size: got.size,
    etag: got.etag,
    lastModified: got.lastModified,
    contentType: got.contentType,
    keyHash: opened.keyHash,
  };
  const found = layers.keep(key, layers.isolate(value, true), decoded.byteLength, info, mayKeep(layers, token));
  return { found, condition: ifUnchanged(got.etag), expired: undefined };
}

/** What metadata say of an object: whether it counts, and how to read it. */
export function judge(layers: Layers, key: string, head: ObjectHead): Judgement {
  const parsed = parseMetadata(head.metadata);
  if (parsed.kind === "damaged") {
    damaged(layers, key, parsed.reason);
    return { kind: "gone", expired: undefined };
  }
  const meta = parsed.kind === "entry" ? parsed.meta : parsed;
  if (isExpired(meta.expiresAt, layers.clock.now() / 1000)) {
    layers.events.emit("expire", { key: layers.keyOf(key) });
    return {
      kind: "gone",
      expired: {
        etag: head.etag,
        lastModified: head.lastModified,
        expiresAt: head.metadata["expires_at"],
        endedAt: meta.expiresAt as number,
      },
    };
  }
  const own = parsed.kind === "entry" ? parsed.meta : undefined;
  return {
    kind: "live",
    expiresAt: meta.expiresAt,
    compressed: meta.compressed,
    codec: own?.codec,
    createdAt: own?.created,
    keyHash: own?.key,
  };
}

async function readBody(layers: Layers, key: string, got: Got, signal: AbortSignal | undefined): Promise<Bytes> {
  let body: Bytes;
  try {
    const limit = layers.settings.maxValueBytes;
    body = await (got.bytes === undefined ? readAll(got.body, limit) : got.bytes(limit));
  } catch (error) {
    throw layers.failure(error, key, signal);
  }
  // A body that ends early is a broken transfer, whatever the transport made of it; it is never taken for damage.
  if (body.byteLength !== got.size) {
    const message = `the store announced ${got.size} bytes and sent ${body.byteLength}`;
    throw layers.failure(new BucketCacheError("ERR_UNAVAILABLE", message, layers.at(key)), key, signal);
  }
  layers.counters.store.bytesRead += body.byteLength;
  return body;
}

/** Tells of an entry that cannot be decoded: a miss for its readers. */
export function damaged(layers: Layers, key: string, reason: string, cause?: unknown): void {
  const message = `the entry is damaged and counts as a miss: ${reason}`;
  layers.events.error(layers.keyOf(key), new BucketCacheError("ERR_DAMAGED", message, { ...layers.at(key), cause }));
}

function tooLarge(layers: Layers, key: string): BucketCacheError {
  const message = `the value has more than ${layers.settings.maxValueBytes} bytes: raise maxValueBytes, or read it with getStream`;
  return new BucketCacheError("ERR_TOO_LARGE", message, layers.at(key));
}

/** An object that counts as absent, or how to read it. `codec` is undefined for objects of other programs. */
export type Judgement =
  | { kind: "gone"; expired: ExpiredObject | undefined }
  | {
      kind: "live";
      expiresAt: number | undefined;
      compressed: boolean;
      codec: string | undefined;
      createdAt: number | undefined;
      keyHash: string | undefined;
    };

const ABSENT: Opened = { found: undefined, condition: { ifNoneMatch: "*" }, expired: undefined };

/** Writes only over the object that was seen. Without an ETag (CORS can hide it) there is nothing to hold it to. */
export function ifUnchanged(etag: string): WriteCondition {
  return etag === "" ? {} : { ifMatch: etag };
}

/** An unread body holds a socket. */
export async function discardBody(got: Got): Promise<void> {
  await got.body.cancel().catch(() => undefined);
}

export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}
