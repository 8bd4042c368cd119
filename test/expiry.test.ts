import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { BucketCacheError } from "bucketcache";
import { memoryStore } from "bucketcache/memory";
import { deferred } from "./support/deferred.js";
import { recordEvents, openCaches, putForeign, readObject, textOf, watchedStore } from "./support/stores.js";

const START = new Date("2026-11-22T12:00:00Z").getTime();

beforeEach(() => void vi.useFakeTimers({ now: START }));
afterEach(() => void vi.useRealTimers());

const pass = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1000);

describe("the life of an entry", () => {
  test("ends when now reaches expires_at, in both layers, and not before", async () => {
    const { cache, other } = openCaches();
    await cache.set("k", "v", { ttl: 10 });
    pass(9.999);
    expect(await cache.getEntry("k")).toMatchObject({ value: "v", source: "memory" });
    expect(await other.getEntry("k")).toMatchObject({ value: "v", source: "store" });
    pass(0.001);
    expect(await cache.get("k")).toBeUndefined();
    expect(await other.get("k")).toBeUndefined();
    expect(await other.has("k")).toBe(false);
    expect(await other.getEntry("k")).toBeUndefined();
  });

  test("stands in the metadata as Unix seconds", async () => {
    const { cache, store } = openCaches();
    await cache.set("k", "v", { ttl: "90s" });
    const { metadata } = (await store.head("cache/k"))!;
    expect(metadata["expires_at"]).toBe(String(START / 1000 + 90));
    expect(metadata["entry"]).toMatch(
      new RegExp(`^v=1, created=${START / 1000}\\.0, codec=text, nonce=:[\\w+/]{22}==:$`),
    );
    expect(await cache.getEntry("k")).toMatchObject({
      createdAt: new Date(START),
      expiresAt: new Date(START + 90_000),
    });
  });

  test("is for ever without a ttl, and with Infinity over the cache's ttl", async () => {
    const { cache, store } = openCaches({ ttl: "1m" });
    await cache.set("k", "v", { ttl: Infinity });
    expect((await store.head("cache/k"))!.metadata).not.toHaveProperty("expires_at");
    pass(1e9);
    expect(await cache.get("k")).toBe("v");
    await cache.set("short", "v");
    pass(60);
    expect(await cache.get("short")).toBeUndefined();
  });

  test("an entry that is reloaded into memory keeps its end", async () => {
    const { cache, other } = openCaches();
    await cache.set("k", "v", { ttl: 100 });
    pass(60);
    expect(await other.get("k")).toBe("v");
    pass(39);
    expect(await other.getEntry("k")).toMatchObject({ source: "memory", expiresAt: new Date(START + 100_000) });
    pass(1);
    expect(await other.get("k")).toBeUndefined();
  });

  test("a function result lives as long as ttl says, by value and arguments", async () => {
    const { cache } = openCaches();
    let calls = 0;
    const wrapped = cache.wrap((n: number) => ({ n, call: ++calls }), { name: "f", ttl: ({ n }, again) => n + again });
    await wrapped(5);
    pass(9.9);
    expect(await wrapped(5)).toEqual({ n: 5, call: 1 });
    pass(0.1);
    expect(await wrapped(5)).toEqual({ n: 5, call: 2 });
  });

  test.each([0, -1, NaN, "", "10", "1 h", "0s", "-1s", "1y", null, {}, 5n])(
    "%s is no ttl: a TypeError that names it, and nothing is stored",
    async (ttl) => {
      const { cache, store } = openCaches();
      const bad = { ttl: ttl as number };
      await expect(cache.set("k", 1, bad)).rejects.toThrow(/ttl must be/);
      await expect(cache.set("k", new Blob(["a"]), bad)).rejects.toThrow(/ttl must be/);
      await expect(cache.getOrSet("k", () => 1, bad)).rejects.toThrow(/ttl must be/);
      await expect(cache.getOrSet("k", () => 1, { ttl: () => ttl as number })).rejects.toThrow(/ttl must be/);
      await expect(cache.getOrSetStream("k", () => new Blob(["a"]), bad)).rejects.toThrow(/ttl must be/);
      expect(() => cache.wrap(() => 1, { name: "a", ...bad })).toThrow(/ttl must be/);
      await expect(cache.wrap(() => 1, { name: "b", ttl: () => ttl as number })()).rejects.toThrow(/ttl must be/);
      expect(() => openCaches({ store, ...bad })).toThrow(/ttl must be/);
      expect(store.operations()).not.toContain("put");
    },
  );

  test("a ttl function that throws rejects the call with its error", async () => {
    const { cache, store } = openCaches();
    const reason = new Error("no idea");
    const ttl = () => {
      throw reason;
    };
    await expect(cache.getOrSet("k", () => 1, { ttl })).rejects.toBe(reason);
    await expect(cache.wrap(() => 1, { name: "f", ttl })()).rejects.toBe(reason);
    expect(store.operations()).not.toContain("put");
  });
});

describe("an expired object", () => {
  const readers: [string, (cache: ReturnType<typeof openCaches>["cache"]) => Promise<unknown>][] = [
    ["get", (cache) => cache.get("k")],
    ["getEntry", (cache) => cache.getEntry("k")],
    ["getStream", (cache) => cache.getStream("k")],
    ["getResponse", (cache) => cache.getResponse("k")],
    ["getMany", async (cache) => (await cache.getMany(["k"]))[0]],
    ["has", async (cache) => (await cache.has("k")) || undefined],
  ];

  test.each(readers)("is deleted on its first expired read: %s", async (_name, read) => {
    const { cache, other, store } = openCaches();
    const expired = recordEvents(other, "expire");
    await cache.set("k", "v", { ttl: 10 });
    const { etag } = (await store.head("cache/k"))!;
    pass(10);
    expect(await read(other)).toBeUndefined();
    await other.flush();
    expect(await store.head("cache/k")).toBeUndefined();
    expect(expired[0]).toEqual({ key: "k" });
    expect(store.calls.find(({ operation }) => operation === "delete")?.options).toEqual({ ifMatch: etag });
  });

  test("is told of once, also where memory held it", async () => {
    const { cache } = openCaches();
    const told = recordEvents(cache, "expire");
    await cache.set("k", "v", { ttl: 10 });
    pass(10);
    expect(await cache.get("k")).toBeUndefined();
    await cache.flush();
    expect(await cache.get("k")).toBeUndefined();
    expect(told).toEqual([{ key: "k" }]);
    expect(cache.stats().memory.entries).toBe(0);
  });

  test("is told of where only memory still held it", async () => {
    const { cache, other } = openCaches();
    const told = recordEvents(cache, "expire");
    await cache.set("k", "v", { ttl: 10 });
    await other.delete("k");
    pass(10);
    expect(await cache.get("k")).toBeUndefined();
    expect(told).toEqual([{ key: "k" }]);
  });

  test("its reader does not wait for that, and waitUntil does", async () => {
    const { cache, other, store } = openCaches();
    await cache.set("k", "v", { ttl: 10 });
    pass(10);
    const gate = store.hold("head");
    const given: Promise<unknown>[] = [];
    expect(await other.get("k", { waitUntil: (promise) => given.push(promise) })).toBeUndefined();
    await gate.reached;
    expect(given.length).toBeGreaterThan(0);
    gate.open();
    await Promise.all(given);
    expect(await store.head("cache/k")).toBeUndefined();
  });

  test("a value written before the HEAD survives", async () => {
    const { cache, other, store } = openCaches();
    await cache.set("k", "old", { ttl: 10 });
    pass(10);
    const gate = store.hold("head");
    expect(await other.get("k")).toBeUndefined();
    await gate.reached;
    await cache.set("k", "new", { ttl: 10 });
    gate.open();
    await other.flush();
    expect(store.operations()).not.toContain("delete");
    expect(await other.get("k")).toBe("new");
  });

  test("the very same bytes written before the HEAD survive", async () => {
    const { cache, other, store } = openCaches();
    await cache.set("k", "same", { ttl: 10 });
    pass(10);
    const gate = store.hold("head");
    expect(await other.get("k")).toBeUndefined();
    await gate.reached;
    await cache.set("k", "same", { ttl: 10 });
    gate.open();
    await other.flush();
    expect(store.operations()).not.toContain("delete");
    expect(await other.get("k")).toBe("same");
  });

  test("a value written between HEAD and DELETE survives where the store honours If-Match", async () => {
    const { cache, other, store } = openCaches();
    const errors = recordEvents(other, "error");
    await cache.set("k", "old", { ttl: 10 });
    pass(10);
    const gate = store.hold("delete");
    expect(await other.get("k")).toBeUndefined();
    await gate.reached;
    await cache.set("k", "new", { ttl: 10 });
    gate.open();
    await other.flush();
    expect(await other.get("k")).toBe("new");
    expect(errors).toEqual([]);
  });

  test("a set of this process waits for the deletion, and survives", async () => {
    const { cache, other, store } = openCaches();
    await cache.set("k", "old", { ttl: 10 });
    pass(10);
    // A store that ignores If-Match, as MinIO does.
    const { delete: remove } = store;
    store.delete = (key, options) => remove(key, { signal: options?.signal });
    const gate = store.hold("delete");
    expect(await other.get("k")).toBeUndefined();
    await gate.reached;
    const setting = other.set("k", "new");
    gate.open();
    await setting;
    await other.flush();
    expect((await readObject(store, "cache/k"))?.bytes).toEqual(new TextEncoder().encode("new"));
  });

  test("of a versioned bucket is deleted by its version", async () => {
    const { cache, other, store } = openCaches();
    await cache.set("k", "v", { ttl: 10 });
    const head = store.head;
    store.head = async (...args) => {
      const found = await head(...args);
      return found && { ...found, versionId: "version-1" };
    };
    pass(10);
    await other.get("k");
    await other.flush();
    expect(store.calls.find(({ operation }) => operation === "delete")?.options).toMatchObject({
      versionId: "version-1",
    });
  });

  test("stays with deleteExpired: false", async () => {
    const { cache, other, store } = openCaches({ deleteExpired: false });
    await cache.set("k", "v", { ttl: 10 });
    pass(10);
    expect(await other.get("k")).toBeUndefined();
    await other.flush();
    expect(store.operations()).not.toContain("delete");
  });

  test("stays until deleteGrace is over, and is a miss all the same", async () => {
    const { cache, other, store } = openCaches({ deleteGrace: "1m" });
    await cache.set("k", "v", { ttl: 10 });
    pass(69);
    expect(await other.get("k")).toBeUndefined();
    await other.flush();
    expect(store.operations()).not.toContain("delete");
    pass(1);
    expect(await other.get("k")).toBeUndefined();
    await other.flush();
    expect(await store.head("cache/k")).toBeUndefined();
  });

  test("is not deleted by a function about to overwrite it, nor by who reads meanwhile", async () => {
    for (const name of ["f", "f<g>"]) {
      const { cache, other, store } = openCaches();
      const values = ["first"];
      const gate = deferred<string>();
      const fn = () => values.pop() ?? gate.promise;
      const key = cache.wrap(fn, { name, ttl: 10 }).keyOf();
      await cache.wrap(fn, { name, ttl: 10 })();
      pass(10);
      const reading = store.hold("get", "after");
      const computing = other.wrap(fn, { name, ttl: 10 })();
      await reading.reached;
      reading.open();
      await vi.advanceTimersByTimeAsync(0);
      expect(await other.get(key)).toBeUndefined();
      gate.resolve("second");
      expect(await computing).toBe("second");
      await other.flush();
      expect(store.operations()).not.toContain("delete");
      expect(await cache.get(key)).toBe("second");
    }
  });

  test("is left alone, without trouble, by those who may not delete", async () => {
    for (const code of ["ERR_FORBIDDEN", "ERR_UNSUPPORTED"] as const) {
      const { cache, other, store } = openCaches();
      const errors = recordEvents(other, "error");
      await cache.set("k", "v", { ttl: 10 });
      store.delete = () => Promise.reject(new BucketCacheError(code, "you may not"));
      pass(10);
      expect(await other.get("k")).toBeUndefined();
      await other.flush();
      expect(errors).toEqual([]);
      expect(await other.getOrSet("k", () => "new")).toBe("new");
    }
  });

  test("a deletion that fails otherwise is told", async () => {
    const { cache, other, store } = openCaches();
    const errors = recordEvents(other, "error");
    await cache.set("k", "v", { ttl: 10 });
    store.delete = () => Promise.reject(new Error("reset"));
    pass(10);
    expect(await other.get("k")).toBeUndefined();
    await other.flush();
    expect(errors).toMatchObject([{ key: "k", error: { code: "ERR_UNAVAILABLE", key: "cache/k" } }]);
  });

  test("of a Python program goes the same way", async () => {
    const { cache, store } = openCaches();
    await putForeign(store, "cache/k", "old", { expires_at: String(START / 1000 - 0.5) });
    expect(await cache.get("k")).toBeUndefined();
    await cache.flush();
    expect(await store.head("cache/k")).toBeUndefined();
  });

  test("whose end is malformed is damaged: a miss, told, never for ever, and not deleted", async () => {
    for (const end of ["soon", "", "NaN", "Infinity", "1e99", "0x10"]) {
      const { cache, store } = openCaches();
      const errors = recordEvents(cache, "error");
      await putForeign(store, "cache/k", "v", { expires_at: end });
      expect(await cache.get("k")).toBeUndefined();
      expect(await textOf(await cache.getStream("k"))).toBeUndefined();
      expect(await cache.has("k")).toBe(false);
      await cache.flush();
      expect(errors[0]).toMatchObject({ key: "k", error: { code: "ERR_DAMAGED", key: "cache/k" } });
      expect(await store.head("cache/k")).toBeDefined();
    }
  });
});

describe("a wrong local clock", () => {
  /** A store whose own time is right, seen by a process whose clock is `error` seconds off. */
  function skewed(error: number) {
    const inner = memoryStore();
    const right = openCaches({ store: Object.assign(watchedStore(inner), { skew: 0 }) });
    const wrong = openCaches({ store: Object.assign(watchedStore(inner), { skew: -error * 1000 }) });
    /** Runs with the wrong clock. */
    const there = async <T>(work: () => Promise<T>): Promise<T> => {
      vi.setSystemTime(Date.now() + error * 1000);
      const result = await work();
      vi.setSystemTime(Date.now() - error * 1000);
      return result;
    };
    return { right: right.cache, wrong: wrong.cache, there, store: right.store };
  }

  test.each([7200, -7200, 3, -3])("of %d s neither prolongs nor shortens an entry that is read", async (error) => {
    const { right, wrong, there } = skewed(error);
    await right.set("k", "v", { ttl: 60 });
    pass(59);
    expect(await there(() => wrong.get("k"))).toBe("v");
    expect(await there(() => wrong.getEntry("k"))).toMatchObject({ source: "memory" });
    pass(1);
    expect(await there(() => wrong.get("k"))).toBeUndefined();
  });

  test.each([7200, -7200])("of %d s neither prolongs nor shortens an entry that is loaded", async (error) => {
    const { right, wrong, there, store } = skewed(error);
    await there(async () => {
      await wrong.set("teaches", 1);
      await wrong.has("teaches");
      await wrong.get("nothing");
      await wrong.getStream("teaches").then((stream) => stream?.cancel());
      await wrong.getOrSet("k", () => "v", { ttl: 60 });
    });
    expect((await store.head("cache/k"))!.metadata["expires_at"]).toBe(String(Date.now() / 1000 + 60));
    pass(59);
    expect(await right.get("k")).toBe("v");
    expect(await there(() => wrong.getEntry("k"))).toMatchObject({ source: "memory" });
    pass(1);
    expect(await right.get("k")).toBeUndefined();
    expect(await there(() => wrong.get("k"))).toBeUndefined();
  });

  test("a stream that is the very first thing stored asks for the time first", async () => {
    const { right, wrong, there, store } = skewed(7200);
    await right.set("k", "old");
    await there(() => wrong.set("k", new Blob(["v"]), { ttl: 60 }));
    expect((await store.head("cache/k"))!.metadata["expires_at"]).toBe(String(Date.now() / 1000 + 60));
  });

  test("a difference of up to two seconds is none", async () => {
    const { right, wrong, there } = skewed(1.9);
    await right.set("k", "v", { ttl: 60 });
    expect(await there(() => wrong.get("k"))).toBe("v");
    expect(await there(() => wrong.set("own", "v", { ttl: 1 }).then(() => wrong.get("own")))).toBe("v");
  });
});
