import { createCache, type Cache, type Grant, type PresignOptions } from "bucketcache";
import { presignedStore } from "bucketcache/presigned";
import { s3Store } from "bucketcache/s3";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { formatMetadata, newNonce } from "../src/entry/entry.js";
import { devBucket, type Bucket } from "./support/handler.js";
import { rejectionOf } from "./support/rejection.js";
import { startPresignServer, type PresignServer } from "./support/presign-server.js";

let bucket: Bucket & { stop(): Promise<void> };
let server: PresignServer;
let serverCache: Cache;
beforeAll(async () => {
  bucket = await devBucket();
  server = await startPresignServer(bucket);
  serverCache = createCache({ store: s3Store(bucket), memory: false });
});
afterAll(async () => {
  await server.stop();
  await bucket.stop();
});

/** Makes the cache of a page that was handed these grants, as JSON. */
const pageWith = (...grants: Grant[]) =>
  createCache({ store: presignedStore({ grants: JSON.parse(JSON.stringify(grants)) as Grant[] }) });
const writeGrant = (key: string, options: PresignOptions = {}) =>
  serverCache.presign(key, { operation: "write", ...options });

describe("a grant to read", () => {
  test.each([
    ["a small value", { a: [1, null] }, {}],
    ["a compressed value", "x".repeat(5_000), { compress: true }],
    ["a value that JSON has no word for", new Map([[1n, new Date(0)]]), {}],
    ["bytes", new Uint8Array([1, 2, 3]), {}],
  ])("gives %s to a page without a handler", async (_, value, options) => {
    await serverCache.set("handed", value, options);
    expect(await pageWith(await serverCache.presign("handed")).get("handed")).toEqual(value);
  });

  test("gives metadata and streams too", async () => {
    await serverCache.set("handed", "y".repeat(5_000), { compress: true, ttl: "1h" });
    const cache = pageWith(await serverCache.presign("handed"));
    expect(await cache.has("handed")).toBe(true);
    const response = await cache.getResponse("handed");
    expect(response?.headers.get("content-length")).toBeNull();
    expect((await response?.text())?.length).toBe(5_000);
    const range = { offset: 0, length: 3 };
    expect(await rejectionOf(cache.getStream("handed", { range }))).toMatchObject({ code: "ERR_UNSUPPORTED" });
    const entry = await cache.getEntry("handed");
    expect(entry?.expiresAt?.getTime()).toBeGreaterThan(Date.now() + 3_500_000);
    expect(await new Response(await cache.getStream("handed")).text()).toBe("y".repeat(5_000));
  });

  test("of a function's result is as good as the call", async () => {
    const wrapped = serverCache.wrap((n: number) => ({ n }), { name: "handed" });
    const grant = await wrapped.presign(5);
    const never = vi.fn((n: number) => ({ n }));
    expect(await pageWith(grant).wrap(never, { name: "handed" })(5)).toEqual({ n: 5 });
    expect(never).not.toHaveBeenCalled();
  });

  test("that a page got from its handler can be handed on", async () => {
    await serverCache.set("handed", "z".repeat(5_000), { compress: true });
    const cache = createCache({ store: server.store() });
    const grant = await cache.presign("handed");
    expect(grant).toMatchObject({ key: "cache/handed", operation: "read", method: "GET" });
    expect(await pageWith(grant).get("handed")).toBe("z".repeat(5_000));
    // By itself, too: whoever opens the URL knows nothing of our gzip.
    expect(await (await fetch(grant.url)).text()).toBe("z".repeat(5_000));
    for (const options of [{ filename: "a.txt" }, { contentType: "text/html" }, { expiresIn: 5 }]) {
      expect(await rejectionOf(cache.presign("handed", options))).toMatchObject({ code: "ERR_UNSUPPORTED" });
    }
  });
});

describe("a grant to write", () => {
  test.each<[string, unknown, PresignOptions]>([
    ["JSON", { a: 1 }, { contentType: "application/json", size: 7 }],
    ["text", "hello", { contentType: "text/plain" }],
    ["bytes of a type", new Uint8Array([1, 2]), { contentType: "image/png", size: 2 }],
    ["JSON that would else be compressed", { long: "x".repeat(5_000) }, { contentType: "application/json" }],
  ])("takes %s from a page", async (_, value, options) => {
    await pageWith(await writeGrant("given", { ...options, ttl: "1h" })).set("given", value);
    const entry = await serverCache.getEntry("given");
    expect(entry?.value).toEqual(value);
    expect(entry?.expiresAt?.getTime()).toBeGreaterThan(Date.now() + 3_500_000);
  });

  test.each([
    ["a Blob", () => new Blob(["hello"], { type: "text/csv" })],
    ["a stream", () => new Blob(["hello"]).stream()],
  ])("takes %s, also when compression was asked for, and stores it plain", async (_, make) => {
    await pageWith(await writeGrant("given", { contentType: "text/csv", size: 5 })).set("given", make(), {
      contentType: "text/csv",
      compress: true,
    });
    const response = await serverCache.getResponse("given", { raw: true });
    expect(response?.headers.get("content-type")).toBe("text/csv");
    expect(await response?.text()).toBe("hello");
  });

  test("gives the entry the life of the cache's entries, unless it names another", async () => {
    const endOf = async (ttl: PresignOptions["ttl"]) => {
      const cache = createCache({ store: s3Store(bucket), ttl: "1h" });
      const { headers } = await cache.presign("given", { operation: "write", ...(ttl !== undefined && { ttl }) });
      return Math.round((Number(headers["x-amz-meta-expires_at"]) - Date.now() / 1_000) / 60);
    };
    expect(await endOf(undefined)).toBe(60);
    expect(await endOf("2m")).toBe(2);
    expect(await endOf(Infinity)).toBeNaN();
  });

  test("that a page got from its handler can be handed on", async () => {
    const cache = createCache({ store: server.store() });
    const grant = await cache.presign("given", {
      operation: "write",
      contentType: "application/json",
      size: 2,
      ttl: 60,
    });
    await pageWith(grant).set("given", 42);
    expect(await serverCache.get("given")).toBe(42);
    await expect(cache.presign("given", { operation: "write" })).rejects.toThrow(TypeError);
    const remove = await cache.presign("given", { operation: "delete" });
    await pageWith(remove).delete("given");
    expect(await serverCache.get("given")).toBeUndefined();
  });

  test.each<[string, unknown, PresignOptions, RegExp]>([
    ["another size", "hello!", { contentType: "text/plain", size: 5 }, /5 bytes, and there are 6/],
    ["another kind of value", { a: 1 }, { contentType: "text/plain" }, /for text as text\/plain, not for json/],
    ["another type", new Blob(["x"], { type: "image/png" }), { contentType: "image/jpeg" }, /image\/jpeg/],
    ["a stream that is longer", new Blob(["hello!"]).stream(), { size: 5 }, /5 bytes/],
  ])("refuses %s before anything is sent, and says why", async (_, value, options, message) => {
    const error = await rejectionOf(pageWith(await writeGrant("given", options)).set("given", value));
    expect(["ERR_FORBIDDEN", "ERR_TOO_LARGE"]).toContain(error.code);
    expect(error.message).toMatch(message);
  });

  test("does not let memory outlive the object that was granted", async () => {
    const cache = pageWith(await writeGrant("given", { contentType: "application/json", ttl: 30 }));
    await cache.set("given", 1);
    expect(await cache.get("given")).toBe(1);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 31_000 });
    try {
      expect((await rejectionOf(cache.get("given"))).message).toMatch(/no grant to read/);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("a page whose clock is wrong", () => {
  afterEach(() => {
    vi.useRealTimers();
    over.clear();
  });

  /**
   * What the bucket answers is taken down while the clock is right, so that only this side has a wrong one. Pages see no
   * `Date`: just what was handed to them tells the time.
   */
  const handed = async (grants: Grant[]) => {
    const answers = new Map<string, { status: number; headers: Headers; body: ArrayBuffer }>();
    for (const { operation, url } of grants) {
      const response = operation === "write" ? new Response(null, { headers: { etag: '"e1"' } }) : await fetch(url);
      const headers = new Headers(response.headers);
      headers.delete("date");
      answers.set(url, { status: response.status, headers, body: await response.arrayBuffer() });
    }
    const replay = async (input: RequestInfo | URL) => {
      const { body, ...init } = answers.get(String(input))!;
      if (over.has(String(input))) return new Response(OVER, { status: 403 });
      return new Response(body, init);
    };
    const store = presignedStore({ grants, fetch: replay });
    return createCache({ store, memory: { revalidateAfter: "1d" } });
  };
  const OVER = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
  /** URLs of grants that the store calls expired. */
  const over = new Set<string>();
  const HOUR = 3_600_000;
  const skew = (hours: number, later = 0) =>
    vi.useFakeTimers({ toFake: ["Date"], now: realNow() + hours * HOUR + later });
  const realNow = Date.now.bind(Date);

  test.each([2, 0, -2])(
    "by %i hours sees what lives and not what has ended, for as long as others do",
    async (hours) => {
      await serverCache.set("long", "long", { ttl: "1h" });
      await serverCache.set("short", "short", { ttl: "2m" });
      const metadata = formatMetadata({
        created: Date.now() / 1_000 - 60,
        codec: "json",
        nonce: newNonce(),
        expiresAt: Date.now() / 1_000 - 3,
        compressed: false,
      });
      await s3Store(bucket).put("cache/over", new Uint8Array([0x31]), {
        contentType: "application/json",
        metadata,
        cacheControl: "no-store, bucketcache=1",
      });
      const grants = await Promise.all(["long", "short", "over"].map((key) => serverCache.presign(key)));
      const cache = await handed(grants);
      skew(hours);
      expect(await Promise.all(["long", "short", "over"].map((key) => cache.get(key)))).toEqual([
        "long",
        "short",
        undefined,
      ]);
      // From memory: when it ends in the bucket, it ends here.
      skew(hours, 100_000);
      expect((await cache.getEntry("short"))?.source).toBe("memory");
      skew(hours, 140_000);
      expect(await cache.get("short")).toBeUndefined();
      expect((await cache.getEntry("long"))?.source).toBe("memory");
    },
  );

  test.each([2, -2])("by %i hours writes an entry that lives as long as was granted", async (hours) => {
    const grants = [
      await writeGrant("given", { contentType: "application/json", ttl: "1h" }),
      await serverCache.presign("given"),
    ];
    const cache = await handed(grants);
    skew(hours);
    await cache.set("given", 1);
    expect((await cache.getEntry("given"))?.source).toBe("memory");
    skew(hours, HOUR + 5_000);
    expect(await cache.get("given")).toBeUndefined();
  });

  test("is believed to be right when the store agrees that a grant has ended", async () => {
    await serverCache.set("long", "long", { ttl: "8m" });
    await serverCache.set("brief", "brief");
    const [long, brief] = [await serverCache.presign("long", { expiresIn: "1h" }), await serverCache.presign("brief")];
    const cache = await handed([long, brief]);
    over.add(brief.url);
    skew(0, 600_000);
    expect((await rejectionOf(cache.get("brief"))).message).toMatch(/has ended/);
    expect(await cache.get("long")).toBeUndefined();
  });

  test("is not believed to be wrong because a grant has ended meanwhile", async () => {
    await serverCache.set("long", "long", { ttl: "1h" });
    await serverCache.set("brief", "brief", { ttl: "4m" });
    const cache = await handed([
      await serverCache.presign("long", { expiresIn: "1h" }),
      await serverCache.presign("brief"),
    ]);
    expect(await Promise.all([cache.get("long"), cache.get("brief")])).toEqual(["long", "brief"]);
    skew(0, 310_000);
    expect(await cache.get("brief")).toBeUndefined();
    expect(await cache.get("long")).toBe("long");
    skew(0, HOUR + 5_000);
    expect(await cache.get("long")).toBeUndefined();
  });
});

describe("a store of grants", () => {
  test("refuses all else with a message that says so", async () => {
    await serverCache.set("handed", 1);
    const cache = pageWith(await serverCache.presign("handed"));
    const store = presignedStore({ grants: [] });
    const calls = {
      "another key": cache.get("other"),
      "a write": cache.set("handed", 2),
      "a delete": cache.delete("handed"),
      "a list": store.list("")[Symbol.asyncIterator]().next(),
      "a head": store.head("cache/handed"),
    };
    for (const [what, call] of Object.entries(calls)) {
      expect(await rejectionOf(call), what).toMatchObject({ code: "ERR_FORBIDDEN", store: "presigned" });
    }
    expect(await serverCache.get("handed")).toBe(1);
  });

  test("says when a grant has ended", async () => {
    await serverCache.set("handed", 1);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() - 3_600_000 });
    const grant = await createCache({ store: s3Store(bucket) })
      .presign("absent")
      .finally(() => vi.useRealTimers());
    vi.useRealTimers();
    const ended = { ...grant, url: grant.url.replace(/X-Amz-Date=\d{8}/, "X-Amz-Date=20200101") };
    const error = await rejectionOf(pageWith(ended).get("absent"));
    expect(error).toMatchObject({ code: "ERR_FORBIDDEN", key: "cache/absent" });
    expect(error.message).toMatch(/has ended/);
  });

  test("takes the one of two grants that lives longer, whatever their order", async () => {
    await serverCache.set("handed", 1);
    const long = await serverCache.presign("handed", { expiresIn: "1h" });
    const short = { ...(await serverCache.presign("handed")), url: "http://127.0.0.1:1/" };
    expect(await pageWith(long, short).get("handed")).toBe(1);
    expect(await pageWith(short, long).get("handed")).toBe(1);
  });
});
