import type { StandardSchemaV1 } from "@standard-schema/spec";
import { untilAborted } from "./abort.js";
import { isReserved, sanitizeName } from "./key.js";
import { internalsOf } from "./internals.js";
import { type Found, Layers } from "./layers.js";
import { conform, find, load } from "./load.js";
import { forEachPooled } from "./pool.js";
import { oneGrant } from "./presign.js";
import { discardExpired, remove, removeMany } from "./remove.js";
import { type EntryPolicy, resolveEntry, resolveSettings, resolveTtl } from "./settings.js";
import { getOrSetStream, isBody, openEntry, setStream, toResponse } from "./streams.js";
import { joinTabs } from "./tabs.js";
import type {
  Body,
  Bytes,
  Cache,
  CacheEvents,
  CacheOptions,
  CacheStats,
  CallOptions,
  Entry,
  EntryOptions,
  GetOrSetOptions,
  Grant,
  ListedObject,
  LoadContext,
  PresignOptions,
  SetOptions,
  StreamOptions,
  Wrapped,
  WrapOptions,
} from "./types.js";
import { Functions } from "./wrap.js";
import { setValue } from "./write.js";

/**
 * Makes a two-level cache: a bounded LRU in memory in front of a bucket.
 *
 * @example
 * const cache = createCache({ store: s3Store({ bucket: "results" }), ttl: "1h" });
 * const nearest = cache.wrap(findNearest, { name: "nearest" });
 * await nearest({ lat: 52.5, lon: 13.4 });
 *
 * @throws TypeError that names the option which is wrong
 */
export function createCache(options: CacheOptions): Cache {
  return new TwoLevelCache(new Layers(resolveSettings(options)));
}

const DELETE_BATCH = 1000;

class TwoLevelCache implements Cache {
  readonly #layers: Layers;
  readonly #functions: Functions;
  readonly #leaveTabs: () => void;
  #closed: Promise<void> | undefined;

  constructor(layers: Layers) {
    this.#layers = layers;
    this.#functions = new Functions(layers);
    this.#leaveTabs = joinTabs(layers);
  }

  wrap<F extends Function>(fn: F, options: WrapOptions<F>): Wrapped<F> {
    return this.#functions.wrap(fn, options);
  }

  async get<T = unknown>(
    key: string,
    options: CallOptions & { schema?: StandardSchemaV1 } = {},
  ): Promise<T | undefined> {
    const result = await this.#find(this.#layers.objectKey(key), options);
    return result && (this.#layers.handOut(result.found) as T);
  }

  async getEntry<T = unknown>(key: string, options: CallOptions = {}): Promise<Entry<T> | undefined> {
    const result = await this.#find(this.#layers.objectKey(key), options);
    if (result === undefined) return undefined;
    const { found, source } = result;
    return {
      key,
      value: this.#layers.handOut(found) as T,
      source,
      createdAt: toDate(found.createdAt),
      expiresAt: toDate(found.expiresAt),
      stale: false,
      size: found.size,
      etag: found.etag,
      contentType: found.contentType,
    };
  }

  #find(
    key: string,
    call: CallOptions & { schema?: StandardSchemaV1 },
  ): Promise<{ found: Found; source: "memory" | "store" } | undefined> {
    const layers = this.#layers;
    const revalidateAfter = layers.settings.memory?.revalidateExplicit ?? 0;
    return find(layers, key, call, revalidateAfter, (found) => conform(call.schema, found));
  }

  async getStream(key: string, options: StreamOptions = {}): Promise<ReadableStream<Bytes> | undefined> {
    const opened = await openEntry(this.#layers, this.#layers.objectKey(key), options);
    return "stream" in opened ? opened.stream : undefined;
  }

  async getResponse(key: string, options: StreamOptions = {}): Promise<Response | undefined> {
    const opened = await openEntry(this.#layers, this.#layers.objectKey(key), options);
    return "stream" in opened ? toResponse(opened, options.range) : undefined;
  }

  async set(key: string, value: unknown, options: SetOptions = {}): Promise<void> {
    const layers = this.#layers;
    const objectKey = layers.objectKey(key);
    options.signal?.throwIfAborted();
    if (isBody(value) && !layers.settings.codecs.some((codec) => codec.accepts(value))) {
      return setStream(layers, objectKey, value, options);
    }
    return setValue(layers, objectKey, value, resolveEntry(options, layers.settings.entry), options);
  }

  async getOrSet<T>(
    key: string,
    compute: (context: LoadContext) => T | PromiseLike<T>,
    options: GetOrSetOptions<T> = {},
  ): Promise<T> {
    if (typeof compute !== "function") throw new TypeError("getOrSet needs a function that computes the value");
    const layers = this.#layers;
    const objectKey = layers.objectKey(key);
    const { ttl, ...others } = options;
    const policy = resolveEntry(
      typeof ttl === "function" || ttl === undefined ? others : { ...others, ttl },
      layers.settings.entry,
    );
    const found = await load(layers, {
      key: objectKey,
      flight: objectKey,
      identity: undefined,
      schema: options.schema,
      revalidateAfter: layers.settings.memory?.revalidateExplicit ?? 0,
      compute: (signal) => compute({ signal: signal ?? new AbortController().signal }),
      policyOf: (value): EntryPolicy =>
        typeof ttl === "function" ? { ...policy, ttl: resolveTtl(ttl(value as T)) } : policy,
      shouldCache: options.shouldCache,
      call: options,
    });
    return layers.handOut(found) as T;
  }

  async getOrSetStream(
    key: string,
    load: (context: LoadContext) => Body | PromiseLike<Body>,
    options: SetOptions = {},
  ): Promise<ReadableStream<Bytes>> {
    if (typeof load !== "function") throw new TypeError("getOrSetStream needs a function that opens the stream");
    return getOrSetStream(this.#layers, this.#layers.objectKey(key), load, options);
  }

  async has(key: string, options: CallOptions = {}): Promise<boolean> {
    options.signal?.throwIfAborted();
    const layers = this.#layers;
    const objectKey = layers.objectKey(key);
    const node = layers.memory?.peek(objectKey);
    if (
      node !== undefined &&
      layers.clock.now() < node.deadline &&
      Date.now() - node.checkedAt < (layers.settings.memory?.revalidateExplicit ?? 0)
    ) {
      return true;
    }
    const pending = layers.order.pending(objectKey);
    if (pending !== undefined) await untilAborted(pending, options.signal);
    const head = await layers.head(objectKey, options.signal);
    if (head === undefined) return false;
    const judged = layers.judge(objectKey, head);
    if (judged.kind === "gone") discardExpired(layers, objectKey, judged.expired, options);
    return judged.kind === "live";
  }

  async delete(key: string, options: CallOptions = {}): Promise<void> {
    const objectKey = this.#layers.objectKey(key);
    options.signal?.throwIfAborted();
    return remove(this.#layers, objectKey, options);
  }

  async getMany<T = unknown>(keys: readonly string[], options: CallOptions = {}): Promise<(T | undefined)[]> {
    const values = new Array<T | undefined>(keys.length).fill(undefined);
    const { memory, settings } = this.#layers;
    internalsOf(settings.store).prepare?.(
      keys.map((key) => this.#layers.objectKey(key)).filter((key) => memory?.peek(key) === undefined),
    );
    await forEachPooled(keys, async (key, index) => {
      values[index] = await this.get<T>(key, options);
    });
    return values;
  }

  async setMany(
    entries: Iterable<{ key: string; value: unknown } & EntryOptions>,
    options: CallOptions = {},
  ): Promise<void> {
    await forEachPooled(entries, ({ key, value, ...entry }) => this.set(key, value, { ...entry, ...options }));
  }

  async deleteMany(keys: Iterable<string>, options: CallOptions = {}): Promise<void> {
    const objectKeys = [...new Set(keys)].map((key) => this.#layers.objectKey(key));
    options.signal?.throwIfAborted();
    await forEachPooled(batches(objectKeys), (batch) => removeMany(this.#layers, batch, options));
  }

  async *list(options: CallOptions & { prefix?: string } = {}): AsyncGenerator<ListedObject, undefined> {
    const layers = this.#layers;
    const { prefix, store } = layers.settings;
    options.signal?.throwIfAborted();
    try {
      for await (const object of store.list(prefix + (options.prefix ?? ""), { signal: options.signal })) {
        if (!isReserved(prefix, object.key)) yield { ...object, key: layers.keyOf(object.key) };
      }
    } catch (error) {
      throw layers.failure(error, undefined, options.signal);
    }
  }

  async clear(options: CallOptions & ({ prefix: string } | { name: string } | { all: true })): Promise<void> {
    const layers = this.#layers;
    const below = clearedPrefix(options);
    options.signal?.throwIfAborted();
    const objectPrefix = layers.settings.prefix + below;
    layers.forgetBelow(objectPrefix);
    try {
      // What is not written yet would not be listed.
      await untilAborted(layers.order.pendingBelow(objectPrefix), options.signal);
      let batch: string[] = [];
      for await (const object of this.list({ prefix: below, signal: options.signal })) {
        batch.push(layers.settings.prefix + object.key);
        if (batch.length === DELETE_BATCH) {
          await removeMany(layers, batch, options);
          batch = [];
        }
      }
      if (batch.length > 0) await removeMany(layers, batch, options);
    } finally {
      layers.forgetBelow(objectPrefix);
    }
  }

  async presign(key: string, options: PresignOptions = {}): Promise<Grant> {
    const objectKey = this.#layers.objectKey(key);
    options.signal?.throwIfAborted();
    return oneGrant(this.#layers, objectKey, options);
  }

  stats(): CacheStats {
    const { counters, memory } = this.#layers;
    return {
      memory: { ...counters.memory, entries: memory?.entries ?? 0, bytes: memory?.bytes ?? 0 },
      store: { ...counters.store },
      calls: counters.calls,
    };
  }

  on<E extends keyof CacheEvents>(event: E, listener: (event: CacheEvents[E]) => void): () => void {
    return this.#layers.events.on(event, listener);
  }

  async flush({ signal }: CallOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    return untilAborted(this.#layers.background.idle(), signal);
  }

  async close(): Promise<void> {
    await this.flush();
    this.#leaveTabs();
    await (this.#closed ??= this.#layers.settings.store.close?.() ?? Promise.resolve());
  }
}

function toDate(seconds: number | undefined): Date | undefined {
  return seconds === undefined ? undefined : new Date(seconds * 1000);
}

function clearedPrefix({ prefix, name, all }: { prefix?: string; name?: string; all?: true } = {}): string {
  if (all === true && prefix === undefined && name === undefined) return "";
  if (typeof name === "string" && prefix === undefined && all === undefined) return `${sanitizeName(name)}/`;
  if (typeof prefix === "string" && prefix !== "" && name === undefined && all === undefined) return prefix;
  throw new TypeError("clear needs either a name or a prefix; to delete every entry of this cache say { all: true }");
}

function* batches(keys: readonly string[]): Iterable<string[]> {
  for (let i = 0; i < keys.length; i += DELETE_BATCH) yield keys.slice(i, i + DELETE_BATCH);
}
