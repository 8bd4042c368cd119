import {
  createCache,
  type Bytes,
  type Cache,
  type CacheEvents,
  type CacheOptions,
  type ObjectHead,
  type ObjectStore,
} from "bucketcache";
import { memoryStore } from "bucketcache/memory";
import { deferred } from "./deferred.js";

type Operation = "get" | "head" | "put" | "delete" | "deleteMany" | "list";

export interface Call {
  operation: Operation;
  key: string;
  options: Record<string, unknown>;
}

/** A place in a store where a call waits until the test lets it go on. */
export interface Gate {
  /** Resolves when a call has arrived. */
  reached: Promise<Call>;
  open(): void;
}

export interface WatchedStore extends ObjectStore {
  calls: Call[];
  /** Operations that were called, in order. */
  operations(): string[];
  /** The next call of this kind waits: before it touches the object, or after, with its answer on the way back. */
  hold(operation: Operation, where?: "before" | "after"): Gate;
  /** Milliseconds by which the store's clock is ahead of ours; undefined: it tells no time. */
  skew: number | undefined;
}

/** Makes a store that records its calls and can be held up at each, so that a test decides which call overtakes which. */
export function watchedStore(inner: ObjectStore = memoryStore()): WatchedStore {
  const gates: {
    operation: Operation;
    where: "before" | "after";
    arrive: (call: Call) => void;
    pass: Promise<void>;
  }[] = [];
  const calls: Call[] = [];

  async function through<T>(operation: Operation, key: string, options: object | undefined, run: () => Promise<T>) {
    const call = { operation, key, options: { ...options } as Record<string, unknown> };
    calls.push(call);
    const index = gates.findIndex((gate) => gate.operation === operation);
    const gate = index === -1 ? undefined : gates.splice(index, 1)[0];
    const wait = async (where: string) => {
      if (gate?.where !== where) return;
      gate.arrive(call);
      const signal = call.options["signal"] as AbortSignal | undefined;
      await (signal === undefined ? gate.pass : Promise.race([gate.pass, aborted(signal)]));
    };
    await wait("before");
    const result = await run();
    await wait("after");
    return result;
  }

  const withStoreTime = <T extends ObjectHead>(head: T): T => ({
    ...head,
    now: store.skew === undefined ? undefined : new Date(Date.now() + store.skew),
  });

  const store: WatchedStore = {
    name: "watched",
    calls,
    skew: undefined,
    operations: () => calls.map(({ operation }) => operation),
    hold(operation, where = "before") {
      const reached = deferred<Call>();
      const pass = deferred();
      gates.push({ operation, where, arrive: reached.resolve, pass: pass.promise });
      return { reached: reached.promise, open: pass.resolve };
    },
    get: (key, options) =>
      through("get", key, options, async () => {
        const got = await inner.get(key, options);
        return typeof got === "object" ? withStoreTime(got) : got;
      }),
    head: (key, options) =>
      through("head", key, options, async () => {
        const head = await inner.head(key, options);
        return head && withStoreTime(head);
      }),
    put: (key, body, options) => through("put", key, options, () => inner.put(key, body, options)),
    delete: (key, options) => through("delete", key, options, () => inner.delete(key, options)),
    deleteMany: (keys, options) =>
      through("deleteMany", keys.join(" "), options, async () => inner.deleteMany?.(keys, options)),
    async *list(prefix, options) {
      await through("list", prefix, options, async () => undefined);
      yield* inner.list(prefix, options);
    },
  };
  return store;
}

/** Makes two caches on one store, as two processes have them. */
export function openCaches<S extends ObjectStore = WatchedStore>(
  options: Partial<Omit<CacheOptions, "store">> & { store?: S } = {},
): { store: S; cache: Cache; other: Cache } {
  const store = options.store ?? (watchedStore() as unknown as S);
  return { store, cache: createCache({ ...options, store }), other: createCache({ ...options, store }) };
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}

/** Collects the events of one kind that a cache emits. */
export function recordEvents<E extends keyof CacheEvents>(cache: Cache, event: E): CacheEvents[E][] {
  const events: CacheEvents[E][] = [];
  cache.on(event, (one) => events.push(one));
  return events;
}

/** Puts an object as another program would: without our metadata. */
export async function putForeign(
  store: ObjectStore,
  key: string,
  body: string | Uint8Array,
  metadata: Record<string, string> = {},
): Promise<void> {
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  await store.put(key, bytes, { contentType: "binary/octet-stream", metadata });
}

/** Returns an object with its stored bytes. */
export async function readObject(
  store: ObjectStore,
  key: string,
): Promise<(ObjectHead & { bytes: Bytes }) | undefined> {
  const got = await store.get(key);
  if (typeof got !== "object") return undefined;
  return { ...got, bytes: new Uint8Array(await new Response(got.body).arrayBuffer()) };
}

export async function textOf(stream: ReadableStream<Uint8Array> | undefined): Promise<string | undefined> {
  return stream && new Response(stream as ReadableStream<Bytes>).text();
}

/** Makes a standard schema of a function. */
export function schemaOf<T>(validate: (value: unknown) => { value: T } | { issues: { message: string }[] }) {
  return { "~standard": { version: 1 as const, vendor: "test", validate } };
}
