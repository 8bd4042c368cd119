import { Background } from "./background.js";
import { readAll } from "./bytes.js";
import { clockOf, type StoreClock } from "./clock.js";
import { decodeForeign, decodeValue } from "./codec.js";
import { isExpired, parseMetadata } from "./entry.js";
import { BucketCacheError, isBucketCacheError } from "./errors.js";
import { asBucketCacheError, type Counters, Events, newCounters } from "./events.js";
import { Flights } from "./flight.js";
import { internalsOf, READ_ALL, type ReadAll, type WriteCondition } from "./internals.js";
import { copyOf, freezeDeep } from "./isolate.js";
import { objectKey } from "./key.js";
import { type EntryInfo, Lru, type MemoryNode } from "./lru.js";
import { Order, type Token } from "./order.js";
import { isBrowser } from "./runtime.js";
import type { Settings } from "./settings.js";
import type { Bytes, CallOptions, ObjectHead, ObjectStore } from "./types.js";

/** In a page a condition costs a preflight request each time: below this a plain GET is cheaper. Bytes. */
const PREFLIGHT = 65_536;

/** A value, wherever it came from. */
export interface Found extends EntryInfo {
  value: unknown;
  /** Whether each caller gets a copy of its own: see {@link Layers.handOut}. */
  copied: boolean;
  /** Its place in memory, when memory keeps it. */
  node: MemoryNode | undefined;
}

/** What the store said about a key. */
export interface Reading {
  found: Found | undefined;
  /** Under which a load that follows may write: only over what was seen here. */
  condition: WriteCondition;
  /** The object is there, past its end. */
  expired: ExpiredObject | undefined;
  /** Counts and tells, once, whether what was found was of use to its reader. */
  tell(isHit: boolean): void;
}

type Opened = Omit<Reading, "tell">;

/** A value as memory holds it. */
export type Isolated = Pick<Found, "value" | "copied">;

/** Everything that must still be so when an expired object is deleted. */
export interface ExpiredObject {
  etag: string;
  lastModified: Date;
  expiresAt: string | undefined;
  endedAt: number;
}

type Got = Exclude<Awaited<ReturnType<ObjectStore["get"]>>, undefined | "not-modified">;

/** The two layers as one: memory in front of the store, with what they share. */
export class Layers {
  readonly settings: Settings;
  readonly events = new Events();
  readonly counters: Counters = newCounters();
  readonly order = new Order();
  readonly background: Background;
  readonly clock: StoreClock;
  readonly memory: Lru | undefined;
  readonly reads = new Flights<Reading>();
  readonly loads = new Flights<Found>();
  readonly uploads = new Flights<void>();
  /** Tells the other tabs of this origin that a key changed. */
  announce: ((key: string) => void) | undefined;
  readonly #teachClock: boolean;

  constructor(settings: Settings) {
    this.settings = settings;
    this.clock = clockOf(settings.store);
    this.#teachClock = internalsOf(settings.store).clock === undefined;
    this.background = new Background(settings.waitUntil, (key, error) => this.events.error(this.keyOf(key), error));
    this.memory =
      settings.memory &&
      new Lru(settings.memory.maxEntries, settings.memory.maxBytes, (node) => {
        this.counters.memory.evictions++;
        this.events.emit("evict", { key: this.keyOf(node.key), size: node.weight });
      });
  }

  objectKey(key: string): string {
    return objectKey(this.settings.prefix, key);
  }

  /** The key as the caller knows it. */
  keyOf(objectKey: string): string {
    return objectKey.slice(this.settings.prefix.length);
  }

  waitUntilOf(call: CallOptions): ((promise: Promise<unknown>) => void) | undefined {
    return call.waitUntil ?? this.settings.waitUntil;
  }

  /** A newer value of this key exists, or none: whoever reads or loads it right now must not keep what it gets. */
  forget(key: string): void {
    this.overtake(key);
    this.memory?.delete(key);
  }

  /** The same while memory still holds what the store has. */
  overtake(key: string): void {
    this.order.supersede(key);
    for (const flights of [this.reads, this.loads, this.uploads]) flights.detach(key);
  }

  /** Whether a function is at work whose result will replace what the store has. */
  isLoading(key: string): boolean {
    return this.loads.hasAny(key) || this.uploads.has(key);
  }

  /** As `forget`, for every key with the prefix. */
  forgetBelow(prefix: string): void {
    this.order.supersedeAll(prefix);
    for (const flights of [this.reads, this.loads, this.uploads]) flights.detachBelow(prefix);
    this.memory?.clear(prefix);
  }

  /** What the caller may have: the value itself, or a copy of its own. */
  handOut(found: { value: unknown; copied: boolean }): unknown {
    return found.copied ? copyOf(found.value) : found.value;
  }

  /** The copy in memory, unless it is past its end. */
  recall(key: string): MemoryNode | undefined {
    const node = this.memory?.peek(key);
    if (node === undefined) {
      if (this.memory !== undefined) this.counters.memory.misses++;
      return undefined;
    }
    if (this.clock.now() >= node.deadline) {
      this.memory?.delete(key);
      this.counters.memory.misses++;
      this.events.emit("expire", { key: this.keyOf(key) });
      return undefined;
    }
    this.memory?.touch(node);
    return node;
  }

  /** Counts and tells a hit in memory. */
  hitMemory(node: MemoryNode, startedAt: number): void {
    this.counters.memory.hits++;
    if (this.events.has("hit")) this.emitHit(node.key, "memory", startedAt);
  }

  emitHit(key: string, source: "memory" | "store", startedAt: number): void {
    this.events.emit("hit", {
      key: this.keyOf(key),
      source,
      stale: false,
      duration: performance.now() - startedAt,
    });
  }

  /** Parts a value from whoever else has it, as configured. What is `ours` nobody else has. */
  isolate(value: unknown, ours = false): Isolated {
    const isolation = this.settings.memory?.isolation ?? "share";
    if (isolation === "share") return { value, copied: false };
    if (!ours) value = copyOf(value);
    return { value, copied: isolation === "clone" || !freezeDeep(value) };
  }

  /** Puts an isolated value into memory, where memory takes it. */
  keep(key: string, { value, copied }: Isolated, weight: number, info: EntryInfo, mayKeep: boolean): Found {
    const node = mayKeep ? this.memory?.set(key, value, copied, weight + key.length, info, Date.now()) : undefined;
    return { ...info, value, copied, node };
  }

  /**
   * Asks the store, once for all who ask at the same time. `node` is a copy to be confirmed by a conditional GET.
   *
   * @throws BucketCacheError as the store does; the signal's reason
   */
  read(key: string, call: CallOptions, node?: MemoryNode): Promise<Reading> {
    return this.reads.run(
      key,
      call.signal,
      (signal) => this.#fetch(key, signal, node),
      (promise) => this.waitUntilOf(call)?.(promise.catch(() => undefined)),
    );
  }

  async #fetch(key: string, signal: AbortSignal | undefined, node: MemoryNode | undefined): Promise<Reading> {
    const startedAt = performance.now();
    const pending = this.order.pending(key);
    if (pending !== undefined) await pending;
    const token = this.order.begin(key);
    try {
      const got = await this.get(key, {
        signal,
        ...(node !== undefined && node.etag !== "" && !(isBrowser() && node.size < PREFLIGHT)
          ? { ifNoneMatch: node.etag, ...(node.lastModified && { lastModified: node.lastModified }) }
          : {}),
      });
      let opened: Opened;
      if (got === "not-modified" && node !== undefined) {
        // What ended on the way is over, whatever the store confirms.
        const isLive = this.clock.now() < node.deadline;
        if (isLive) node.checkedAt = Date.now();
        opened = {
          found: isLive ? { ...node, node } : undefined,
          condition: conditionOf(node.etag),
          expired: undefined,
        };
      } else {
        opened = typeof got === "object" ? await this.#open(key, got, signal, token) : ABSENT;
      }
      let isTold = false;
      const tell = (isHit: boolean): void => {
        if (isTold) return;
        isTold = true;
        if (!isHit) return this.miss(key, startedAt);
        this.counters.store.hits++;
        this.emitHit(key, "store", startedAt);
      };
      if (opened.found === undefined) {
        if (this.#mayKeep(token)) this.memory?.delete(key);
        tell(false);
      }
      return { ...opened, tell };
    } finally {
      this.order.end(token);
    }
  }

  // A write that was asked for before the read began, and waits for its turn, has not superseded it and soon will.
  #mayKeep(token: Token): boolean {
    return !token.superseded && !this.order.isPending(token.key);
  }

  miss(key: string, startedAt: number): void {
    this.counters.store.misses++;
    this.events.emit("miss", { key: this.keyOf(key), duration: performance.now() - startedAt });
  }

  /** `ObjectStore.get` with what the cache adds to it: counting, the clock, 403 as a miss, errors of one kind. */
  async get(key: string, options: Parameters<ObjectStore["get"]>[1] & CallOptions): ReturnType<ObjectStore["get"]> {
    this.counters.store.reads++;
    return this.#ask(key, options.signal, () => this.settings.store.get(key, options));
  }

  async head(key: string, signal: AbortSignal | undefined): Promise<ObjectHead | undefined> {
    return this.#ask(key, signal, () => this.settings.store.head(key, { signal }));
  }

  async #ask<T extends ObjectHead | "not-modified" | undefined>(
    key: string,
    signal: AbortSignal | undefined,
    ask: () => Promise<T>,
  ): Promise<T | undefined> {
    try {
      const answer = await ask();
      if (this.#teachClock && typeof answer === "object" && answer.now) this.clock.set(answer.now.getTime() / 1000);
      return answer;
    } catch (error) {
      const failure = this.failure(error, key, signal);
      if (this.settings.forbiddenIsMiss && isBucketCacheError(failure) && failure.code === "ERR_FORBIDDEN") {
        return undefined;
      }
      throw failure;
    }
  }

  /** What to throw for what a store threw: an abort is the caller's own reason, all else is a `BucketCacheError`. */
  failure(error: unknown, key: string | undefined, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted === true) return signal.reason;
    this.counters.store.errors++;
    return asBucketCacheError(error, key, this.settings.store.name);
  }

  /** Metadata, end and body of an object, as a value. */
  async #open(key: string, got: Got, signal: AbortSignal | undefined, token: Token): Promise<Opened> {
    const opened = this.judge(key, got);
    if (opened.kind === "gone") {
      await discardBody(got);
      return { found: undefined, condition: conditionOf(got.etag), expired: opened.expired };
    }
    const { maxValueBytes } = this.settings;
    if (got.size > maxValueBytes) {
      await discardBody(got);
      throw this.#tooLarge(key);
    }
    const body = await this.#readBody(key, got, signal);
    let decoded: Bytes;
    let value: unknown;
    try {
      const gzipped = opened.compressed && (opened.codec !== undefined || isGzip(body));
      decoded = gzipped ? await (await import("./gzip.js")).gunzip(body, maxValueBytes) : body;
      value = await (opened.codec === undefined
        ? decodeForeign(decoded)
        : decodeValue(opened.codec, decoded, this.settings.codecs));
    } catch (error) {
      if (isBucketCacheError(error) && error.code === "ERR_TOO_LARGE") throw this.#tooLarge(key);
      this.damaged(key, error instanceof Error ? error.message : String(error), error);
      return { found: undefined, condition: conditionOf(got.etag), expired: undefined };
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
    const found = this.keep(key, this.isolate(value, true), decoded.byteLength, info, this.#mayKeep(token));
    return { found, condition: conditionOf(got.etag), expired: undefined };
  }

  /** What metadata say of an object: whether it counts, and how to read it. */
  judge(key: string, head: ObjectHead): Judgement {
    const parsed = parseMetadata(head.metadata);
    if (parsed.kind === "damaged") {
      this.damaged(key, parsed.reason);
      return { kind: "gone", expired: undefined };
    }
    const meta = parsed.kind === "entry" ? parsed.meta : parsed;
    if (isExpired(meta.expiresAt, this.clock.now() / 1000)) {
      this.events.emit("expire", { key: this.keyOf(key) });
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

  async #readBody(key: string, got: Got, signal: AbortSignal | undefined): Promise<Bytes> {
    let body: Bytes;
    try {
      const all = (got as { [READ_ALL]?: ReadAll })[READ_ALL];
      const limit = this.settings.maxValueBytes;
      body = await (all === undefined ? readAll(got.body, limit) : all.call(got, limit));
    } catch (error) {
      throw this.failure(error, key, signal);
    }
    // A body that ends early is a broken transfer, whatever the transport made of it; it is never taken for damage.
    if (body.byteLength !== got.size) {
      const message = `the store announced ${got.size} bytes and sent ${body.byteLength}`;
      throw this.failure(new BucketCacheError("ERR_UNAVAILABLE", message, this.#at(key)), key, signal);
    }
    this.counters.store.bytesRead += body.byteLength;
    return body;
  }

  /** Tells of an entry that cannot be decoded: a miss for its readers. */
  damaged(key: string, reason: string, cause?: unknown): void {
    const message = `the entry is damaged and counts as a miss: ${reason}`;
    this.events.error(this.keyOf(key), new BucketCacheError("ERR_DAMAGED", message, { ...this.#at(key), cause }));
  }

  #tooLarge(key: string): BucketCacheError {
    const message = `the value has more than ${this.settings.maxValueBytes} bytes: raise maxValueBytes, or read it with getStream`;
    return new BucketCacheError("ERR_TOO_LARGE", message, this.#at(key));
  }

  #at(key: string): { key: string; store: string } {
    return { key, store: this.settings.store.name };
  }
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
function conditionOf(etag: string): WriteCondition {
  return etag === "" ? {} : { ifMatch: etag };
}

/** An unread body holds a socket. */
export async function discardBody(got: Got): Promise<void> {
  await got.body.cancel().catch(() => undefined);
}

export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}
