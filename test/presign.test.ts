import { describe, expect, test, vi } from "vitest";
import { BucketCacheError, type Grant, type PresignOptions } from "bucketcache";
import { openCaches, putForeign, watchedStore } from "./support/stores.js";

/** A store that grants anything, and says what it was asked. */
function granting() {
  const store = watchedStore();
  const asked: { key: string; options: PresignOptions; stored: boolean }[] = [];
  const presign = async (key: string, options: PresignOptions): Promise<Grant> => {
    asked.push({ key, options, stored: (await store.head(key)) !== undefined });
    const { operation = "read" } = options;
    return { key, operation, method: "GET", url: `https://example.org/${key}`, headers: {}, expiresAt: 5 };
  };
  return { ...openCaches({ store: Object.assign(store, { presign }) }), asked };
}

describe("cache.presign", () => {
  test("asks the store for a grant of the object, with what the caller said", async () => {
    const { cache, asked } = granting();
    const options = { operation: "write", size: 5, ttl: "1h", contentType: "text/csv", expiresIn: "1m" } as const;
    const grant = await cache.presign("k", options);
    expect(grant).toMatchObject({ key: "cache/k", operation: "write" });
    expect(JSON.parse(JSON.stringify(grant))).toEqual(grant);
    expect(asked).toMatchObject([{ key: "cache/k", options }]);
  });

  test.each([{ operation: "list" }, { expiresIn: 0 }, { expiresIn: "soon" }, { ttl: -1 }, { size: 1.5 }, { size: -1 }])(
    "%o is a TypeError",
    async (options) => {
      const { cache, asked } = granting();
      await expect(cache.presign("k", options as PresignOptions)).rejects.toThrow(TypeError);
      expect(asked).toEqual([]);
    },
  );

  test("to read what is still being written waits for it", async () => {
    const { cache, store, asked } = granting();
    const gate = store.hold("put");
    await cache.set("k", 1, { write: "background" });
    const presigning = cache.presign("k");
    await gate.reached;
    gate.open();
    await presigning;
    expect(asked).toMatchObject([{ stored: true }]);
  });
});

describe("wrapped.presign", () => {
  test("computes the entry first when it is absent, and stores it before it grants", async () => {
    for (const write of ["await", "background"] as const) {
      const { cache, asked } = granting();
      const fn = vi.fn((n: number) => n);
      const wrapped = cache.wrap(fn, { name: "f", write });
      const grant = await wrapped.with({ expiresIn: "2m" }).presign(1);
      expect(grant.key).toBe(`cache/${wrapped.keyOf(1)}`);
      expect(asked).toMatchObject([{ key: grant.key, stored: true, options: { expiresIn: "2m" } }]);
      await wrapped.presign(1);
      expect(fn).toHaveBeenCalledTimes(1);
    }
  });

  test("takes memory for no proof, nor what is foreign, expired or another function's", async () => {
    const { cache, other, store, asked } = granting();
    const fn = vi.fn(() => "computed");
    const wrapped = cache.wrap(fn, { name: "f<a>" });
    await wrapped();
    await store.delete(`cache/${wrapped.keyOf()}`);
    await wrapped.presign();
    expect(fn).toHaveBeenCalledTimes(2);
    await putForeign(store, `cache/${wrapped.keyOf()}`, "poison");
    await wrapped.presign();
    expect(fn).toHaveBeenCalledTimes(3);
    await other.wrap(() => "theirs", { name: "f_a_" }).refresh();
    await wrapped.presign();
    expect(fn).toHaveBeenCalledTimes(4);
    expect(asked.map(({ stored }) => stored)).toEqual([true, true, true]);
    expect(await other.wrap(fn, { name: "f<a>" }).peek()).toBe("computed");
  });

  test("grants nothing where the result was not kept, and says so", async () => {
    const { cache, store, asked } = granting();
    const picky = cache.wrap(() => "x", { name: "f", shouldCache: () => false });
    await expect(picky.presign()).rejects.toMatchObject({ code: "ERR_UNAVAILABLE", key: `cache/${picky.keyOf()}` });
    const put = store.put;
    store.put = () => Promise.reject(new BucketCacheError("ERR_UNAVAILABLE", "down"));
    const bypassed = cache.wrap(() => "y", { name: "g" });
    await expect(bypassed.presign()).rejects.toMatchObject({ code: "ERR_UNAVAILABLE" });
    store.put = put;
    await bypassed.presign();
    expect(asked).toMatchObject([{ stored: true }]);
  });
});
