import { randomBytes } from "node:crypto";
import { PutObjectCommand } from "@aws-sdk/client-s3";
import type { Cache } from "bucketcache";
import { describe, expect, test } from "vitest";
import { cacheBucket } from "../support/cache-bucket.js";
import { deferred } from "../support/deferred.js";
import { recordEvents } from "../support/stores.js";

const KIB = 1024;
const MIB = KIB * KIB;

const here = cacheBucket();
const { open, requestMethods, locate } = here;

describe("a thousand concurrent callers", () => {
  const thousand = <T>(call: () => Promise<T>) => Promise.all(Array.from({ length: 1_000 }, call));

  test("of a wrapped function are one GET, one call and one PUT on a cold key, and one GET on a warm bucket", async () => {
    let calls = 0;
    const square = (n: number) => Promise.resolve({ n, squared: n * n, call: ++calls });
    const cold = open().wrap(square, { name: "square" });
    const results = await thousand(() => cold(12));
    expect(new Set(results)).toEqual(new Set([{ n: 12, squared: 144, call: 1 }]));
    expect(calls).toBe(1);
    expect(requestMethods()).toEqual(["GET", "PUT"]);

    here.proxy.reset();
    const cache = open();
    const warm = cache.wrap(square, { name: "square" });
    expect(new Set(await thousand(() => warm(12)))).toEqual(new Set([{ n: 12, squared: 144, call: 1 }]));
    expect(calls).toBe(1);
    expect(requestMethods()).toEqual(["GET"]);
    expect(cache.stats()).toMatchObject({ calls: 0, memory: { entries: 1 }, store: { reads: 1, writes: 0 } });

    here.proxy.reset();
    await thousand(() => warm(12));
    expect(requestMethods()).toEqual([]);
  });

  test("of getOrSet are one GET, one call and one PUT on a cold key", async () => {
    const cache = open();
    let calls = 0;
    const values = await thousand(() => cache.getOrSet("k", () => ++calls));
    expect(new Set(values)).toEqual(new Set([1]));
    expect(requestMethods()).toEqual(["GET", "PUT"]);
  });

  test("of get are one GET, and none when memory has it", async () => {
    await open().set("k", "v");
    here.proxy.reset();
    const cache = open();
    expect(new Set(await thousand(() => cache.get("k")))).toEqual(new Set(["v"]));
    expect(new Set(await thousand(() => cache.get("k")))).toEqual(new Set(["v"]));
    expect(requestMethods()).toEqual(["GET"]);
  });

  test("of a hundred keys never wait for each other's function", async () => {
    const cache = open();
    const all = deferred();
    let waiting = 0;
    const meet = cache.wrap(
      async (n: number) => {
        if (++waiting === 100) all.resolve();
        await all.promise;
        return n;
      },
      { name: "meet" },
    );
    const numbers = Array.from({ length: 100 }, (_, n) => n);
    expect(await Promise.all(numbers.map((n) => meet(n)))).toEqual(numbers);
    expect([here.proxy.count("GET"), here.proxy.count("PUT")]).toEqual([100, 100]);
  });
});

describe("a hit is one request", () => {
  const sizes = { "1 KiB": KIB, "1 MiB": MIB, "15 MiB": 15 * MIB };
  const kinds: Record<string, { make: (size: number) => unknown; compress?: boolean }> = {
    text: { make: (size) => "läufer, ".repeat(size / 9) },
    JSON: { make: (size) => Array.from({ length: size / 32 }, (_, id) => ({ id, name: `name ${id}`, f: 0.5 })) },
    "text without gzip": { make: (size) => "a".repeat(size), compress: false },
    bytes: { make: (size) => new Uint8Array(randomBytes(size)) },
    "gzip of random bytes": { make: (size) => new Uint8Array(randomBytes(size)), compress: true },
  };
  const cases = Object.entries(sizes).flatMap(([size, bytes]) =>
    Object.entries(kinds).map(([kind, { make, compress }]) => ({ size, kind, value: () => make(bytes), compress })),
  );

  test.each(cases)("of $size of $kind", async ({ value, compress }) => {
    const original = value();
    await open().set("k", original, { compress: compress ?? "auto" });
    expect(requestMethods()).toEqual(["PUT"]);
    here.proxy.reset();
    const back = await open().get<object>("k");
    // Comparing millions of elements one by one would take the test's time.
    if (original instanceof Uint8Array) {
      expect(Buffer.compare(original, back as Uint8Array)).toBe(0);
      expect(back?.constructor).toBe(Uint8Array);
    } else expect(JSON.stringify(back) === JSON.stringify(original)).toBe(true);
    expect(requestMethods()).toEqual(["GET"]);
  });

  test("also of getStream, getResponse, getEntry, has and peek", async () => {
    const cache = open();
    await cache.set("k", "x".repeat(100_000));
    const wrapped = cache.wrap(() => "y", { name: "f" });
    await wrapped();
    here.proxy.reset();
    const other = open({ memory: false });
    await new Response(await other.getStream("k")).text();
    await (await other.getResponse("k"))?.text();
    await other.getEntry("k");
    expect(await other.has("k")).toBe(true);
    expect(await other.wrap(() => "z", { name: "f" }).peek()).toBe("y");
    expect(requestMethods()).toEqual(["GET", "GET", "GET", "HEAD", "GET"]);
  });
});

describe("two caches on one cold key", () => {
  /** An object that is there and counts as absent. */
  async function putDamaged(key: string): Promise<void> {
    const damaged = { Body: "x", Metadata: { entry: "v=1, broken" } };
    await here.bucket.client.send(new PutObjectCommand({ ...locate(key), ...damaged }));
  }

  /** Both see what there is, then compute; the first writes before the second. */
  async function race(prepare?: () => Promise<void>) {
    const slow = open();
    const fast = open();
    await prepare?.();
    const errors = [...recordEvents(slow, "error"), ...recordEvents(fast, "error")];
    const reached = deferred();
    const gate = deferred();
    const slowly = slow.getOrSet("k", async () => {
      reached.resolve();
      await gate.promise;
      return "slow";
    });
    await reached.promise;
    expect(await fast.getOrSet("k", () => "fast")).toBe("fast");
    here.proxy.reset();
    gate.resolve();
    expect(await slowly).toBe("slow");
    // The first 412 of a store is asked about: some answer it to each condition.
    expect(here.proxy.requests).toMatchObject([
      { method: "PUT", status: 412 },
      { method: "HEAD", status: 200 },
    ]);
    expect(errors).toEqual([]);
    return { slow, fast };
  }

  test("the slower one's result is its callers' alone: not in the bucket, not in its memory", async () => {
    const { slow, fast } = await race();
    expect(here.proxy.requests[0]?.headers["if-none-match"]).toBe("*");
    expect(slow.stats()).toMatchObject({ memory: { entries: 0 }, store: { writes: 1 } });
    expect(await slow.get("k")).toBe("fast");
    expect(await fast.getEntry("k")).toMatchObject({ value: "fast", source: "memory" });
  });

  test("the same where both overwrite what was there: only over what they saw", async () => {
    const { slow } = await race(() => putDamaged("k"));
    expect(here.proxy.requests[0]?.headers["if-match"]).toMatch(/^"[0-9a-f]{32}"$/);
    expect(await slow.get("k")).toBe("fast");
  });

  test("the same for a wrapped function, and the next call takes the bucket's", async () => {
    const gate = deferred();
    const slow = open().wrap(
      async () => {
        await gate.promise;
        return "slow";
      },
      { name: "f" },
    );
    const fast = open().wrap(async () => "fast", { name: "f" });
    const slowly = slow();
    await expect.poll(() => here.proxy.count("GET")).toBe(1);
    await fast();
    gate.resolve();
    expect(await slowly).toBe("slow");
    expect(await slow()).toBe("fast");
  });

  test("a set that came meanwhile, in another process, wins over a load", async () => {
    const cache = open();
    const other = open();
    const value = await cache.getOrSet("k", async () => {
      await other.set("k", "newer");
      return "loaded";
    });
    expect(value).toBe("loaded");
    expect(await open().get("k")).toBe("newer");
    expect(await cache.get("k")).toBe("newer");
  });

  test("a delete of what a load was about to overwrite goes unnoticed by its callers", async () => {
    const cache = open();
    const errors = recordEvents(cache, "error");
    await putDamaged("k");
    const value = await cache.getOrSet("k", async () => {
      await open().delete("k");
      return "loaded";
    });
    expect(value).toBe("loaded");
    expect(requestMethods().slice(-3)).toEqual(["GET", "DELETE", "PUT"]);
    expect(errors).toMatchObject([{ key: "k", error: { code: "ERR_DAMAGED" } }]);
    expect(cache.stats().memory.entries).toBe(0);
  });
});

describe("more than a thousand entries", () => {
  const many = Array.from({ length: 1_050 }, (_, index) => `many/${String(index).padStart(4, "0")}`);
  const listed = async (cache: Cache, below: string) => {
    const keys: string[] = [];
    for await (const { key } of cache.list({ prefix: below })) keys.push(key);
    return keys;
  };

  test("are written, listed, read, deleted in batches, and cleared by name without touching others", async () => {
    const cache = open({ memory: { maxEntries: 10 } });
    await cache.setMany(many.map((key, index) => ({ key, value: index })));
    await cache.setMany([
      { key: "many2/a", value: "other" },
      { key: "manyx", value: "other" },
    ]);
    here.proxy.reset();
    expect(await listed(cache, "many/")).toEqual(many);
    expect(requestMethods()).toEqual(["GET", "GET"]);

    expect(await cache.getMany([many[3]!, "many/none", many[1_049]!])).toEqual([3, undefined, 1_049]);

    here.proxy.reset();
    await cache.deleteMany(many.slice(0, 1_010));
    expect(requestMethods()).toEqual(["POST", "POST"]);
    expect(await listed(cache, "many/")).toEqual(many.slice(1_010));

    await cache.setMany(many.map((key) => ({ key, value: "again" })));
    here.proxy.reset();
    await cache.clear({ name: "many" });
    expect(requestMethods().sort()).toEqual(["GET", "GET", "POST", "POST"]);
    expect(await listed(cache, "")).toEqual(["many2/a", "manyx"]);
    expect(await cache.get(many[1_049]!)).toBeUndefined();

    await cache.clear({ prefix: "many2/" });
    expect(await listed(cache, "")).toEqual(["manyx"]);
    await cache.clear({ all: true });
    expect(await listed(cache, "")).toEqual([]);
    await expect(cache.clear({} as never)).rejects.toThrow(/all: true/);
  });

  test("of another prefix in the same bucket are nobody's here", async () => {
    const stranger = open({ prefix: `${here.prefix}sub/` });
    await stranger.set("k", "theirs");
    const cache = open({ prefix: `${here.prefix}su` });
    expect(await listed(cache, "c")).toEqual([]);
    expect(await stranger.get("k")).toBe("theirs");
  });
});

describe("background writes", () => {
  test("return first, are seen at once in this process, and are in the bucket after flush", async () => {
    const cache = open({ write: "background" });
    const gate = deferred();
    here.proxy.hook = ({ method }) => (method === "PUT" ? { before: () => gate.promise } : undefined);
    await cache.set("k", { a: 1 });
    expect(await cache.get("k")).toEqual({ a: 1 });
    expect(await cache.getOrSet("l", () => "computed")).toBe("computed");
    expect(await open({ memory: false }).get("k")).toBeUndefined();
    let isFlushed = false;
    const flushed = cache.flush().then(() => (isFlushed = true));
    await expect.poll(() => here.proxy.count("PUT")).toBe(2);
    expect(isFlushed).toBe(false);
    gate.resolve();
    await flushed;
    expect(await open().getMany(["k", "l"])).toEqual([{ a: 1 }, "computed"]);
  });

  test("that fail are told, and do not stay in memory as if they were kept", async () => {
    const cache = open({ write: "background" });
    const errors = recordEvents(cache, "error");
    here.proxy.hook = ({ method }) =>
      method === "PUT" ? { answer: { status: 403, body: "<Error><Code>AccessDenied</Code></Error>" } } : undefined;
    await cache.set("k", 1);
    await cache.flush();
    expect(errors).toMatchObject([{ key: "k", error: { code: "ERR_FORBIDDEN" } }]);
    expect(await cache.get("k")).toBeUndefined();
  });

  test("are written in the order of the calls", async () => {
    const cache = open({ write: "background" });
    await Promise.all(Array.from({ length: 20 }, (_, index) => cache.set("k", index)));
    await cache.delete("k");
    await cache.set("k", "last");
    await cache.close();
    expect(await open().get("k")).toBe("last");
  });
});
