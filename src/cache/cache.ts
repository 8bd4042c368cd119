import type { StandardSchemaV1 } from "@standard-schema/spec";
import { untilAborted } from "../base/abort.js";
import { forEachPooled } from "../base/pool.js";
import { objectKey } from "../data/key.js";
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
} from "../types.js";
import { joinTabs } from "./concurrency/tabs.js";
import { rare } from "./edges.js";
import { get, getEntry, getOrSet, has } from "./entries.js";
import { resolveEntry, resolveSettings } from "./settings.js";
import { type CacheState, newState } from "./state.js";
import { statsOf } from "./stats.js";
import { isBody } from "./store/body.js";
import { snapshot } from "./store/encode.js";
import { remove, removeMany } from "./store/remove.js";
import { setBody, setValue } from "./store/write.js";
import { Functions } from "./wrap.js";

/**
 * Makes a two-level cache: a bounded LRU in memory in front of a bucket.
 *
 * @example
 * ```ts
 * import { createCache } from "bucketcache";
 * import { s3Store } from "bucketcache/s3";
 *
 * const cache = createCache({ store: s3Store({ bucket: "my-results" }), ttl: "1h" });
 * const square = cache.wrap(async (n: number) => n * n, { name: "square" });
 * console.log(await square(12)); // 144
 * ```
 *
 * @throws TypeError that names the option which is wrong.
 */
export function createCache(options: CacheOptions): Cache {
  return new TwoLevelCache(newState(resolveSettings(options)));
}

class TwoLevelCache implements Cache {
  readonly #state: CacheState;
  readonly #functions: Functions;
  readonly #leaveTabs: () => void;
  #closed: Promise<void> | undefined;

  constructor(state: CacheState) {
    this.#state = state;
    this.#functions = new Functions(state);
    this.#leaveTabs = joinTabs(state);
  }

  /** @throws TypeError for a key that stores refuse, or read as another key. */
  #objectKey(key: string): string {
    return objectKey(this.#state.settings.prefix, key);
  }

  wrap<F extends Function>(fn: F, options: WrapOptions<F>): Wrapped<F> {
    return this.#functions.wrap(fn, options);
  }

  async get<T = unknown>(
    key: string,
    options: CallOptions & { schema?: StandardSchemaV1 } = {},
  ): Promise<T | undefined> {
    return get(this.#state, this.#objectKey(key), options) as Promise<T | undefined>;
  }

  async getEntry<T = unknown>(key: string, options: CallOptions = {}): Promise<Entry<T> | undefined> {
    return getEntry(this.#state, this.#objectKey(key), options) as Promise<Entry<T> | undefined>;
  }

  async getStream(key: string, options: StreamOptions = {}): Promise<ReadableStream<Bytes> | undefined> {
    const objectKey = this.#objectKey(key);
    return rare(({ getStream }) => getStream(this.#state, objectKey, options));
  }

  async getResponse(key: string, options: StreamOptions = {}): Promise<Response | undefined> {
    const objectKey = this.#objectKey(key);
    return rare(({ getResponse }) => getResponse(this.#state, objectKey, options));
  }

  async set(key: string, value: unknown, options: SetOptions = {}): Promise<void> {
    const { codecs, entry } = this.#state.settings;
    const objectKey = this.#objectKey(key);
    options.signal?.throwIfAborted();
    if (isBody(value) && !codecs.some((codec) => codec.accepts(value))) {
      return setBody(this.#state, objectKey, value, options);
    }
    const policy = resolveEntry(options, entry);
    return setValue(this.#state, objectKey, snapshot(this.#state, objectKey, value), policy, options);
  }

  async getOrSet<T>(
    key: string,
    compute: (context: LoadContext) => T | PromiseLike<T>,
    options: GetOrSetOptions<T> = {},
  ): Promise<T> {
    if (typeof compute !== "function") throw new TypeError("getOrSet needs a function that computes the value");
    return getOrSet(this.#state, this.#objectKey(key), compute, options) as Promise<T>;
  }

  async getOrSetStream(
    key: string,
    load: (context: LoadContext) => Body | PromiseLike<Body>,
    options: SetOptions = {},
  ): Promise<ReadableStream<Bytes>> {
    if (typeof load !== "function") throw new TypeError("getOrSetStream needs a function that opens the stream");
    const objectKey = this.#objectKey(key);
    return rare(({ getOrSetStream }) => getOrSetStream(this.#state, objectKey, load, options));
  }

  async has(key: string, options: CallOptions = {}): Promise<boolean> {
    options.signal?.throwIfAborted();
    return has(this.#state, this.#objectKey(key), options);
  }

  async delete(key: string, options: CallOptions = {}): Promise<void> {
    const objectKey = this.#objectKey(key);
    options.signal?.throwIfAborted();
    return remove(this.#state, objectKey, options);
  }

  async getMany<T = unknown>(keys: readonly string[], options: CallOptions = {}): Promise<(T | undefined)[]> {
    const { memory, store } = this.#state;
    const objectKeys = keys.map((key) => this.#objectKey(key));
    const values = new Array<T | undefined>(keys.length).fill(undefined);
    store.objects.prepare?.(objectKeys.filter((key) => memory.peek(key) === undefined));
    await forEachPooled(objectKeys, async (key, index) => {
      values[index] = (await get(this.#state, key, options)) as T | undefined;
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
    const objectKeys = Array.from(keys, (key) => this.#objectKey(key));
    options.signal?.throwIfAborted();
    return removeMany(this.#state, objectKeys, options);
  }

  async *list(options: CallOptions & { prefix?: string } = {}): AsyncGenerator<ListedObject, undefined> {
    return yield* await rare(async ({ list }) => list(this.#state, options));
  }

  async clear(options: CallOptions & ({ prefix: string } | { name: string } | { all: true })): Promise<void> {
    return rare(({ clear }) => clear(this.#state, options));
  }

  async presign(key: string, options: PresignOptions = {}): Promise<Grant> {
    const objectKey = this.#objectKey(key);
    options.signal?.throwIfAborted();
    return rare(({ presignEntry }) => presignEntry(this.#state, objectKey, options));
  }

  stats(): CacheStats {
    return statsOf(this.#state.reporting.counters, this.#state.memory);
  }

  on<E extends keyof CacheEvents>(event: E, listener: (event: CacheEvents[E]) => void): () => void {
    return this.#state.reporting.events.on(event, listener);
  }

  async flush({ signal }: CallOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    return untilAborted(this.#state.concurrency.background.idle(), signal);
  }

  async close(): Promise<void> {
    await this.flush();
    this.#leaveTabs();
    await (this.#closed ??= this.#state.store.objects.close?.() ?? Promise.resolve());
  }
}
