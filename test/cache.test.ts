import { describe, expect, test, vi } from "vitest";
import { createCache, type Codec, type ListedObject } from "bucketcache";
import { memoryStore } from "bucketcache/memory";
import { deferred } from "./support/deferred.js";
import { recordEvents, openCaches, readObject, watchedStore } from "./support/stores.js";

async function keysOf(listing: AsyncIterable<ListedObject>): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of listing) keys.push(key);
  return keys;
}

describe("explicit entries", () => {
  test("what was set is read back, in this process and in another one", async () => {
    const { cache, other } = openCaches();
    const value = { a: [1, "2", null], when: new Date(5), big: 10n, map: new Map([["k", new Set([1])]]) };
    await cache.set("report/2026", value);
    expect(await cache.get("report/2026")).toEqual(value);
    expect(await other.get("report/2026")).toEqual(value);
  });

  test.each([
    ["null", null],
    ["undefined", undefined],
    ["a string that looks like JSON", "123"],
    ["an empty string", ""],
    ["NaN", NaN],
    ["false", false],
    ["0", 0],
  ])("%s is a value, not a miss", async (_name, value) => {
    const { cache, other } = openCaches();
    await cache.set("k", value);
    for (const reader of [cache, other]) {
      expect(await reader.getEntry("k")).toMatchObject({ key: "k", value });
      expect(await reader.getOrSet("k", () => "computed")).toEqual(value);
      expect(await reader.has("k")).toBe(true);
    }
  });

  test("a miss is undefined everywhere and never an error", async () => {
    const { cache } = openCaches();
    expect(await cache.get("nothing")).toBeUndefined();
    expect(await cache.getEntry("nothing")).toBeUndefined();
    expect(await cache.getStream("nothing")).toBeUndefined();
    expect(await cache.getResponse("nothing")).toBeUndefined();
    expect(await cache.getMany(["nothing"])).toEqual([undefined]);
    expect(await cache.has("nothing")).toBe(false);
    await cache.delete("nothing");
    await cache.deleteMany(["nothing"]);
  });

  test("an entry tells what is known of it", async () => {
    const { cache, other, store } = openCaches();
    await cache.set("k", { a: 1 }, { ttl: 60 });
    const { etag } = (await store.head("cache/k"))!;
    const expected = { key: "k", value: { a: 1 }, size: 7, etag, contentType: "application/json" };
    expect(await cache.getEntry("k")).toMatchObject({ ...expected, source: "memory" });
    expect(await other.getEntry("k")).toMatchObject({ ...expected, source: "store" });
    const entry = (await other.getEntry("k"))!;
    expect(entry.expiresAt!.getTime() - entry.createdAt!.getTime()).toBe(60_000);
  });

  test("the key is the caller's, below the prefix", async () => {
    const { cache, store } = openCaches({ prefix: "team/cache-" });
    for (const key of ["a", "dir/ä ö+&?#%", ".hidden", "a..b", "🎉"]) {
      await cache.set(key, key);
      expect(await store.head(`team/cache-${key}`)).toBeDefined();
      expect(await cache.get(key)).toBe(key);
    }
  });

  test("small values are stored plain, larger ones gzipped where that is smaller", async () => {
    const { cache, store } = openCaches();
    const noise = crypto.getRandomValues(new Uint8Array(5_000));
    for (const [value, compress, expected] of [
      ["x".repeat(1_023), "auto", undefined],
      ["x".repeat(1_024), "auto", "true"],
      [noise, "auto", undefined],
      ["x".repeat(5_000), false, undefined],
      ["x", true, "true"],
    ] as const) {
      await cache.set("k", value, { compress });
      const object = (await readObject(store, "cache/k"))!;
      expect(object.metadata["compressed"]).toBe(expected);
      expect(object.size).toBe(object.bytes.length);
    }
  });

  test("Cache-Control says no-store and the marker, and the caller may change the former", async () => {
    const { cache, store } = openCaches();
    await cache.set("k", 1);
    await cache.set("k", 1, { cacheControl: "private, max-age=60" });
    expect(store.calls.map(({ options }) => options["cacheControl"])).toEqual([
      "no-store, bucketcache=1",
      "private, max-age=60, bucketcache=1",
    ]);
  });

  test("a caller's content type is for others: it decides on no decoder", async () => {
    const { cache, other, store } = openCaches();
    await cache.set("k", "123", { contentType: "application/json" });
    expect((await store.head("cache/k"))!.contentType).toBe("application/json");
    expect(await other.get("k")).toBe("123");
  });

  test("each write has a nonce of its own, and function results a key", async () => {
    const { cache, store } = openCaches();
    await cache.set("a", 1);
    await cache.set("a", 1);
    await cache.wrap(() => 1, { name: "f" })();
    const entries = store.calls
      .filter(({ operation }) => operation === "put")
      .map(({ options }) => (options["metadata"] as Record<string, string>)["entry"]!);
    const nonces = entries.map((entry) => /nonce=:([^:]+):/.exec(entry)![1]);
    expect(new Set(nonces).size).toBe(3);
    expect(entries.map((entry) => /key=:[\w+/]{43}=:/.test(entry))).toEqual([false, false, true]);
  });
});

describe("getOrSet", () => {
  test("loads what is absent once, and stores it", async () => {
    const { cache, other } = openCaches();
    const load = vi.fn(async () => ({ a: 1 }));
    for (const reader of [cache, cache, other]) expect(await reader.getOrSet("k", load)).toEqual({ a: 1 });
    expect(load).toHaveBeenCalledTimes(1);
    expect(cache.stats().calls).toBe(1);
  });

  test("gives the load a signal, and takes a ttl by value and shouldCache", async () => {
    const { cache, store } = openCaches();
    await cache.getOrSet("a", ({ signal }) => signal.aborted, {
      ttl: (value) => (value ? 1 : 2),
      shouldCache: () => true,
    });
    expect((await store.head("cache/a"))!.metadata).toHaveProperty("expires_at");
    expect(await cache.getOrSet("b", () => 5, { shouldCache: (value) => value !== 5 })).toBe(5);
    expect(await cache.get("b")).toBeUndefined();
  });
});

describe("many at once", () => {
  test("getMany answers in the order of the keys, with undefined for misses", async () => {
    const { cache, other } = openCaches();
    await cache.setMany([
      { key: "a", value: 1 },
      { key: "b", value: null },
      { key: "c", value: "3", ttl: 60, compress: true },
    ]);
    expect(await other.getMany(["c", "nothing", "a", "b", "a"])).toEqual(["3", undefined, 1, null, 1]);
    expect(await other.getMany([])).toEqual([]);
    expect((await other.getEntry("c"))!.expiresAt).toBeInstanceOf(Date);
  });

  test("many more keys than run at a time", async () => {
    const { cache, other, store } = openCaches();
    const keys = Array.from({ length: 500 }, (_, i) => `k${i}`);
    function* entries() {
      for (const key of keys) yield { key, value: key };
    }
    await cache.setMany(entries());
    expect(await other.getMany(keys)).toEqual(keys);
    await cache.deleteMany(new Set(keys));
    expect(await keysOf(cache.list())).toEqual([]);
    expect(store.operations().filter((operation) => operation.startsWith("delete"))).toEqual(["deleteMany"]);
  });

  test("stop at the first failure, which is thrown when the others have ended", async () => {
    const { cache, store } = openCaches();
    const put = store.put;
    let running = 0;
    store.put = async (key, body, options) => {
      running++;
      await Promise.resolve();
      try {
        if (key === "cache/k5") throw new Error("disk full");
        return await put(key, body, options);
      } finally {
        running--;
      }
    };
    const entries = Array.from({ length: 1_000 }, (_, i) => ({ key: `k${i}`, value: i }));
    await expect(cache.setMany(entries)).rejects.toMatchObject({ code: "ERR_UNAVAILABLE", key: "cache/k5" });
    expect(running).toBe(0);
    expect(store.operations().length).toBeLessThan(300);
  });

  test("an iterable that throws rejects the call when the others have ended", async () => {
    const { cache, store } = openCaches();
    const reason = new Error("no more");
    function* entries() {
      yield { key: "a", value: 1 };
      throw reason;
    }
    const gate = store.hold("put");
    let settled = false;
    const setting = cache.setMany(entries()).finally(() => (settled = true));
    await gate.reached;
    await new Promise(setImmediate);
    expect(settled).toBe(false);
    gate.open();
    await expect(setting).rejects.toBe(reason);
  });

  test("deleteMany works on a store that has none, and tells of each", async () => {
    const store = watchedStore();
    delete store.deleteMany;
    const { cache, other } = openCaches({ store });
    const deleted = recordEvents(cache, "delete");
    await cache.setMany(["a", "b"].map((key) => ({ key, value: 1 })));
    await cache.deleteMany(["a", "b", "a"]);
    expect(await other.getMany(["a", "b"])).toEqual([undefined, undefined]);
    expect(deleted.map(({ key }) => key).sort()).toEqual(["a", "b"]);
  });
});

describe("list and clear", () => {
  const fill = async () => {
    const parts = openCaches();
    for (const key of ["a/1", "a/2", "ab/1", "b", "ä"]) await parts.cache.set(key, key);
    await parts.store.put("cache/.bucketcache/lease", new Uint8Array(1), { contentType: "x/y", metadata: {} });
    await parts.store.put("elsewhere/a/1", new Uint8Array(1), { contentType: "x/y", metadata: {} });
    return parts;
  };
  const all = ["a/1", "a/2", "ab/1", "b", "ä"];

  test("list gives what lies below a prefix, without the cache's prefix and without what is ours", async () => {
    const { cache, store } = await fill();
    expect(await keysOf(cache.list())).toEqual(all);
    expect(await keysOf(cache.list({ prefix: "a/" }))).toEqual(["a/1", "a/2"]);
    expect(await keysOf(cache.list({ prefix: "a" }))).toEqual(["a/1", "a/2", "ab/1"]);
    expect(await keysOf(cache.list({ prefix: "nothing" }))).toEqual([]);
    expect(await keysOf(cache.list({ prefix: ".bucketcache/" }))).toEqual([]);
    expect(await keysOf(createCache({ store, prefix: "" }).list())).toContain("elsewhere/a/1");
    const first = await cache.list().next();
    expect(first.value).toEqual({ key: "a/1", size: 3, etag: expect.any(String), lastModified: expect.any(Date) });
  });

  test("list lets go of the store when its reader stops", async () => {
    const { cache, store } = await fill();
    const ended = deferred();
    const list = store.list;
    store.list = async function* (...args) {
      try {
        yield* list(...args);
      } finally {
        ended.resolve();
      }
    };
    for await (const { key } of cache.list()) if (key === "a/1") break;
    await ended.promise;
  });

  test("clear deletes by prefix, by name, or all, from both layers, and spares what is ours", async () => {
    for (const [options, left] of [
      [{ prefix: "a/" }, ["ab/1", "b", "ä"]],
      [{ name: "a" }, ["ab/1", "b", "ä"]],
      [{ prefix: "a" }, ["b", "ä"]],
      [{ all: true }, []],
    ] as const) {
      const { cache, other, store } = await fill();
      await cache.clear(options);
      expect(await keysOf(other.list())).toEqual(left);
      for (const key of all)
        expect(await cache.get(key)).toBe((left as readonly string[]).includes(key) ? key : undefined);
      expect(await store.head("cache/.bucketcache/lease")).toBeDefined();
      expect(await store.head("elsewhere/a/1")).toBeDefined();
    }
  });

  test("clear by name takes the name as wrap does", async () => {
    const { cache } = openCaches();
    const fn = vi.fn(() => 1);
    const wrapped = cache.wrap(fn, { name: "f<T>" });
    await wrapped();
    await cache.clear({ name: "f<T>" });
    await wrapped();
    expect(fn).toHaveBeenCalledTimes(2);
  });

  test.each([
    ["a lone surrogate", "a\ud800"],
    ["a control character", "a\u0000"],
    ["no text", 5],
  ])("a prefix that no key can begin with is a TypeError: %s", async (_name, prefix) => {
    const { cache } = await fill();
    await expect(keysOf(cache.list({ prefix: prefix as string }))).rejects.toThrow(TypeError);
    await expect(cache.clear({ prefix: prefix as string })).rejects.toThrow(TypeError);
    expect(await keysOf(cache.list())).toEqual(all);
    expect(() => createCache({ store: memoryStore(), prefix: prefix as string })).toThrow(TypeError);
  });

  test("a prefix may be a whole key, as long as keys may be, and end anywhere in one", async () => {
    const { cache } = openCaches();
    const key = `a/${"x".repeat(255)}`;
    await cache.set(key, 1);
    for (const prefix of [key, "a/", "a"]) expect(await keysOf(cache.list({ prefix }))).toEqual([key]);
    await cache.clear({ prefix: key });
    expect(await cache.get(key)).toBeUndefined();
  });

  test("clear needs to be told what", async () => {
    const { cache } = await fill();
    for (const options of [
      undefined,
      {},
      { prefix: "" },
      { name: "" },
      { all: false },
      { prefix: undefined },
      { name: "/" },
    ]) {
      await expect(cache.clear(options as never)).rejects.toThrow(TypeError);
    }
    // Somebody meant one of them, and it was not to delete everything.
    await expect(cache.clear({ all: true, prefix: "a/" } as never)).rejects.toThrow(TypeError);
    expect(await keysOf(cache.list())).toEqual(all);
  });

  test("clear of more than one batch", async () => {
    const inner = memoryStore();
    const store = watchedStore(inner);
    for (let i = 0; i < 2_100; i++) {
      await inner.put(`cache/${i}`, new Uint8Array(), { contentType: "x/y", metadata: {} });
    }
    await openCaches({ store }).cache.clear({ all: true });
    expect(store.operations().filter((operation) => operation === "deleteMany")).toHaveLength(3);
    expect(await keysOf(inner.list(""))).toEqual([]);
  });
});

describe("custom codecs", () => {
  class Money {
    readonly cents: number;
    constructor(cents: number) {
      this.cents = cents;
    }
  }
  const money: Codec = {
    name: "money",
    contentType: "text/x-money",
    accepts: (value) => value instanceof Money,
    encode: (value: Money) => String(value.cents),
    decode: (body) => new Money(Number(new TextDecoder().decode(body))),
  };

  test("store what they accept, in both layers, and functions may return it", async () => {
    const { cache, other, store } = openCaches({ codecs: [money] });
    await cache.set("k", new Money(5));
    expect((await store.head("cache/k"))!.contentType).toBe("text/x-money");
    for (const reader of [cache, other]) {
      expect(await reader.get("k")).toEqual(new Money(5));
      expect(await reader.get("k")).toBeInstanceOf(Money);
    }
    const fn = () => new Money(7);
    expect(await cache.wrap(fn, { name: "f" })()).toEqual(new Money(7));
    expect(await other.wrap(fn, { name: "f" })()).toBeInstanceOf(Money);
  });

  test("come before the built-in ones, also for bytes and Blobs", async () => {
    const shout: Codec = {
      name: "shout",
      contentType: "text/plain",
      accepts: (value) => typeof value === "string" || value instanceof Uint8Array || value instanceof Blob,
      encode: (value: string | Uint8Array | Blob) => (value instanceof Blob ? `blob of ${value.size}` : value),
      decode: (body) => `${new TextDecoder().decode(body)}!`,
    };
    const { cache, other } = openCaches({ codecs: [shout] });
    await cache.set("text", "a");
    const bytes = new Uint8Array([98]);
    const setting = cache.set("bytes", bytes, { compress: true });
    bytes[0] = 99;
    await setting;
    await cache.set("blob", new Blob(["abc"]));
    expect(await other.getMany(["text", "bytes", "blob"])).toEqual(["a!", "b!", "blob of 3!"]);
  });

  test("that throw on encoding reject, and on decoding are damage", async () => {
    const broken: Codec = {
      ...money,
      encode: () => {
        throw new RangeError("cannot");
      },
    };
    const { cache, store } = openCaches({ codecs: [broken] });
    await expect(cache.set("k", new Money(1))).rejects.toThrow(RangeError);
    await openCaches({ store, codecs: [money] }).cache.set("k", new Money(1));
    const { cache: reader } = openCaches({
      store,
      codecs: [
        {
          ...money,
          decode: () => {
            throw new RangeError("cannot");
          },
        },
      ],
    });
    const errors = recordEvents(reader, "error");
    expect(await reader.get("k")).toBeUndefined();
    expect(errors).toMatchObject([{ error: { code: "ERR_DAMAGED", cause: expect.any(RangeError) } }]);
  });

  test("with a name that is taken or no token are a TypeError", () => {
    for (const name of ["json", "text", "bytes", "tagged", "", "a b", "ä"]) {
      expect(() => openCaches({ codecs: [{ ...money, name }] })).toThrow(TypeError);
    }
    expect(() => openCaches({ codecs: [money, money] })).toThrow(/taken/);
  });
});

describe("wrap", () => {
  test("1,000 concurrent calls on a cold key are one GET, one call, one PUT; on a warm bucket one GET", async () => {
    const { cache, other } = openCaches();
    const fn = vi.fn(async (n: number) => ({ n }));
    const wrapped = cache.wrap(fn, { name: "fn" });
    const results = await Promise.all(Array.from({ length: 1000 }, () => wrapped(1)));
    expect(new Set(results.map((r) => r.n))).toEqual(new Set([1]));
    expect(fn).toHaveBeenCalledTimes(1);
    expect(cache.stats()).toMatchObject({ calls: 1, store: { reads: 1, writes: 1 } });
    const warm = other.wrap(fn, { name: "fn" });
    await Promise.all(Array.from({ length: 1000 }, () => warm(1)));
    expect(fn).toHaveBeenCalledTimes(1);
    expect(other.stats()).toMatchObject({ calls: 0, store: { reads: 1, writes: 0 } });
  });
});

describe("createCache", () => {
  test("does nothing until it is used", () => {
    const { store } = openCaches();
    expect(store.calls).toEqual([]);
  });

  test("leaves two caches on one store independent, but for the store", async () => {
    const { cache, other } = openCaches();
    await cache.set("k", 1);
    expect(other.stats().memory.entries).toBe(0);
    const listener = vi.fn();
    other.on("set", listener);
    await cache.set("k", 2);
    expect(listener).not.toHaveBeenCalled();
  });
});
