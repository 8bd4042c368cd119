import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { gzipSync } from "node:zlib";
import { BucketCacheError, type Cache, isBucketCacheError, type ErrorCode, type ObjectStore } from "bucketcache";
import { memoryStore } from "bucketcache/memory";
import { faultyStore } from "bucketcache/testing";
import { recordEvents, openCaches, putForeign, watchedStore } from "./support/stores.js";

const unhandled: unknown[] = [];
const note = (reason: unknown) => void unhandled.push(reason);
beforeEach(() => void process.on("unhandledRejection", note));
afterEach(async () => {
  await new Promise((resolve) => setImmediate(resolve));
  process.off("unhandledRejection", note);
  expect(unhandled.splice(0)).toEqual([]);
});

/** A store whose every operation fails so. */
function failing(code: ErrorCode): ObjectStore {
  return faultyStore(memoryStore(), { faults: [{ error: new BucketCacheError(code, "as a store says it") }] });
}

describe("a store that is down", () => {
  test.each(["ERR_UNAVAILABLE", "ERR_TIMEOUT"] as const)(
    "%s: wrap and getOrSet run the function and tell",
    async (code) => {
      const { cache } = openCaches({ store: failing(code) });
      const errors = recordEvents(cache, "error");
      const fn = vi.fn((n: number) => n);
      const wrapped = cache.wrap(fn, { name: "f" });
      expect(await wrapped(1)).toBe(1);
      expect(await cache.getOrSet("k", () => "v")).toBe("v");
      expect(await wrapped.refresh(2)).toBe(2);
      expect(errors.length).toBeGreaterThanOrEqual(3);
      for (const { error } of errors) expect(error).toMatchObject({ code });
      expect(errors[1]!.key).toBe("k");
      // Memory still spares the next caller the function.
      expect(await wrapped(1)).toBe(1);
      expect(fn).toHaveBeenCalledTimes(2);
    },
  );

  test("what any store of the user's throws counts as down, and is the cause", async () => {
    const cause = new TypeError("fetch failed");
    const { cache } = openCaches({ store: faultyStore(memoryStore(), { faults: [{ error: cause }] }) });
    expect(await cache.getOrSet("k", () => "v")).toBe("v");
    await expect(cache.get("other")).rejects.toMatchObject({
      code: "ERR_UNAVAILABLE",
      key: "cache/other",
      store: "memory",
      cause,
    });
  });

  test("get, set and all else throw", async () => {
    const { cache } = openCaches({ store: failing("ERR_UNAVAILABLE") });
    const wrapped = cache.wrap(() => 1, { name: "f" });
    for (const call of [
      () => cache.get("k"),
      () => cache.getEntry("k"),
      () => cache.getStream("k"),
      () => cache.getResponse("k"),
      () => cache.set("k", 1),
      () => cache.set("k", new Blob(["a"])),
      () => cache.has("k"),
      () => cache.delete("k"),
      () => cache.getMany(["k"]),
      () => cache.setMany([{ key: "k", value: 1 }]),
      () => cache.deleteMany(["k"]),
      () => cache.list().next(),
      () => cache.clear({ all: true }),
      () => wrapped.peek(),
      () => wrapped.invalidate(),
    ]) {
      await expect(call()).rejects.toMatchObject({ name: "BucketCacheError", code: "ERR_UNAVAILABLE" });
    }
  });

  test('whenUnavailable: "throw" lets wrap and getOrSet throw too', async () => {
    const { cache } = openCaches({ store: failing("ERR_UNAVAILABLE"), whenUnavailable: "throw" });
    const fn = vi.fn(() => 1);
    await expect(cache.wrap(fn, { name: "f" })()).rejects.toMatchObject({ code: "ERR_UNAVAILABLE" });
    await expect(cache.getOrSet("k", fn)).rejects.toMatchObject({ code: "ERR_UNAVAILABLE" });
    expect(fn).not.toHaveBeenCalled();
  });

  test("only for writing: the result is returned, and told", async () => {
    const store = faultyStore(memoryStore(), { faults: [{ operation: "put" }] });
    for (const whenUnavailable of ["bypass", "throw"] as const) {
      const { cache } = openCaches({ store, whenUnavailable });
      const errors = recordEvents(cache, "error");
      const call = cache.getOrSet("k", () => "v");
      if (whenUnavailable === "bypass") {
        expect(await call).toBe("v");
        expect(errors).toMatchObject([{ key: "k", error: { code: "ERR_UNAVAILABLE" } }]);
      } else await expect(call).rejects.toMatchObject({ code: "ERR_UNAVAILABLE" });
    }
  });

  test("what could not be read is not overwritten", async () => {
    const store = faultyStore(memoryStore());
    const { cache, other } = openCaches({ store });
    await other.set("k", "theirs");
    store.faults.push({ operation: "get" });
    expect(await cache.getOrSet("k", () => "ours")).toBe("ours");
    store.faults.length = 0;
    expect(await openCaches({ store }).cache.get("k")).toBe("theirs");
  });

  describe("a body that is overwritten while it is read on after a break", () => {
    /** Whose reads end so, some times. */
    function overwriting(times: number): ObjectStore {
      const store = memoryStore();
      return {
        ...store,
        async get(key, options) {
          const got = await store.get(key, options);
          if (typeof got !== "object" || times-- <= 0) return got;
          await got.body.cancel();
          await store.put(key, new TextEncoder().encode(`"newer ${times}"`), { contentType: "", metadata: {} });
          const error = new BucketCacheError("ERR_CONFLICT", "the object changed while it was read");
          return { ...got, body: new ReadableStream({ start: (controller) => controller.error(error) }) };
        },
      };
    }

    test("is read again, and its newest value is the answer", async () => {
      const { cache } = openCaches({ store: overwriting(2), memory: false });
      await cache.set("k", "old");
      expect(await cache.get("k")).toBe("newer 0");
    });

    test("is a conflict in the end, when that never stops", async () => {
      const { cache } = openCaches({ store: overwriting(Infinity), memory: false });
      await cache.set("k", "old");
      await expect(cache.get("k")).rejects.toMatchObject({ code: "ERR_CONFLICT" });
    });
  });

  test("a transfer that breaks off is an outage, never damage", async () => {
    const store = faultyStore(memoryStore());
    const { cache, other } = openCaches({ store });
    await other.set("k", "0123456789", { compress: false });
    for (const truncateAfterBytes of [0, 5]) {
      store.faults.splice(0, Infinity, { operation: "get", truncateAfterBytes });
      await expect(cache.get("k")).rejects.toMatchObject({ code: "ERR_UNAVAILABLE" });
    }
  });

  test("a body that is shorter than announced is an outage, never damage", async () => {
    const store = watchedStore();
    const { cache, other } = openCaches({ store });
    await other.set("k", [1, 2, 3]);
    const get = store.get;
    store.get = async (...args) => {
      const got = await get(...args);
      return typeof got === "object" ? { ...got, size: got.size + 1 } : got;
    };
    const errors = recordEvents(cache, "error");
    await expect(cache.get("k")).rejects.toMatchObject({ code: "ERR_UNAVAILABLE", key: "cache/k" });
    expect(errors).toEqual([]);
  });

  test("random faults lose no call: each gets a value or an error of ours", async () => {
    const store = faultyStore(memoryStore(), { seed: 11, faults: [{ probability: 0.3 }] });
    const { cache } = openCaches({ store, memory: { maxEntries: 3 } });
    const wrapped = cache.wrap(async (n: number) => n * 2, { name: "f" });
    for (let i = 0; i < 200; i++) {
      expect(await wrapped(i % 7)).toBe((i % 7) * 2);
      await cache.set(`k${i % 5}`, i).catch((error) => expect(error).toMatchObject({ code: "ERR_UNAVAILABLE" }));
    }
  });
});

describe("a store that refuses", () => {
  test.each([
    "ERR_FORBIDDEN",
    "ERR_NO_SUCH_BUCKET",
    "ERR_CREDENTIALS",
    "ERR_CLOCK_SKEW",
    "ERR_CORS",
    "ERR_STORE",
  ] as const)("%s is thrown, and no function runs", async (code) => {
    const { cache } = openCaches({ store: failing(code) });
    const fn = vi.fn(() => 1);
    for (const call of [
      () => cache.get("k"),
      () => cache.getOrSet("k", fn),
      () => cache.wrap(fn, { name: "f" })(),
      () => cache.getOrSetStream("k", fn as never),
      () => cache.set("k", 1),
      () => cache.has("k"),
    ]) {
      await expect(call()).rejects.toMatchObject({ code });
    }
    expect(fn).not.toHaveBeenCalled();
  });

  test("a refused write of a load is thrown to every caller", async () => {
    const error = new BucketCacheError("ERR_FORBIDDEN", "read only");
    const { cache } = openCaches({ store: faultyStore(memoryStore(), { faults: [{ operation: "put", error }] }) });
    const results = await Promise.allSettled([cache.getOrSet("k", () => 1), cache.getOrSet("k", () => 1)]);
    expect(results).toEqual(Array(2).fill({ status: "rejected", reason: error }));
    expect(await cache.get("k")).toBeUndefined();
  });

  test('whenForbidden: "miss" takes 403 on reads for an absent key, and never on writes', async () => {
    const error = new BucketCacheError("ERR_FORBIDDEN", "403");
    const store = faultyStore(memoryStore(), {
      faults: [
        { operation: "get", error },
        { operation: "head", error },
      ],
    });
    const { cache, other } = openCaches({ store, whenForbidden: "miss" });
    expect(await cache.get("k")).toBeUndefined();
    expect(await cache.has("k")).toBe(false);
    expect(await cache.getStream("k")).toBeUndefined();
    expect(await cache.getOrSet("k", () => "v")).toBe("v");
    store.faults.splice(0, Infinity, { operation: "put", error });
    await expect(other.set("k", 1)).rejects.toMatchObject({ code: "ERR_FORBIDDEN" });
    expect(await other.get("k")).toBe("v");
  });
});

describe("a damaged entry", () => {
  const entry = (codec: string) => `v=1, created=1.0, codec=${codec}, nonce=:AAAAAAAAAAAAAAAAAAAAAA==:`;
  const damages: [string, string | Uint8Array, Record<string, string>][] = [
    ["JSON that is none", "{", { entry: entry("json") }],
    ["text that is not UTF-8", new Uint8Array([0xff]), { entry: entry("text") }],
    ["tags that are none", '{"$$Date":"soon"}', { entry: entry("tagged") }],
    ["a codec nobody knows", "x", { entry: entry("msgpack") }],
    ["gzip that is none", "plain", { entry: entry("text"), compressed: "true" }],
    [
      "gzip that is cut off",
      new Uint8Array(gzipSync("text").subarray(0, 15)),
      { entry: entry("text"), compressed: "true" },
    ],
    ["an entry of another format", "x", { entry: "v=2" }],
    ["an entry that cannot be read", "x", { entry: "v=1, (" }],
    ["an end that cannot be read", "x", { entry: entry("text"), expires_at: "soon" }],
  ];

  test.each(damages)("%s is a miss with an event, and the function overwrites it", async (_name, body, metadata) => {
    const { cache, other, store } = openCaches();
    const errors = recordEvents(cache, "error");
    const misses = recordEvents(cache, "miss");
    await putForeign(store, "cache/k", body, metadata);
    expect(await cache.get("k")).toBeUndefined();
    expect(errors).toMatchObject([{ key: "k", error: { code: "ERR_DAMAGED", key: "cache/k", store: "watched" } }]);
    expect(misses).toHaveLength(1);
    expect(await cache.getOrSet("k", () => "computed")).toBe("computed");
    expect(await other.get("k")).toBe("computed");
  });

  test("of a function is overwritten by it", async () => {
    const { cache, other, store } = openCaches();
    const fn = vi.fn(() => "computed");
    const wrapped = cache.wrap(fn, { name: "f" });
    await putForeign(store, `cache/${wrapped.keyOf()}`, "{", { entry: entry("json") });
    expect(await wrapped()).toBe("computed");
    expect(await other.wrap(fn, { name: "f" })()).toBe("computed");
    expect(fn).toHaveBeenCalledTimes(1);
  });

  test("an object that is not compressed although it says so is damage, but for Python's streams", async () => {
    const { cache, store } = openCaches();
    await putForeign(store, "cache/k", "plain", { compressed: "true" });
    expect(await cache.get("k")).toBe("plain");
  });
});

describe("limits", () => {
  test("a value too large is refused by set, thrown by get, and passed through by functions with an event", async () => {
    const { cache, store } = openCaches({ maxValueBytes: 100, memory: false });
    const errors = recordEvents(cache, "error");
    const large = "x".repeat(101);
    await expect(cache.set("k", large)).rejects.toMatchObject({ code: "ERR_TOO_LARGE", key: "cache/k" });
    expect(store.calls).toEqual([]);
    await cache.set("k", "x".repeat(100));
    expect(await cache.get("k")).toBe("x".repeat(100));
    expect(await cache.getOrSet("large", () => large)).toBe(large);
    expect(await cache.wrap(() => large, { name: "f" })()).toBe(large);
    expect(errors).toMatchObject([{ error: { code: "ERR_TOO_LARGE" } }, { error: { code: "ERR_TOO_LARGE" } }]);

    await putForeign(store, "cache/stored", large);
    await expect(cache.get("stored")).rejects.toMatchObject({
      code: "ERR_TOO_LARGE",
      key: "cache/stored",
      store: "watched",
    });
    expect(await cache.getOrSet("stored", () => "small")).toBe("small");
    expect(await new Response(await cache.getStream("stored")).text()).toBe(large);
  });

  test("decompression stops at the limit", async () => {
    const { store, cache } = openCaches({ maxValueBytes: 60_000 });
    const bomb = new Uint8Array(gzipSync(Buffer.alloc(50_000_000)));
    expect(bomb.length).toBeLessThan(60_000);
    await putForeign(store, "cache/k", bomb, { compressed: "true" });
    await expect(cache.get("k")).rejects.toMatchObject({ code: "ERR_TOO_LARGE", key: "cache/k" });
  });

  test.each([0, -1, NaN, "1"])("%s is no maxValueBytes", (maxValueBytes) => {
    expect(() => openCaches({ maxValueBytes: maxValueBytes as number })).toThrow(/maxValueBytes/);
  });
});

describe("errors", () => {
  test("are told by isBucketCacheError, also those of another copy of the package", () => {
    const foreign = Object.assign(new Error("x"), { name: "BucketCacheError", code: "ERR_STORE" });
    expect(isBucketCacheError(foreign)).toBe(true);
    expect(isBucketCacheError(new BucketCacheError("ERR_STORE", "x"))).toBe(true);
    // Of another realm: no instance of this one's Error.
    const distant: unknown = runInNewContext(
      'Object.assign(new Error("x"), { name: "BucketCacheError", code: "ERR_STORE" })',
    );
    expect(distant).not.toBeInstanceOf(Error);
    expect(isBucketCacheError(distant)).toBe(true);
    for (const other of [
      undefined,
      null,
      "ERR_STORE",
      {},
      new Error("ERR_STORE"),
      { name: "BucketCacheError", code: "ERR_STORE" },
    ]) {
      expect(isBucketCacheError(other)).toBe(false);
    }
  });

  test("misuse is a TypeError that says what to do", async () => {
    const { cache, store } = openCaches();
    expect(() => openCaches({ store: {} as never })).toThrow(/createCache needs a store/);
    expect(() => openCaches({ whenUnavailable: "ignore" as never })).toThrow(/whenUnavailable must be/);
    expect(() => openCaches({ write: "later" as never })).toThrow(/write must be/);
    expect(() => openCaches({ compress: "yes" as never })).toThrow(/compress must be/);
    expect(() => openCaches({ prefix: 5 as never })).toThrow(/prefix/);
    for (const key of [
      "",
      "/a",
      "a//b",
      "a/../b",
      "a/.",
      "a\nb",
      "\ud800",
      "é".repeat(130),
      "a".repeat(300),
      undefined,
      5,
    ]) {
      for (const call of [
        () => cache.get(key as string),
        () => cache.set(key as string, 1),
        () => cache.delete(key as string),
        () => cache.has(key as string),
        () => cache.deleteMany(["fine", key as string]),
      ]) {
        await expect(call()).rejects.toThrow(TypeError);
      }
    }
    await expect(cache.getOrSet("k", "value" as never)).rejects.toThrow(/getOrSet needs a function/);
    await expect(cache.set("k", 1, { write: "later" as never })).rejects.toThrow(/write must be/);
    for (const text of ["a\nb", "é"]) {
      await expect(cache.set("k", 1, { cacheControl: text })).rejects.toThrow(/cacheControl must be visible ASCII/);
      await expect(cache.set("k", 1, { contentType: text })).rejects.toThrow(/contentType must be visible ASCII/);
    }
    expect(store.operations()).toEqual([]);
  });

  test.each([
    ["a function", { a: [() => 1] }, /value\.a\[0\] is a function/],
    ["a symbol", { a: Symbol("s") }, /value\.a is a symbol/],
    [
      "a class instance",
      {
        a: new (class Money {
          cents = 1;
        })(),
      },
      /value\.a is an instance of Money/,
    ],
    ["a promise", { a: Promise.resolve() }, /value\.a is an instance of Promise/],
  ])("%s cannot be stored: a TypeError that names the path, and nothing is stored", async (_kind, value, message) => {
    const { cache, store } = openCaches();
    await cache.set("k", "old");
    await expect(cache.set("k", value)).rejects.toThrow(message);
    await expect(cache.getOrSet("other", () => value)).rejects.toThrow(message);
    expect(await cache.get("k")).toBe("old");
    expect(store.operations().filter((operation) => operation === "put")).toHaveLength(1);
  });

  test("a cycle cannot be stored", async () => {
    const { cache } = openCaches();
    const value: { self?: unknown } = {};
    value.self = value;
    await expect(cache.set("k", value)).rejects.toThrow(TypeError);
  });

  test.each([
    ["a ReadableStream", () => new ReadableStream()],
    ["a Response", () => new Response("x")],
    ["a Blob", () => new Blob(["x"])],
    ["an ArrayBuffer", () => new ArrayBuffer(1)],
    ["an async generator", () => (async function* () {})()],
  ])("a cached function that returns %s is a TypeError that names getOrSetStream", async (_kind, fn) => {
    const { cache, store } = openCaches();
    await expect(cache.wrap(fn, { name: "f" })()).rejects.toThrow(/getOrSetStream/);
    await expect(cache.getOrSet<unknown>("k", fn)).rejects.toThrow(TypeError);
    expect(store.operations()).not.toContain("put");
  });

  test("presign on a store that cannot sign is ERR_UNSUPPORTED, and wrapped.presign runs no function for it", async () => {
    const { cache } = openCaches();
    await expect(cache.presign("k")).rejects.toMatchObject({ code: "ERR_UNSUPPORTED", store: "watched" });
    const fn = vi.fn(() => 1);
    await expect(cache.wrap(fn, { name: "f" }).presign()).rejects.toMatchObject({ code: "ERR_UNSUPPORTED" });
    expect(fn).not.toHaveBeenCalled();
  });
});

describe("a deletion that is aborted while it waits for an earlier write", () => {
  test.each([
    ["deleteMany", (cache: Cache, signal: AbortSignal) => cache.deleteMany(["k"], { signal })],
    ["delete", (cache: Cache, signal: AbortSignal) => cache.delete("k", { signal })],
    ["clear", (cache: Cache, signal: AbortSignal) => cache.clear({ all: true, signal })],
  ] as const)("%s rejects with the reason, and no other promise rejects unheard", async (_name, remove) => {
    const { cache, store } = openCaches();
    await cache.set("k", 0);
    const put = store.hold("put");
    const setting = cache.set("k", 1);
    await put.reached;
    const controller = new AbortController();
    const reason = new Error("enough");
    const removing = remove(cache, controller.signal);
    controller.abort(reason);
    await expect(removing).rejects.toBe(reason);
    put.open();
    await setting;
    await cache.flush();
    expect(await cache.get("k")).toBe(1);
  });

  test("of entries in batches, a clear that is aborted during a batch rejects once", async () => {
    const { cache, store } = openCaches();
    await cache.set("k", 0);
    const listing = store.hold("list", "after");
    const controller = new AbortController();
    const reason = new Error("enough");
    const clearing = cache.clear({ all: true, signal: controller.signal });
    await listing.reached;
    const put = store.hold("put");
    const setting = cache.set("k", 1);
    await put.reached;
    listing.open();
    await new Promise((resolve) => setImmediate(resolve));
    controller.abort(reason);
    await expect(clearing).rejects.toBe(reason);
    put.open();
    await setting;
    expect(await cache.get("k")).toBe(1);
  });
});
