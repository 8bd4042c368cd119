import { afterEach, describe, expect, test, vi } from "vitest";
import { cacheKey } from "bucketcache";
import { recordEvents, openCaches } from "./support/stores.js";

afterEach(() => void vi.useRealTimers());

const sourceOf = async (cache: ReturnType<typeof openCaches>["cache"], key: string) =>
  (await cache.getEntry(key))?.source;

test.each(["1ms", "1h", "30d", "36500d"] as const)(
  "memory says of an entry that lives %s what the store says",
  async (ttl) => {
    vi.useFakeTimers({ now: Date.UTC(2026, 10, 22, 3, 4, 5, 678), toFake: ["Date"] });
    const { cache, other } = openCaches();
    await cache.set("k", { a: 1 }, { ttl });
    const [inMemory, inStore] = [await cache.getEntry("k"), await other.getEntry("k")];
    expect([inMemory?.source, inStore?.source]).toEqual(["memory", "store"]);
    expect({ ...inMemory, source: "store" }).toEqual(inStore);
    // Read from the store into the other's memory, and said from there.
    expect({ ...(await other.getEntry("k")), source: "store" }).toEqual(inStore);
  },
);

test("a function that takes the place of another finds in memory what that one left, and no other name does", async () => {
  const { cache } = openCaches();
  const calls: string[] = [];
  const wrap = (name: string) => cache.wrap((text: string) => calls.push(text), { name, replace: true });
  expect(await wrap("f")("a")).toBe(1);
  const { reads } = cache.stats().store;
  expect(await wrap("f")("a")).toBe(1);
  expect(cache.stats().store.reads).toBe(reads);
  const [angled, plain] = [wrap("<"), wrap("_")];
  expect(await angled("a")).toBe(2);
  // Both are `_` in object keys.
  expect(await plain("a")).toBe(3);
});

describe("bounds", () => {
  test("by entries: the least recently used leaves, its object stays", async () => {
    const { cache, store } = openCaches({ memory: { maxEntries: 2 } });
    const evicted = recordEvents(cache, "evict");
    await cache.set("a", 1);
    await cache.set("b", 2);
    await cache.get("a");
    await cache.set("c", 3);
    expect(evicted).toEqual([{ key: "b", size: expect.any(Number) }]);
    expect(cache.stats().memory).toMatchObject({ entries: 2, evictions: 1 });
    expect(await sourceOf(cache, "a")).toBe("memory");
    expect(await sourceOf(cache, "c")).toBe("memory");
    expect(await store.head("cache/b")).toBeDefined();
    expect(await sourceOf(cache, "b")).toBe("store");
  });

  test("by bytes, keys included", async () => {
    const { cache } = openCaches({ memory: { maxBytes: 1_000 } });
    await cache.set("k".repeat(200), "v".repeat(100));
    expect(cache.stats().memory.bytes).toBeGreaterThanOrEqual(300);
    expect(cache.stats().memory.bytes).toBeLessThan(500);
    for (let i = 0; i < 20; i++) await cache.set(`key-${i}`, "v".repeat(100));
    expect(cache.stats().memory.bytes).toBeLessThanOrEqual(1_000);
    expect(cache.stats().memory.entries).toBeGreaterThan(5);
    const before = cache.stats().memory;
    await cache.delete("key-19");
    expect(cache.stats().memory.entries).toBe(before.entries - 1);
    expect(cache.stats().memory.bytes).toBeLessThan(before.bytes - 100);
  });

  test("the arguments by which a function finds its results count too", async () => {
    const { cache } = openCaches({ memory: { maxBytes: 20_000 } });
    const wrapped = cache.wrap((_text: string) => 1, { name: "f" });
    for (let i = 0; i < 30; i++) await wrapped(`${i}`.padEnd(2_000, "x"));
    expect(cache.stats().memory.entries).toBeLessThan(11);
  });

  test("an entry larger than all of memory is not kept, and neither is the one it replaces", async () => {
    const { cache } = openCaches({ memory: { maxBytes: 500 } });
    await cache.set("small", 1);
    await cache.set("k", 1);
    await cache.set("k", "v".repeat(600));
    expect(cache.stats().memory).toMatchObject({ entries: 1, evictions: 0 });
    expect(await cache.get("k")).toBe("v".repeat(600));
    expect(await sourceOf(cache, "small")).toBe("memory");
  });

  test("the size that counts is the decoded one, however well it was compressed", async () => {
    const { other, cache } = openCaches();
    await cache.set("k", "v".repeat(10_000), { compress: true });
    await other.get("k");
    expect(other.stats().memory.bytes).toBeGreaterThanOrEqual(10_000);
    expect(cache.stats().memory.bytes).toBeGreaterThanOrEqual(10_000);
  });

  test.each([0, -1, NaN, "10"])("%s is no bound", (bound) => {
    expect(() => openCaches({ memory: { maxEntries: bound as number } })).toThrow(/memory\.maxEntries/);
    expect(() => openCaches({ memory: { maxBytes: bound as number } })).toThrow(/memory\.maxBytes/);
  });

  test("an evicted function result is read from the store again, and the function does not run", async () => {
    const { cache } = openCaches({ memory: { maxEntries: 1 } });
    const fn = vi.fn((n: number) => n);
    const wrapped = cache.wrap(fn, { name: "f" });
    for (const n of [1, 2, 1, 2]) expect(await wrapped(n)).toBe(n);
    expect(fn).toHaveBeenCalledTimes(2);
  });
});

describe("memory: false", () => {
  test("asks the store each time", async () => {
    const { cache } = openCaches({ memory: false });
    const wrapped = cache.wrap(() => 1, { name: "f" });
    await cache.set("k", "v");
    for (let i = 0; i < 3; i++) {
      expect(await sourceOf(cache, "k")).toBe("store");
      expect(await wrapped()).toBe(1);
      expect(await wrapped.peek()).toBe(1);
    }
    expect(cache.stats()).toMatchObject({ calls: 1, memory: { hits: 0, misses: 0, entries: 0, bytes: 0 } });
  });
});

describe("isolation", () => {
  const build = () => ({
    list: [1, 2],
    map: new Map([["a", { b: 1 }]]),
    bytes: new Uint8Array([1]),
    when: new Date(5),
  });
  type Value = ReturnType<typeof build>;
  const spoil = (value: Value) => {
    value.list.push(3);
    value.map.get("a")!.b = 2;
    value.bytes[0] = 9;
    value.when.setTime(0);
  };

  test("share, the default, gives everyone the same object", async () => {
    const { cache } = openCaches();
    const value = build();
    await cache.set("k", value);
    expect(await cache.get("k")).toBe(value);
    const wrapped = cache.wrap(() => value, { name: "f" });
    expect(await wrapped()).toBe(value);
    expect(await wrapped()).toBe(value);
  });

  test("clone gives each caller a copy, whichever way the value came", async () => {
    const { cache, other, store } = openCaches({ memory: { isolation: "clone" } });
    const own = build();
    await cache.set("set", own);
    spoil(own);
    const wrapped = cache.wrap(() => build(), { name: "f" });
    const ways: (() => Promise<unknown>)[] = [
      () => cache.get("set"),
      () => other.get("set"),
      () => cache.getEntry("set").then((entry) => entry?.value),
      () => cache.getMany(["set"]).then(([value]) => value),
      () => cache.getOrSet("loaded", () => build()),
      () => other.getOrSet("loaded", () => build()),
      () => wrapped(),
      () => wrapped.peek(),
      () => wrapped.refresh(),
    ];
    for (const way of [...ways, ...ways]) {
      const value = (await way()) as Value;
      expect(value).toEqual(build());
      spoil(value);
    }
    const together = await Promise.all([
      other.get("set"),
      other.get("set"),
      cache.getOrSet("x", build),
      cache.getOrSet("x", build),
    ]);
    expect(new Set(together).size).toBe(4);
    const uncached = cache.wrap(build, { name: "never", shouldCache: () => false });
    const [one, two] = await Promise.all([uncached(), uncached()]);
    expect(one).not.toBe(two);
    expect(store.operations()).toContain("put");
  });

  test("freeze gives objects that cannot be changed, and copies of what cannot be frozen", async () => {
    const { cache } = openCaches({ memory: { isolation: "freeze" } });
    const own = { list: [{ a: 1 }] };
    await cache.set("k", own);
    own.list.push({ a: 2 });
    const value = (await cache.get<typeof own>("k"))!;
    expect(value).toEqual({ list: [{ a: 1 }] });
    expect(() => value.list.push({ a: 3 })).toThrow(TypeError);
    expect(() => (value.list[0]!.a = 3)).toThrow(TypeError);
    expect(await cache.get("k")).toBe(value);
    await cache.set("exotic", build());
    spoil((await cache.get<Value>("exotic"))!);
    expect(await cache.get("exotic")).toEqual(build());
  });

  test("a key called __proto__ is data in copies, too", async () => {
    const { cache } = openCaches({ memory: { isolation: "clone" } });
    const value = JSON.parse('{"__proto__":{"admin":true}}') as object;
    await cache.set("k", value);
    const copy = (await cache.get<{ admin?: boolean }>("k"))!;
    expect(Object.getPrototypeOf(copy)).toBe(Object.prototype);
    expect(copy.admin).toBeUndefined();
    expect(JSON.stringify(copy)).toBe('{"__proto__":{"admin":true}}');
  });

  test("anything else is refused", () => {
    expect(() => openCaches({ memory: { isolation: "copy" as never } })).toThrow(/memory\.isolation must be/);
  });
});

describe("a value that reads back as something else, by its toJSON,", () => {
  const price = { toJSON: () => 5 };

  test("is the same from memory and from the store", async () => {
    for (const write of ["await", "background"] as const) {
      const { cache, other } = openCaches({ write });
      await cache.set("k", "old");
      await cache.set("k", { price });
      expect(await cache.get("k")).toEqual({ price: 5 });
      await cache.flush();
      expect(await cache.get("k")).toEqual({ price: 5 });
      expect(await other.get("k")).toEqual({ price: 5 });
    }
  });

  test("does not leave its predecessor in memory when a function returns it", async () => {
    const { cache } = openCaches();
    const values: unknown[] = [{ price }, "old"];
    const wrapped = cache.wrap(async () => values.pop(), { name: "f" });
    expect(await wrapped()).toBe("old");
    await wrapped.refresh();
    expect(await wrapped()).toEqual({ price: 5 });
  });
});

describe("revalidateAfter", () => {
  test("an explicit entry is checked by a conditional GET after 60 s, by default", async () => {
    vi.useFakeTimers();
    const { cache, other, store } = openCaches();
    await other.set("k", "v");
    await cache.get("k");
    const { etag, lastModified } = (await store.head("cache/k"))!;
    store.calls.length = 0;
    vi.advanceTimersByTime(59_999);
    expect(await sourceOf(cache, "k")).toBe("memory");
    expect(store.calls).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(await cache.getEntry("k")).toMatchObject({ value: "v", source: "store" });
    expect(store.calls).toMatchObject([{ operation: "get", options: { ifNoneMatch: etag, lastModified } }]);
    expect(await sourceOf(cache, "k")).toBe("memory");
    expect(store.calls).toHaveLength(1);
  });

  test("that is how another process's set, delete and metadata are seen", async () => {
    vi.useFakeTimers();
    const { cache, other } = openCaches({ memory: { revalidateAfter: "5s" } });
    for (const key of ["a", "b"]) {
      await cache.set(key, "old");
      await other.get(key);
    }
    await cache.set("a", "new");
    await cache.delete("b");
    expect(await other.getMany(["a", "b"])).toEqual(["old", "old"]);
    vi.advanceTimersByTime(5_000);
    expect(await other.getMany(["a", "b"])).toEqual(["new", undefined]);
    expect(await other.has("b")).toBe(false);
  });

  test("function results are never checked by default, and are when it is set", async () => {
    vi.useFakeTimers();
    for (const [memory, expected] of [
      [{}, 1],
      [{ revalidateAfter: 60 }, 2],
    ] as const) {
      const { cache, other } = openCaches({ memory });
      const fn = async () => 1;
      const wrapped = cache.wrap(fn, { name: "f" });
      await wrapped();
      await other.wrap(fn, { name: "f" }).invalidate();
      vi.advanceTimersByTime(3_600_000);
      await wrapped();
      expect(cache.stats().calls).toBe(expected);
    }
  });

  test("getOrSet checks as get does", async () => {
    vi.useFakeTimers();
    const { cache, other } = openCaches();
    await cache.getOrSet("k", () => "old");
    await other.set("k", "new");
    vi.advanceTimersByTime(60_000);
    expect(await cache.getOrSet("k", () => "never")).toBe("new");
  });

  test("304 renews only the time of the check, never the end", async () => {
    vi.useFakeTimers();
    const { cache, other } = openCaches({ memory: { revalidateAfter: 10 } });
    await other.set("k", "v", { ttl: 25 });
    await cache.get("k");
    for (const source of ["store", "store"]) {
      vi.advanceTimersByTime(10_000);
      expect(await sourceOf(cache, "k")).toBe(source);
    }
    vi.advanceTimersByTime(5_000);
    expect(await cache.get("k")).toBeUndefined();
  });

  test("what ends while the store confirms it is over", async () => {
    vi.useFakeTimers();
    const { cache, other, store } = openCaches({ memory: { revalidateAfter: 10 } });
    await other.set("k", "v", { ttl: 15 });
    await cache.get("k");
    vi.advanceTimersByTime(14_000);
    const gate = store.hold("get", "after");
    const reading = cache.get("k");
    await gate.reached;
    vi.advanceTimersByTime(1_000);
    gate.open();
    expect(await reading).toBeUndefined();
  });

  test.each(["by this process", "by another"])("an object written %s, and again with the same bytes", async (by) => {
    vi.useFakeTimers();
    const { cache, other } = openCaches({ memory: { revalidateAfter: 10 } });
    await (by === "by another" ? other : cache).set("k", "v", { ttl: 1_000 });
    await cache.get("k");
    vi.advanceTimersByTime(5_000);
    await other.set("k", "v", { ttl: 10 });
    vi.advanceTimersByTime(5_000);
    expect(await cache.get("k")).toBe("v");
    vi.advanceTimersByTime(5_000);
    expect(await cache.get("k")).toBeUndefined();
  });

  test("while the store is down, a copy that has not ended is served, with an event", async () => {
    vi.useFakeTimers();
    const { cache, store } = openCaches();
    const errors = recordEvents(cache, "error");
    await cache.set("k", "v", { ttl: "1h" });
    store.get = () => Promise.reject(new Error("down"));
    vi.advanceTimersByTime(60_000);
    expect(await cache.get("k")).toBe("v");
    expect(await cache.getOrSet("k", () => "computed")).toBe("v");
    const { cache: checking, store: failing } = openCaches({ memory: { revalidateAfter: 1 } });
    const wrapped = checking.wrap(() => "computed", { name: "f" });
    await wrapped();
    failing.get = () => Promise.reject(new Error("down"));
    vi.advanceTimersByTime(1_000);
    expect(await wrapped.peek()).toBe("computed");
    expect(errors).toMatchObject([{ key: "k", error: { code: "ERR_UNAVAILABLE" } }, {}]);
    vi.advanceTimersByTime(3_600_000);
    await expect(cache.get("k")).rejects.toMatchObject({ code: "ERR_UNAVAILABLE" });
  });
});

describe("memory never outlives the object's end", () => {
  test("also for what was read shortly before it, and for function results", async () => {
    vi.useFakeTimers();
    const { cache, other } = openCaches();
    const fn = vi.fn(() => "v");
    await cache.wrap(fn, { name: "f", ttl: 100 })();
    vi.advanceTimersByTime(99_000);
    const late = other.wrap(fn, { name: "f", ttl: 100 });
    expect(await late()).toBe("v");
    vi.advanceTimersByTime(1_000);
    await late();
    expect(fn).toHaveBeenCalledTimes(2);
    expect(await cache.get(cacheKey("f", []))).toBe("v");
    expect(fn).toHaveBeenCalledTimes(2);
  });
});
