import { gzipSync } from "node:zlib";
import { describe, expect, test, vi } from "vitest";
import { cacheKey, type CacheOptions } from "bucketcache";
import { recordEvents, putForeign, readObject, textOf, openCaches } from "./support/stores.js";

// Objects as `etl_pycache.S3Cache` writes them; with prefix "" both sides use the same keys.
const pythonCaches = (options: Partial<Omit<CacheOptions, "store">> = {}) => openCaches({ prefix: "", ...options });
const utf8 = (text: string) => new TextEncoder().encode(text);
const gzip = (data: string | Uint8Array) => new Uint8Array(gzipSync(data));

describe("an object that Python wrote", () => {
  const objects: [string, string | Uint8Array, Record<string, string>, unknown][] = [
    ["a string", "hello world", {}, "hello world"],
    ["a string that is not ASCII", "größe 你好 🎉", {}, "größe 你好 🎉"],
    ["XML", '<?xml version="1.0"?><a>1</a>', {}, '<?xml version="1.0"?><a>1</a>'],
    ["a dict", '{"a": [1, 2.5, null, true], "b": "\\u00e4"}', {}, { a: [1, 2.5, null, true], b: "ä" }],
    ["a list", "[1, 2]", {}, [1, 2]],
    ["the string 123, which comes back as a number", "123", {}, 123],
    ["Python's NaN, which is no JSON", '{"a": NaN}', {}, '{"a": NaN}'],
    ["bytes", new Uint8Array([0, 255, 254, 1]), {}, new Uint8Array([0, 255, 254, 1])],
    ["nothing", "", {}, ""],
    ["a gzipped string", gzip("zipped ".repeat(50)), { compressed: "true" }, "zipped ".repeat(50)],
    ["a gzipped dict", gzip('{"a": 1}'), { compressed: "true" }, { a: 1 }],
    ["gzipped bytes", gzip(new Uint8Array([0, 255])), { compressed: "true" }, new Uint8Array([0, 255])],
    ["gzipped nothing", gzip(""), { compressed: "true" }, ""],
    ["several members of gzip", new Uint8Array([...gzip("one "), ...gzip("two")]), { compressed: "true" }, "one two"],
    ["a stream that is flagged compressed and is not", "plain", { compressed: "true" }, "plain"],
    ["an empty stream that is flagged compressed", "", { compressed: "true" }, ""],
    ["one byte that is flagged compressed", "\x1f", { compressed: "true" }, "\x1f"],
    ["gzip that is not flagged", gzip("own"), {}, gzip("own")],
    ["text that begins with a BOM", "\ufeffa", {}, "\ufeffa"],
    ["an end far off", "v", { expires_at: "99999999999.460951" }, "v"],
  ];

  test.each(objects)("%s is read", async (_name, body, metadata, value) => {
    const { cache, store } = pythonCaches();
    await putForeign(store, "k", body, metadata);
    expect(await cache.get("k")).toEqual(value);
    expect(await cache.getEntry("k")).toMatchObject({ value, source: "memory", createdAt: undefined });
    expect(await cache.has("k")).toBe(true);
    expect(await cache.getOrSet("k", () => "computed")).toEqual(value);
  });

  test("is over when it says so", async () => {
    const { cache, store } = pythonCaches();
    await putForeign(store, "k", "v", { expires_at: String(Date.now() / 1000 - 1) });
    expect(await cache.get("k")).toBeUndefined();
    await cache.flush();
    expect(await store.head("k")).toBeUndefined();
  });

  test("streams gunzipped where it is gzip, and plain where it is not", async () => {
    const { cache, store } = pythonCaches();
    for (const [body, metadata, text] of [
      [gzip('{"a": 1}'), { compressed: "true" }, '{"a": 1}'],
      ["plain", { compressed: "true" }, "plain"],
      ["", { compressed: "true" }, ""],
      ["\x1f", { compressed: "true" }, "\x1f"],
      ["plain", {}, "plain"],
    ] as [string | Uint8Array, Record<string, string>, string][]) {
      await putForeign(store, "k", body, metadata);
      expect(await textOf(await cache.getStream("k"))).toBe(text);
      expect(await (await cache.getResponse("k"))!.text()).toBe(text);
    }
  });

  test("keeps its bytes under raw", async () => {
    const { cache, store } = pythonCaches();
    await putForeign(store, "k", gzip("text"), { compressed: "true" });
    const raw = await new Response(await cache.getStream("k", { raw: true })).arrayBuffer();
    expect(new Uint8Array(raw)).toEqual(gzip("text"));
  });

  test("that is damaged gzip is a miss with an event", async () => {
    const { cache, store } = pythonCaches();
    const errors = recordEvents(cache, "error");
    await putForeign(store, "k", gzip("text").subarray(0, 12), { compressed: "true" });
    expect(await cache.get("k")).toBeUndefined();
    expect(errors).toMatchObject([{ key: "k", error: { code: "ERR_DAMAGED" } }]);
  });
});

describe("wrap and getOrSet on derived keys", () => {
  test("never take a foreign object, and overwrite it", async () => {
    for (const way of ["wrap", "getOrSet"] as const) {
      const { cache, store } = pythonCaches();
      const fn = vi.fn(() => "computed");
      const wrapped = cache.wrap(fn, { name: "f" });
      const key = wrapped.keyOf();
      await putForeign(store, key, '"poison"');
      const hits = recordEvents(cache, "hit");
      const misses = recordEvents(cache, "miss");
      expect(await wrapped.peek()).toBeUndefined();
      expect(await (way === "wrap" ? wrapped() : cache.getOrSet(key, fn))).toBe("computed");
      expect(fn).toHaveBeenCalledTimes(1);
      expect(hits).toEqual([]);
      expect(misses.length).toBeGreaterThan(0);
      expect(cache.stats().store).toMatchObject({ hits: 0 });
      expect((await readObject(store, key))!.bytes).toEqual(utf8("computed"));
    }
  });

  test("nor what an explicit set put there, or another function", async () => {
    const { cache, other } = pythonCaches();
    const wrapped = cache.wrap(() => "computed", { name: "f" });
    await other.set(wrapped.keyOf(), "explicit");
    expect(await cache.get(wrapped.keyOf())).toBe("explicit");
    expect(await wrapped()).toBe("computed");
  });

  test("take a foreign object where the key is explicit", async () => {
    const { cache, store } = pythonCaches();
    await putForeign(store, "reports/2026", '{"a": 1}');
    expect(await cache.getOrSet("reports/2026", () => "computed")).toEqual({ a: 1 });
  });
});

describe("what Python reads of ours", () => {
  test.each([
    ["a string", "größe", "größe"],
    ["an object", { a: 1 }, '{"a":1}'],
    ["bytes", new Uint8Array([1, 2]), "\x01\x02"],
  ])("%s lies plain under its own key", async (_name, value, body) => {
    const { cache, store } = pythonCaches();
    await cache.set("dir/key", value, { ttl: "1h" });
    const object = (await readObject(store, "dir/key"))!;
    expect(new TextDecoder().decode(object.bytes)).toBe(body);
    expect(Number(object.metadata["expires_at"])).toBeCloseTo(Date.now() / 1000 + 3600, -1);
    expect(object.metadata).not.toHaveProperty("compressed");
  });

  test("gzip is flagged as Python flags it, and derived keys have the layout of the seed", async () => {
    const { store } = pythonCaches();
    const { cache } = openCaches({ store });
    await cache.set("k", "x".repeat(2_000));
    expect((await store.head("cache/k"))!.metadata["compressed"]).toBe("true");
    const wrapped = cache.wrap((n: number) => n, { name: "module.<locals>.fn" });
    await wrapped(1);
    expect(wrapped.keyOf(1)).toMatch(/^module\._locals_\.fn\/[0-9a-f]{32}$/);
    expect(wrapped.keyOf(1)).toBe(cacheKey("module.<locals>.fn", [1]));
    expect(await store.head(`cache/${wrapped.keyOf(1)}`)).toBeDefined();
  });
});
