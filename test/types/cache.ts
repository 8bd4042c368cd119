import {
  cacheKey,
  createCache,
  isBucketCacheError,
  type BucketCacheError,
  type Bytes,
  type Cache,
  type CacheOptions,
  type Codec,
  type Entry,
  type ErrorCode,
  type Grant,
  type ListedObject,
  type ObjectStore,
} from "bucketcache";
import { expectType } from "./expect.js";

declare const cache: Cache;
declare const store: ObjectStore;
/** As any library of the Standard Schema family gives it. */
declare const schema: {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => { value: { name: string } };
    readonly types?: { readonly input: unknown; readonly output: { name: string } };
  };
};

export async function reads(): Promise<void> {
  expectType<unknown>()(await cache.get("key"));
  expectType<number | undefined>()(await cache.get<number>("key"));
  expectType<{ name: string } | undefined>()(await cache.get("key", { schema }));
  expectType<Entry<string> | undefined>()(await cache.getEntry<string>("key"));
  expectType<ReadableStream<Bytes> | undefined>()(await cache.getStream("key", { range: { offset: 1 }, raw: true }));
  expectType<Response | undefined>()(await cache.getResponse("key"));
  expectType<boolean>()(await cache.has("key"));
  expectType<(number | undefined)[]>()(await cache.getMany<number>(["a", "b"]));
  for await (const object of cache.list({ prefix: "a/" })) expectType<ListedObject>()(object);
  expectType<Grant>()(await cache.presign("key", { operation: "write", size: 10, ttl: "1h" }));
}

export async function writes(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  for (const value of ["text", 1, null, undefined, { a: [1] }, bytes, new Blob(), new Response().body]) {
    await cache.set("key", value, {
      ttl: "5m",
      compress: true,
      onProgress: ({ loaded, total }) => void [loaded, total],
    });
  }
  await cache.set(
    "key",
    (async function* () {
      yield "line\n";
    })(),
  );
  await cache.setMany([{ key: "a", value: 1, ttl: 60 }]);
  await cache.setMany(new Set([{ key: "a", value: 1 }]).values());
  await cache.deleteMany(new Set(["a"]));
  await cache.clear({ name: "city" });
  await cache.clear({ prefix: "a/" });
  await cache.clear({ all: true });
  // @ts-expect-error what is to be cleared must be said
  await cache.clear({});
}

export async function loads(): Promise<void> {
  const value = await cache.getOrSet("key", async ({ signal }) => ({ aborted: signal.aborted }), {
    ttl: (found) => (found.aborted ? 1 : "1h"),
    shouldCache: (found) => !found.aborted,
  });
  expectType<{ aborted: boolean }>()(value);
  expectType<number>()(await cache.getOrSet("key", () => 1));
  expectType<ReadableStream<Bytes>>()(await cache.getOrSetStream("key", async () => new Response("text")));
  // @ts-expect-error an object is no body
  await cache.getOrSetStream("key", () => ({ a: 1 }));
}

export function events(): void {
  const off = cache.on("hit", ({ key, source, duration }) => {
    expectType<string>()(key);
    expectType<"memory" | "store">()(source);
    expectType<number>()(duration);
  });
  expectType<() => void>()(off);
  cache.on("error", ({ key, error }) => {
    expectType<string | undefined>()(key);
    expectType<BucketCacheError>()(error);
  });
  // @ts-expect-error there is no such event
  cache.on("hits", () => {});
  expectType<number>()(cache.stats().memory.bytes);
}

export function errors(error: unknown): void {
  if (!isBucketCacheError(error)) return;
  expectType<ErrorCode>()(error.code);
  expectType<string | undefined>()(error.key);
  // @ts-expect-error the codes are a closed union
  if (error.code === "ERR_OTHER") throw error;
}

export function settings(codec: Codec): Cache {
  expectType<string>()(cacheKey("city", ["Bern"]));
  const options: CacheOptions = { store, memory: { maxBytes: 1e6, isolation: "freeze" }, codecs: [codec] };
  createCache({ ...options, memory: false, whenUnavailable: "throw", deleteGrace: "1m" });
  // @ts-expect-error no such isolation
  createCache({ store, memory: { isolation: "copy" } });
  return createCache(options);
}
