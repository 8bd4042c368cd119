import { gunzipSync } from "node:zlib";
import { GetObjectCommand, HeadObjectCommand } from "@aws-sdk/client-s3";
import { cacheKey } from "bucketcache";
import { describe, expect, test } from "vitest";
import { canonicalize, keyHash } from "../../src/data/key.js";
import { cacheBucket } from "../support/cache-bucket.js";
import { script } from "../support/script.js";
import { kindsOfValues } from "../support/values.js";

const fixture = cacheBucket();
const { open, requestMethods, locate } = fixture;
const head = (key: string) => fixture.bucket.client.send(new HeadObjectCommand(locate(key)));

describe("values", () => {
  const kinds = Object.entries(kindsOfValues());

  test.each(kinds)(
    "%s is stored as the format says, and comes back",
    async (_, { value, back, codec, contentType }) => {
      await open().set("k", value);
      const { Metadata, ContentType, CacheControl, ContentEncoding, Body } = await fixture.bucket.client.send(
        new GetObjectCommand(locate("k")),
      );
      await Body?.transformToByteArray();
      expect(ContentType).toBe(contentType);
      expect(CacheControl).toBe("no-store, bucketcache=1");
      expect(ContentEncoding).toBeUndefined();
      expect(Metadata?.["entry"]).toContain(`codec=${codec}`);
      const expected = back ?? value;
      expect(await open().getEntry("k")).toMatchObject({ key: "k", source: "store", contentType });
      expect(await open().get("k")).toStrictEqual(expected);
      await expect(open().getOrSet("k", () => "computed")).resolves.toStrictEqual(expected);
    },
  );

  test("written in one process are read in another, function results too", async () => {
    const cache = open();
    await cache.setMany(kinds.map(([key, { value }]) => ({ key, value })));
    const report = cache.wrap((...args: unknown[]) => ({ args }), { name: "report" });
    await report(new Date(0), { b: 2n, a: new Map([[1, 2]]) });
    const reader = await script(`
      import { isDeepStrictEqual } from "node:util";
      import { createCache } from "bucketcache";
      import { s3Store } from "bucketcache/s3";
      import { kindsOfValues } from "./test/support/values.js";
      const { prefix, options } = JSON.parse(process.argv[2]);
      const cache = createCache({ store: s3Store(options), prefix });
      const wrong = [];
      for (const [key, { value, back }] of Object.entries(kindsOfValues())) {
        const entry = await cache.getEntry(key);
        if (entry === undefined || !isDeepStrictEqual(entry.value, back ?? value)) wrong.push(key);
      }
      let calls = 0;
      const report = cache.wrap((...args) => ++calls, { name: "report" });
      const result = await report(new Date(0), { a: new Map([[1, 2]]), b: 2n });
      const isSame = isDeepStrictEqual(result, { args: [new Date(0), { b: 2n, a: new Map([[1, 2]]) }] });
      await cache.set("from the child", new Map([["a", 1n]]));
      console.log(JSON.stringify({ wrong, calls, isSame }));`);
    const printed = await reader.run({ prefix: fixture.prefix, options: fixture.bucket.options });
    reader.remove();
    expect(JSON.parse(printed)).toEqual({ wrong: [], calls: 0, isSame: true });
    expect(await open().get("from the child")).toStrictEqual(new Map([["a", 1n]]));
  });

  test.each([
    [
      "a cycle",
      () => {
        const cycle: unknown[] = [];
        cycle.push({ cycle });
        return cycle;
      },
    ],
    ["a function within", () => ({ a: [() => 1] })],
    [
      "a class instance without toJSON",
      () => ({
        a: new (class Point {
          x = 1;
        })(),
      }),
    ],
    ["a symbol", () => Symbol("s")],
  ])("%s is a TypeError, and nothing is stored", async (_, make) => {
    await expect(open().set("k", make())).rejects.toThrow(TypeError);
    expect(requestMethods()).toEqual([]);
  });
});

describe("an object as others see it", () => {
  const ENTRY = String.raw`v=1, created=(\d+\.\d{1,3}), codec=(\w+), nonce=:([A-Za-z0-9+/]{22}==):`;

  test("carries its end, its codec and a nonce of its own", async () => {
    const cache = open();
    const before = Date.now() / 1000;
    await cache.set("k", { a: 1 }, { ttl: "90s" });
    const { Metadata, ContentType, CacheControl, ContentLength } = await head("k");
    expect(Object.keys(Metadata ?? {}).sort()).toEqual(["entry", "expires_at"]);
    expect(Metadata?.["expires_at"]).toMatch(/^\d+(\.\d+)?$/);
    expect(Math.abs(Number(Metadata?.["expires_at"]) - before - 90)).toBeLessThan(60);
    const entry = new RegExp(`^${ENTRY}$`).exec(Metadata?.["entry"] ?? "");
    expect(entry?.[2]).toBe("json");
    expect(Number(Metadata?.["expires_at"]) - Number(entry?.[1])).toBeCloseTo(90, 2);
    expect({ ContentType, CacheControl, ContentLength }).toEqual({
      ContentType: "application/json",
      CacheControl: "no-store, bucketcache=1",
      ContentLength: 7,
    });
    await cache.set("k", { a: 1 }, { ttl: "90s" });
    const again = new RegExp(`^${ENTRY}$`).exec((await head("k")).Metadata?.["entry"] ?? "");
    expect(again?.[3]).not.toBe(entry?.[3]);
  });

  test("without a ttl has no end; compressed is flagged, is gzip, and has no Content-Encoding", async () => {
    const text = "größe;name\n".repeat(500);
    await open().set("k", text, { contentType: "text/csv", cacheControl: "max-age=5" });
    const object = await fixture.bucket.client.send(new GetObjectCommand(locate("k")));
    expect(Object.keys(object.Metadata ?? {}).sort()).toEqual(["compressed", "entry"]);
    expect(object).toMatchObject({
      Metadata: { compressed: "true" },
      ContentType: "text/csv",
      CacheControl: "max-age=5, bucketcache=1",
    });
    expect(object.ContentEncoding).toBeUndefined();
    expect(gunzipSync((await object.Body?.transformToByteArray())!).toString()).toBe(text);
  });

  test("of a function lies under name and digest, and says whose it is", async () => {
    const cache = open();
    const wrapped = cache.wrap((a: number, b: string) => `${a}${b}`, { name: "f<x>", ttl: "1h" });
    await wrapped(1, "b");
    const key = cacheKey("f<x>", [1, "b"]);
    expect(key).toMatch(/^f_x_\/[0-9a-f]{32}$/);
    const { Metadata } = await head(key);
    const hash = await keyHash("f<x>", canonicalize([1, "b"]));
    expect(Metadata?.["entry"]).toMatch(new RegExp(`^${ENTRY}, key=:${hash?.replace(/[+/]/g, "\\$&")}:$`));
    const size = Object.entries(Metadata ?? {}).reduce((sum, [name, value]) => sum + name.length + value.length, 0);
    expect(size).toBeLessThan(512);
  });
});
