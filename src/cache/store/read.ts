/** Reads one object as the cache understands it: its metadata, its end, its body and its value. */
import { readAll } from "../../base/body.js";
import { isBrowser } from "../../base/runtime.js";
import { decodeForeign, decodeValue } from "../../entry/decode.js";
import { parseMetadata } from "../../entry/entry.js";
import { gunzip } from "../../entry/gzip.js";
import { BucketCacheError, isBucketCacheError } from "../../errors.js";
import type { Bytes, CallOptions, FoundObject, ObjectHead, WriteCondition } from "../../types.js";
import type { Operation } from "../concurrency/write-order.js";
import { decide } from "../failure.js";
import { isPastEnd, isReadable, type LifetimeState, lifespanOf, stateOf } from "../lifetime.js";
import type { EntryInfo, MemoryNode } from "../memory/lru.js";
import type { CachedValue } from "../memory/memory.js";
import type { CacheState } from "../state.js";

/** Bytes. In a page a condition costs a preflight request each time: below this a plain GET is cheaper. */
const PREFLIGHT_BYTES = 65_536;

/** How often an object is read that others overwrite all the time. */
const ATTEMPTS = 3;

/** The answer of the store to a read of a key. */
export interface Reading {
  /** The entry, unless it is absent, past its end or damaged. */
  value: CachedValue | undefined;
  /** The condition of a write that follows: only over what was seen here. */
  condition: WriteCondition;
  /** The object that was found, when it has ended and may be deleted. */
  ended: ObjectHead | undefined;
  /** Counts and tells, once, whether the entry was of use to its reader. */
  report(isHit: boolean): void;
}

/** Metadata of an object, and the state of its entry. */
export interface Inspection {
  state: Exclude<LifetimeState, "due"> | "damaged";
  /** Unix seconds; undefined: never. */
  expiresAt: number | undefined;
  compressed: boolean;
  /** Undefined for objects of other programs. */
  codec: string | undefined;
  createdAt: number | undefined;
  keyHash: string | undefined;
}

type Answer = Omit<Reading, "report"> & { state: Inspection["state"] | "absent" };

const ABSENT: Answer = { value: undefined, condition: { ifNoneMatch: "*" }, ended: undefined, state: "absent" };

/**
 * Asks the store, once for all who ask at the same time. `node` is a copy to be confirmed by a conditional GET.
 *
 * @throws BucketCacheError as the store does; the signal's reason.
 */
export function read(state: CacheState, key: string, call: CallOptions, node?: MemoryNode): Promise<Reading> {
  const { concurrency } = state;
  return concurrency.once(concurrency.reads, key, call, (signal) => readOnce(state, key, signal, node));
}

async function readOnce(
  state: CacheState,
  key: string,
  signal: AbortSignal | undefined,
  node: MemoryNode | undefined,
): Promise<Reading> {
  const { concurrency, memory, reporting, store } = state;
  const startedAt = performance.now();
  const writes = concurrency.writesOf(key);
  if (writes !== undefined) await writes;
  const operation = concurrency.begin(key);
  const hadCopyPastEnd = memory.isPastEnd(memory.peek(key));
  try {
    const got = await store.get(key, { signal, ...unlessUnchanged(node) });
    let answer = ABSENT;
    if (got === "not-modified") answer = node === undefined ? ABSENT : confirm(state, node);
    else if (got !== undefined) answer = await openNewest(state, operation, got, signal);
    // An object past its end has been reported already, and counts for both layers.
    if (hadCopyPastEnd && !isPastEnd(answer.state)) reporting.expired(key);
    const report = once((isHit: boolean) =>
      isHit ? reporting.storeHit(key, startedAt) : reporting.miss(key, startedAt),
    );
    if (answer.value === undefined) {
      if (concurrency.isNewest(operation)) memory.delete(key);
      report(false);
    }
    const { value, condition, ended } = answer;
    return { value, condition, ended, report };
  } finally {
    concurrency.end(operation);
  }
}

function once<T>(run: (argument: T) => void): (argument: T) => void {
  let isDone = false;
  return (argument) => {
    if (isDone) return;
    isDone = true;
    run(argument);
  };
}

/** Returns the condition by which the store confirms a copy instead of sending it again, where that pays. */
function unlessUnchanged(node: MemoryNode | undefined): { ifNoneMatch?: string; lastModified?: Date } {
  if (node === undefined || node.etag === "" || (isBrowser() && node.size < PREFLIGHT_BYTES)) return {};
  return { ifNoneMatch: node.etag, ...(node.lastModified && { lastModified: node.lastModified }) };
}

/** Takes a copy as confirmed, unless it has ended on the way: then it is over, whatever the store says. */
function confirm({ memory }: CacheState, node: MemoryNode): Answer {
  const condition = ifUnchanged(node.etag);
  if (memory.isPastEnd(node)) return { ...ABSENT, condition };
  node.confirm();
  return { value: node, condition, ended: undefined, state: "fresh" };
}

/** Opens an object. One that is overwritten while its body is read on after a break is read again. */
async function openNewest(
  state: CacheState,
  operation: Operation,
  found: FoundObject,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await open(state, operation, found, signal);
    } catch (error) {
      if (attempt === ATTEMPTS || decide("body", error, state.settings) !== "again") throw error;
    }
    const again = await state.store.get(operation.key, { signal });
    if (typeof again !== "object") return ABSENT;
    found = again;
  }
}

/** Turns an object into a cached value, by its metadata, its end and its body. */
async function open(
  state: CacheState,
  operation: Operation,
  found: FoundObject,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  const { key } = operation;
  const { concurrency, memory } = state;
  const entry = inspect(state, key, found);
  const answer: Answer = {
    value: undefined,
    condition: ifUnchanged(found.etag),
    ended: entry.state === "ended" ? found : undefined,
    state: entry.state,
  };
  if (!isReadable(entry.state)) {
    await discardBody(found);
    return answer;
  }
  const body = await readBody(state, key, found, signal);
  const decoded = await decode(state, key, body, entry);
  if (decoded === undefined) return { ...answer, state: "damaged" };
  const info: EntryInfo = {
    createdAt: entry.createdAt,
    expiresAt: entry.expiresAt,
    size: found.size,
    etag: found.etag,
    lastModified: found.lastModified,
    contentType: found.contentType,
    keyHash: entry.keyHash,
  };
  const isolated = memory.isolate(decoded.value, true);
  const value = concurrency.isNewest(operation)
    ? memory.keep(key, isolated, decoded.size, info)
    : { ...info, ...isolated, node: undefined };
  return { ...answer, value };
}

/** Reads the metadata of an object, and reports an entry that is damaged or past its end. */
export function inspect(
  { settings, store, reporting }: Pick<CacheState, "settings" | "store" | "reporting">,
  key: string,
  head: ObjectHead,
): Inspection {
  const parsed = parseMetadata(head.metadata);
  if (parsed.kind === "damaged") {
    reportDamage({ store, reporting }, key, parsed.reason);
    const nothing = { codec: undefined, createdAt: undefined, keyHash: undefined };
    return { state: "damaged", expiresAt: undefined, compressed: false, ...nothing };
  }
  const meta = parsed.kind === "entry" ? parsed.meta : undefined;
  const { expiresAt, compressed } = meta ?? (parsed as Exclude<typeof parsed, { kind: "entry" }>);
  const state = stateOf(lifespanOf(expiresAt), store.clock, settings.lifetime.objects) as Inspection["state"];
  if (isPastEnd(state)) reporting.expired(key);
  return { state, expiresAt, compressed, codec: meta?.codec, createdAt: meta?.created, keyHash: meta?.key };
}

async function readBody(
  { settings, store, reporting }: CacheState,
  key: string,
  found: FoundObject,
  signal: AbortSignal | undefined,
): Promise<Bytes> {
  const { maxValueBytes } = settings;
  if (found.size > maxValueBytes) {
    await discardBody(found);
    throw tooLarge(store.at(key), maxValueBytes);
  }
  let body: Bytes;
  try {
    body = await (found.bytes === undefined ? readAll(found.body, maxValueBytes) : found.bytes(maxValueBytes));
  } catch (error) {
    throw store.failure(error, key, signal);
  }
  // A body that ends early is a broken transfer, whatever the transport made of it. It is never taken for damage.
  if (body.byteLength !== found.size) {
    const message = `the store announced ${found.size} bytes and sent ${body.byteLength}`;
    throw store.failure(new BucketCacheError("ERR_UNAVAILABLE", message, store.at(key)), key, signal);
  }
  reporting.counters.store.bytesRead += body.byteLength;
  return body;
}

/** Returns the value of a body and its size in bytes after gzip; undefined, after a report, when it is damaged. */
async function decode(
  { settings, store, reporting }: CacheState,
  key: string,
  body: Bytes,
  { codec, compressed }: Inspection,
): Promise<{ value: unknown; size: number } | undefined> {
  const { codecs, maxValueBytes } = settings;
  try {
    const isGzipped = compressed && (codec !== undefined || isGzip(body));
    const plain = isGzipped ? await gunzip(body, maxValueBytes, codec === undefined ? "any" : "one") : body;
    const value = await (codec === undefined ? decodeForeign(plain) : decodeValue(codec, plain, codecs));
    return { value, size: plain.byteLength };
  } catch (error) {
    if (isBucketCacheError(error) && error.code === "ERR_TOO_LARGE") throw tooLarge(store.at(key), maxValueBytes);
    reportDamage({ store, reporting }, key, error instanceof Error ? error.message : String(error), error);
    return undefined;
  }
}

/** Reports an entry that cannot be decoded, which is a miss for its readers. */
function reportDamage(
  { store, reporting }: Pick<CacheState, "store" | "reporting">,
  key: string,
  reason: string,
  cause?: unknown,
): void {
  const message = `the entry is damaged and counts as a miss: ${reason}`;
  reporting.error(key, new BucketCacheError("ERR_DAMAGED", message, { ...store.at(key), cause }));
}

function tooLarge(at: { key: string; store: string }, maxBytes: number): BucketCacheError {
  const message = `the value has more than ${maxBytes} bytes: raise maxValueBytes, or read it with getStream`;
  return new BucketCacheError("ERR_TOO_LARGE", message, at);
}

/** Returns a condition by which a write goes only over the object that was seen. CORS can hide the ETag: then there is none. */
export function ifUnchanged(etag: string): WriteCondition {
  return etag === "" ? {} : { ifMatch: etag };
}

/** Cancels a body, because an unread one holds a socket. */
export async function discardBody({ body }: FoundObject): Promise<void> {
  await body.cancel().catch(() => undefined);
}

export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}
