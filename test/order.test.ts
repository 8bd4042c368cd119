import { describe, expect, test } from "vitest";
import { cacheKey } from "bucketcache";
import { deferred } from "./support/deferred.js";
import { recordEvents, openCaches } from "./support/stores.js";

describe("a late load never overwrites a newer value", () => {
  test("a set while a getOrSet computes wins in both layers, and the load's caller gets what it loaded", async () => {
    const { cache, other } = openCaches();
    const gate = deferred<string>();
    const loading = cache.getOrSet("k", () => gate.promise);
    await cache.set("k", "newer");
    gate.resolve("older");
    expect(await loading).toBe("older");
    expect(await cache.get("k")).toBe("newer");
    expect(await other.get("k")).toBe("newer");
  });

  test("a delete while a wrapped function computes wins in both layers", async () => {
    const { cache, store } = openCaches();
    const gate = deferred<string>();
    const wrapped = cache.wrap(() => gate.promise, { name: "f" });
    const loading = wrapped();
    await wrapped.invalidate();
    gate.resolve("older");
    expect(await loading).toBe("older");
    expect(await wrapped.peek()).toBeUndefined();
    expect(store.operations()).not.toContain("put");
  });

  test("a set by another process while a load computes wins: 412, neither in the store nor in memory", async () => {
    const { cache, other } = openCaches();
    const gate = deferred<string>();
    const loading = cache.getOrSet("k", () => gate.promise);
    await other.set("k", "newer");
    gate.resolve("older");
    expect(await loading).toBe("older");
    expect(await cache.get("k")).toBe("newer");
    expect(cache.stats().memory.entries).toBe(1);
  });

  test("over an expired or damaged object a load writes only where that is still there", async () => {
    const { cache, other, store } = openCaches();
    await store.put("cache/k", new TextEncoder().encode("{"), {
      contentType: "application/json",
      metadata: { entry: "v=1, created=1.0, codec=json, nonce=:AAAAAAAAAAAAAAAAAAAAAA==:" },
    });
    const gate = deferred<string>();
    const loading = cache.getOrSet("k", () => gate.promise);
    await other.set("k", "newer");
    gate.resolve("older");
    expect(await loading).toBe("older");
    expect(await other.get("k")).toBe("newer");
    expect(store.calls.find(({ operation, options }) => operation === "put" && options["ifMatch"])).toBeDefined();
  });

  test("a load that starts after a set begins sees what that set writes", async () => {
    const { cache, store } = openCaches({ memory: false });
    const put = store.hold("put");
    const setting = cache.set("k", "set");
    const loading = cache.getOrSet("k", () => "loaded");
    await put.reached;
    put.open();
    await setting;
    expect(await loading).toBe("set");
  });

  test("a load that starts while a delete is under way is kept", async () => {
    const { cache, store } = openCaches();
    await cache.set("k", "old");
    const gate = store.hold("delete");
    const deleting = cache.delete("k");
    const loading = cache.getOrSet("k", () => "new");
    await gate.reached;
    gate.open();
    await deleting;
    expect(await loading).toBe("new");
    expect(await cache.getEntry("k")).toMatchObject({ value: "new", source: "memory" });
  });

  test("a read that was overtaken by a set returns what it saw, and does not bring it back into memory", async () => {
    const { cache, other, store } = openCaches();
    await other.set("k", "old");
    const gate = store.hold("get", "after");
    const reading = cache.get("k");
    await gate.reached;
    await cache.set("k", "new");
    gate.open();
    expect(await reading).toBe("old");
    expect(await cache.get("k")).toBe("new");
  });

  test("a read that was overtaken by a load does not bring the old value back into memory", async () => {
    const { cache, other, store } = openCaches();
    const key = cacheKey("f", []);
    await other.set(key, "of nobody");
    const gate = store.hold("get", "after");
    const reading = cache.get(key);
    await gate.reached;
    const wrapped = cache.wrap(() => "computed", { name: "f" });
    await wrapped.refresh();
    gate.open();
    expect(await reading).toBe("of nobody");
    expect(await cache.get(key)).toBe("computed");
  });

  test("refresh counts as newer than a load that began before it", async () => {
    const { cache, store } = openCaches({ memory: false });
    const gates = [deferred<string>(), deferred<string>()];
    let calls = 0;
    const wrapped = cache.wrap(() => gates[calls++]!.promise, { name: "f" });
    const first = wrapped();
    await expect.poll(() => calls).toBe(1);
    const refreshing = wrapped.refresh();
    await expect.poll(() => calls).toBe(2);
    gates[1]!.resolve("refreshed");
    expect(await refreshing).toBe("refreshed");
    // Who calls now must not be given what the older load is about to find.
    const later = wrapped();
    gates[0]!.resolve("older");
    expect(await first).toBe("older");
    expect(await later).toBe("refreshed");
    expect(store.operations().filter((operation) => operation === "put")).toHaveLength(1);
  });
});

describe("writes of one key follow each other", () => {
  test("concurrent sets end the same in both layers: the last one asked for", async () => {
    const { cache, other } = openCaches();
    await cache.set("k", "zero");
    await Promise.all(["one", "two", "three"].map((value) => cache.set("k", value)));
    expect(await cache.getEntry("k")).toMatchObject({ value: "three", source: "memory" });
    expect(await other.get("k")).toBe("three");
  });

  test("the kind of body makes no difference to the order", async () => {
    const { cache, store } = openCaches();
    const { cache: other } = openCaches({ store, memory: false });
    await Promise.all([cache.set("k", new Blob(["blob"])), cache.set("k", "text")]);
    expect(await cache.get("k")).toBe("text");
    expect(await other.get("k")).toBe("text");
    await Promise.all([cache.set("k", "text"), cache.set("k", new Blob(["blob"]))]);
    expect(await cache.get("k")).toEqual(new TextEncoder().encode("blob"));
    expect(await other.get("k")).toEqual(new TextEncoder().encode("blob"));
  });

  test("a set after a delete, and after a deleteMany, that are still under way wins", async () => {
    for (const method of ["delete", "deleteMany"] as const) {
      const { cache, other, store } = openCaches();
      await cache.set("k", "old");
      const gate = store.hold(method);
      const deleting = method === "delete" ? cache.delete("k") : cache.deleteMany(["k"]);
      await gate.reached;
      const setting = cache.set("k", "new");
      gate.open();
      await Promise.all([deleting, setting]);
      expect(await cache.get("k")).toBe("new");
      expect(await other.get("k")).toBe("new");
    }
  });

  test("a failed set leaves memory to ask the store", async () => {
    const { cache, store } = openCaches();
    await cache.set("k", "old");
    const put = store.put;
    store.put = () => Promise.reject(new Error("connection reset"));
    await expect(cache.set("k", "new")).rejects.toMatchObject({ code: "ERR_UNAVAILABLE" });
    store.put = put;
    expect(await cache.getEntry("k")).toMatchObject({ value: "old", source: "store" });
  });

  test("a failed set does not disturb the one queued behind it", async () => {
    const { cache, other, store } = openCaches();
    const put = store.put;
    store.put = () => {
      store.put = put;
      return Promise.reject(new Error("connection reset"));
    };
    const results = await Promise.allSettled([cache.set("k", 1), cache.set("k", 2)]);
    expect(results.map(({ status }) => status)).toEqual(["rejected", "fulfilled"]);
    expect(await cache.getEntry("k")).toMatchObject({ value: 2, source: "memory" });
    expect(await other.get("k")).toBe(2);
  });

  test("different keys never wait for each other", async () => {
    const { cache, store } = openCaches();
    const gate = store.hold("put");
    const stuck = cache.set("a", 1);
    await gate.reached;
    await cache.set("b", 2);
    expect(await cache.getOrSet("c", () => 3)).toBe(3);
    gate.open();
    await stuck;
  });
});

describe("background writes", () => {
  test("are read back at once, with and without memory, streams too", async () => {
    for (const memory of [{}, false] as const) {
      const { cache, other, store } = openCaches({ write: "background", memory });
      const gate = store.hold("put");
      await cache.set("k", "v");
      const reading = [cache.get("k"), cache.has("k")] as const;
      const streaming = cache.getStream("k");
      await gate.reached;
      gate.open();
      expect(await Promise.all(reading)).toEqual(["v", true]);
      expect(await new Response((await streaming)!).text()).toBe("v");
      await cache.flush();
      expect(await other.get("k")).toBe("v");
    }
  });

  test("a wrapped function returns before its result is stored, and flush waits for it", async () => {
    const { cache, other, store } = openCaches();
    let calls = 0;
    const fn = () => ++calls;
    const wrapped = cache.wrap(fn, { name: "f", write: "background" });
    const gate = store.hold("put");
    expect(await wrapped()).toBe(1);
    await gate.reached;
    expect(await wrapped()).toBe(1);
    expect(await other.wrap(fn, { name: "f" }).peek()).toBeUndefined();
    gate.open();
    await cache.flush();
    expect(await other.wrap(fn, { name: "f" })()).toBe(1);
  });

  test("a set and a delete overtake the background write of a load", async () => {
    const { cache, other, store } = openCaches();
    const wrapped = cache.wrap(() => "computed", { name: "f", write: "background" });
    const gate = store.hold("put");
    expect(await wrapped()).toBe("computed");
    await gate.reached;
    const setting = cache.set(wrapped.keyOf(), "set");
    gate.open();
    await setting;
    await cache.flush();
    expect(await cache.get(wrapped.keyOf())).toBe("set");
    expect(await other.get(wrapped.keyOf())).toBe("set");
  });

  test("a lost one is told, forgotten by memory, and given to waitUntil without a rejection", async () => {
    const { cache, store } = openCaches();
    const errors = recordEvents(cache, "error");
    const given: Promise<unknown>[] = [];
    store.put = () => Promise.reject(new Error("connection reset"));
    await cache.set("k", 1, { write: "background", waitUntil: (promise) => given.push(promise) });
    expect(given).toHaveLength(1);
    await Promise.all(given);
    expect(errors).toMatchObject([{ key: "k", error: { code: "ERR_UNAVAILABLE" } }]);
    expect(await cache.get("k")).toBeUndefined();
  });

  test("clear and deleteMany delete what is still being written", async () => {
    for (const method of ["clear", "deleteMany"] as const) {
      const { cache, other, store } = openCaches();
      const gate = store.hold("put");
      await cache.set("k", 1, { write: "background" });
      await gate.reached;
      const deleting = method === "clear" ? cache.clear({ all: true }) : cache.deleteMany(["k"]);
      gate.open();
      await deleting;
      await cache.flush();
      expect(await cache.get("k")).toBeUndefined();
      expect(await other.get("k")).toBeUndefined();
    }
  });

  test("clear voids the loads that are under way", async () => {
    const { cache, other } = openCaches();
    const gate = deferred<number>();
    const loading = cache.getOrSet("a/k", () => gate.promise);
    const kept = cache.getOrSet("b/k", () => gate.promise);
    await cache.clear({ prefix: "a/" });
    gate.resolve(1);
    expect(await Promise.all([loading, kept])).toEqual([1, 1]);
    expect(await other.get("a/k")).toBeUndefined();
    expect(await other.get("b/k")).toBe(1);
  });
});

describe("what is stored is what was there at the call", () => {
  const kinds = [
    ["bytes", () => new Uint8Array([1, 2, 3]), (value: Uint8Array) => void (value[0] = 9)],
    ["a Buffer", () => Buffer.from([1, 2, 3]), (value: Uint8Array) => void (value[0] = 9)],
    [
      "an ArrayBuffer",
      () => new Uint8Array([1, 2, 3]).buffer,
      (value: ArrayBuffer) => void (new Uint8Array(value)[0] = 9),
    ],
    ["an object", () => ({ a: 1 }), (value: { a: number }) => void (value.a = 9)],
    ["a map", () => new Map([["a", 1]]), (value: Map<string, number>) => void value.set("a", 9)],
  ] as [string, () => object, (value: never) => void][];

  test.each(kinds)("%s changed right after set", async (_kind, build, change) => {
    for (const write of ["await", "background"] as const) {
      const { cache, other } = openCaches({ write, compress: true, memory: { isolation: "clone" } });
      await cache.set("fresh", build());
      const value = build();
      const setting = cache.set("k", value);
      change(value as never);
      await setting;
      await cache.flush();
      const expected = await other.get("fresh");
      expect(await cache.getEntry("k")).toMatchObject({ value: expected, source: "memory" });
      expect(await other.get("k")).toEqual(expected);
    }
  });

  test("a buffer that is used again after an awaited set", async () => {
    const { cache, other } = openCaches();
    const buffer = new Uint8Array([1, 2, 3]);
    await cache.set("k", buffer);
    buffer.fill(9);
    expect(await cache.get("k")).toEqual(new Uint8Array([1, 2, 3]));
    expect(await other.get("k")).toEqual(new Uint8Array([1, 2, 3]));
  });
});
