import type { StandardSchemaV1 } from "@standard-schema/spec";
import { untilAborted } from "../base/abort.js";
import { isBody, snapshot } from "./encoding.js";
import { lazy, preload } from "../base/lazy.js";
import { Layers } from "./layers.js";
import { forEachPooled } from "../base/pool.js";
import { resolveEntry, resolveSettings } from "./settings.js";
import { joinTabs } from "./concurrency/tabs.js";
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
import { type Engine, Functions } from "./wrap.js";

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
  const layers = new Layers(resolveSettings(options));
  preload(engine);
  return new TwoLevelCache(layers);
}

/** What works on the store: larger than all that is here, and not needed to start. */
const engine: Engine = /* @__PURE__ */ lazy(() => import("./engine.js"));

class TwoLevelCache implements Cache {
  readonly #layers: Layers;
  readonly #functions: Functions;
  readonly #leaveTabs: () => void;
  #closed: Promise<void> | undefined;

  constructor(layers: Layers) {
    this.#layers = layers;
    this.#functions = new Functions(layers, engine);
    this.#leaveTabs = joinTabs(layers);
  }

  wrap<F extends Function>(fn: F, options: WrapOptions<F>): Wrapped<F> {
    return this.#functions.wrap(fn, options);
  }

  async get<T = unknown>(
    key: string,
    options: CallOptions & { schema?: StandardSchemaV1 } = {},
  ): Promise<T | undefined> {
    const objectKey = this.#layers.objectKey(key);
    return engine(({ get }) => get(this.#layers, objectKey, options)) as Promise<T | undefined>;
  }

  async getEntry<T = unknown>(key: string, options: CallOptions = {}): Promise<Entry<T> | undefined> {
    const objectKey = this.#layers.objectKey(key);
    return engine(({ getEntry }) => getEntry(this.#layers, objectKey, options)) as Promise<Entry<T> | undefined>;
  }

  async getStream(key: string, options: StreamOptions = {}): Promise<ReadableStream<Bytes> | undefined> {
    const objectKey = this.#layers.objectKey(key);
    const opened = await engine(({ openEntry }) => openEntry(this.#layers, objectKey, options));
    return "stream" in opened ? opened.stream : undefined;
  }

  async getResponse(key: string, options: StreamOptions = {}): Promise<Response | undefined> {
    const objectKey = this.#layers.objectKey(key);
    return engine(async ({ openEntry, toResponse }) => {
      const opened = await openEntry(this.#layers, objectKey, options);
      return "stream" in opened ? toResponse(opened, options.range) : undefined;
    });
  }

  async set(key: string, value: unknown, options: SetOptions = {}): Promise<void> {
    const layers = this.#layers;
    const objectKey = layers.objectKey(key);
    options.signal?.throwIfAborted();
    if (isBody(value) && !layers.settings.codecs.some((codec) => codec.accepts(value))) {
      return engine(({ setStream }) => setStream(layers, objectKey, value, options));
    }
    const policy = resolveEntry(options, layers.settings.entry);
    const taken = snapshot(layers, objectKey, value);
    return engine(({ setValue }) => setValue(layers, objectKey, taken, policy, options));
  }

  async getOrSet<T>(
    key: string,
    compute: (context: LoadContext) => T | PromiseLike<T>,
    options: GetOrSetOptions<T> = {},
  ): Promise<T> {
    if (typeof compute !== "function") throw new TypeError("getOrSet needs a function that computes the value");
    const objectKey = this.#layers.objectKey(key);
    return engine(({ getOrSet }) => getOrSet(this.#layers, objectKey, compute, options)) as Promise<T>;
  }

  async getOrSetStream(
    key: string,
    load: (context: LoadContext) => Body | PromiseLike<Body>,
    options: SetOptions = {},
  ): Promise<ReadableStream<Bytes>> {
    if (typeof load !== "function") throw new TypeError("getOrSetStream needs a function that opens the stream");
    const objectKey = this.#layers.objectKey(key);
    return engine(({ getOrSetStream }) => getOrSetStream(this.#layers, objectKey, load, options));
  }

  async has(key: string, options: CallOptions = {}): Promise<boolean> {
    options.signal?.throwIfAborted();
    const objectKey = this.#layers.objectKey(key);
    return engine(({ has }) => has(this.#layers, objectKey, options));
  }

  async delete(key: string, options: CallOptions = {}): Promise<void> {
    const objectKey = this.#layers.objectKey(key);
    options.signal?.throwIfAborted();
    return engine(({ remove }) => remove(this.#layers, objectKey, options));
  }

  async getMany<T = unknown>(keys: readonly string[], options: CallOptions = {}): Promise<(T | undefined)[]> {
    const objectKeys = keys.map((key) => this.#layers.objectKey(key));
    return engine(({ getMany }) => getMany(this.#layers, objectKeys, options)) as Promise<(T | undefined)[]>;
  }

  async setMany(
    entries: Iterable<{ key: string; value: unknown } & EntryOptions>,
    options: CallOptions = {},
  ): Promise<void> {
    await forEachPooled(entries, ({ key, value, ...entry }) => this.set(key, value, { ...entry, ...options }));
  }

  async deleteMany(keys: Iterable<string>, options: CallOptions = {}): Promise<void> {
    const objectKeys = Array.from(keys, (key) => this.#layers.objectKey(key));
    options.signal?.throwIfAborted();
    return engine(({ deleteMany }) => deleteMany(this.#layers, objectKeys, options));
  }

  async *list(options: CallOptions & { prefix?: string } = {}): AsyncGenerator<ListedObject, undefined> {
    return yield* await engine(async ({ list }) => list(this.#layers, options));
  }

  async clear(options: CallOptions & ({ prefix: string } | { name: string } | { all: true })): Promise<void> {
    return engine(({ clear }) => clear(this.#layers, options));
  }

  async presign(key: string, options: PresignOptions = {}): Promise<Grant> {
    const objectKey = this.#layers.objectKey(key);
    options.signal?.throwIfAborted();
    return engine(({ oneGrant }) => oneGrant(this.#layers, objectKey, options));
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
    // In its turn, since what was asked for before may not have begun yet.
    return engine(() => untilAborted(this.#layers.background.idle(), signal));
  }

  async close(): Promise<void> {
    await this.flush();
    this.#leaveTabs();
    await (this.#closed ??= this.#layers.settings.store.close?.() ?? Promise.resolve());
  }
}
