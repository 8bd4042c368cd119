import { createCache, type CacheOptions } from "bucketcache";
import { presignedStore } from "bucketcache/presigned";
import { s3Store } from "bucketcache/s3";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { devBucket, type Bucket } from "./support/handler.js";
import { rejectionOf } from "./support/rejection.js";
import { startPresignServer, type PresignServer } from "./support/presign-server.js";

const MIB = 1 << 20;

let bucket: Bucket & { stop(): Promise<void> };
let server: PresignServer;
beforeAll(async () => {
  bucket = await devBucket();
});
afterAll(async () => bucket.stop());
beforeEach(async () => {
  server = await startPresignServer(bucket);
});
afterEach(async () => server.stop());

const pageCache = (options: Partial<CacheOptions> = {}) => createCache({ store: server.store(), ...options });
const serverCache = (options: Partial<CacheOptions> = {}) => createCache({ store: s3Store(bucket), ...options });
const requestsSent = (method: string) => server.sent.filter((each) => each === method).length;
const forgetRequests = () => {
  server.batches.length = 0;
  server.sent.length = 0;
};

describe("a cache without credentials", () => {
  test("reads what a server wrote, and the server reads what it wrote", async () => {
    const [here, remote] = [pageCache(), serverCache()];
    await remote.set("from-server", { when: new Date(0), n: 1n }, { ttl: "1h" });
    expect(await here.get("from-server")).toEqual({ when: new Date(0), n: 1n });
    await here.set("from-page", "x".repeat(10_000), { ttl: "1h", compress: true });
    const entry = await remote.getEntry("from-page");
    expect(entry).toMatchObject({ value: "x".repeat(10_000), contentType: "text/plain; charset=utf-8" });
    expect(entry?.size).toBeLessThan(1_000);
    const left = (Number(entry?.expiresAt) - Date.now()) / 1_000;
    expect(left).toBeGreaterThan(3_590);
    expect(left).toBeLessThan(3_605);
  });

  test("shares function results with the server", async () => {
    const fn = (n: number) => ({ twice: n * 2 });
    const remote = serverCache().wrap(fn, { name: "twice" });
    await remote(21);
    const never = vi.fn(fn);
    expect(await pageCache().wrap(never, { name: "twice" })(21)).toEqual({ twice: 42 });
    expect(never).not.toHaveBeenCalled();
    await pageCache().wrap(fn, { name: "twice" })(4);
    const neither = vi.fn(fn);
    expect(await serverCache().wrap(neither, { name: "twice" })(4)).toEqual({ twice: 8 });
    expect(neither).not.toHaveBeenCalled();
  });

  test("deletes, lists and clears", async () => {
    const cache = pageCache({ prefix: "clearing/" });
    await cache.setMany(["a", "b", "c"].map((key) => ({ key, value: key })));
    await cache.delete("b");
    const keys = [];
    for await (const { key, lastModified } of cache.list()) {
      keys.push(key);
      expect(lastModified.getTime()).toBeGreaterThan(0);
    }
    expect(keys).toEqual(["a", "c"]);
    await cache.clear({ all: true });
    expect(await serverCache({ prefix: "clearing/" }).get("a")).toBeUndefined();
  });

  test("runs the function when the handler is down, and says so", async () => {
    server.intercept = () => Promise.reject(new TypeError("fetch failed"));
    const cache = pageCache();
    const errors: string[] = [];
    cache.on("error", ({ error }) => errors.push(error.code));
    expect(await cache.getOrSet("down", () => 7)).toBe(7);
    expect(new Set(errors)).toEqual(new Set(["ERR_UNAVAILABLE"]));
  });
});

describe("batches and grants", () => {
  const keys = Array.from({ length: 100 }, (_, i) => `many/${i}`);
  beforeAll(async () => {
    await serverCache().setMany(keys.map((key) => ({ key, value: key })));
  });

  test.each([
    ["get", (cache: ReturnType<typeof pageCache>) => Promise.all(keys.map((key) => cache.get(key)))],
    ["getMany", (cache: ReturnType<typeof pageCache>) => cache.getMany(keys)],
  ])("100 entries by %s are one handler request and 100 GETs; again none and 100", async (_, read) => {
    const cache = pageCache({ memory: false });
    expect(await read(cache)).toEqual(keys);
    expect([server.batches.length, requestsSent("GET"), server.sent.length]).toEqual([1, 100, 100]);
    forgetRequests();
    expect(await read(cache)).toEqual(keys);
    expect([server.batches.length, requestsSent("GET"), server.sent.length]).toEqual([0, 100, 100]);
  });

  test("from memory they are none and none", async () => {
    const cache = pageCache();
    await cache.getMany(keys);
    forgetRequests();
    expect(await cache.getMany(keys)).toEqual(keys);
    expect([server.batches, server.sent]).toEqual([[], []]);
  });

  test("a handler that takes smaller batches is asked in such, and is told no second time", async () => {
    await server.stop();
    server = await startPresignServer(bucket, { maxBatch: 30 });
    const cache = pageCache({ memory: false });
    expect(await cache.getMany(keys)).toEqual(keys);
    expect(server.batches.map((batch) => batch.length)).toEqual([100, 30, 30, 30, 10]);
  });

  test("a batch keeps below the limit of a body, whatever the keys are", async () => {
    const long = Array.from({ length: 250 }, (_, i) => `${i}/${"ä/".repeat(330)}x`);
    expect(await pageCache().getMany(long)).toEqual(long.map(() => undefined));
    expect(server.batches.flat()).toHaveLength(250);
    for (const batch of server.batches) {
      expect(new TextEncoder().encode(JSON.stringify(batch)).length).toBeLessThan(262_144);
    }
  });

  test("a body parser that takes less than the handler gets smaller batches", async () => {
    server.intercept = (url, init) => {
      const isLarge = url.href === server.url && (init.body as Uint8Array).byteLength > 102_400;
      return isLarge ? new Response("<h1>Payload Too Large</h1>", { status: 413 }) : undefined;
    };
    const long = Array.from({ length: 250 }, (_, i) => `${i}/${"ä/".repeat(330)}x`);
    expect(await pageCache().getMany(long)).toEqual(long.map(() => undefined));
    const alone = rejectionOf(server.store().get(`${"a/".repeat(60_000)}x`));
    expect(await alone).toMatchObject({ code: "ERR_TOO_LARGE" });
  });

  test("a grant is not used beyond its end: shortly before, a new one is asked for", async () => {
    const store = server.store();
    await store.get("cache/many/1");
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
    try {
      vi.setSystemTime(Date.now() + 280_000);
      await store.head("cache/many/1");
      await store.get("cache/many/1");
      expect(server.batches.map(([request]) => request?.op)).toEqual(["get", "head"]);
      vi.setSystemTime(Date.now() + 15_000);
      await store.get("cache/many/1");
      expect(server.batches.map(([request]) => request?.op)).toEqual(["get", "head", "get"]);
    } finally {
      vi.useRealTimers();
    }
  });

  const expired = `<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>`;

  test("a grant that the store calls expired is signed again, once", async () => {
    let refusals = 1;
    server.intercept = (url) =>
      url.href !== server.url && refusals-- > 0 ? new Response(expired, { status: 403 }) : undefined;
    const cache = pageCache({ memory: false });
    expect(await cache.get("many/1")).toBe("many/1");
    expect(server.batches).toHaveLength(2);
    forgetRequests();
    refusals = Infinity;
    expect(await rejectionOf(cache.get("many/1"))).toMatchObject({ code: "ERR_CLOCK_SKEW" });
    expect(server.batches).toHaveLength(1);
  });

  test("calls that were aborted are left, and leave the others alone", async () => {
    const controller = new AbortController();
    const store = server.store();
    const left = store.get("cache/many/1", { signal: controller.signal });
    const stays = store.head("cache/many/2");
    controller.abort(new Error("enough"));
    await expect(left).rejects.toThrow("enough");
    expect(await stays).toBeDefined();
  });

  test("headers of the page go to the handler, and not to the bucket", async () => {
    const seen: [string, string | null][] = [];
    server.intercept = (url, init) => {
      seen.push([url.pathname, new Headers(init.headers).get("authorization")]);
      return undefined;
    };
    await server.store({ headers: { authorization: "Bearer x" } }).get("cache/many/1");
    expect(seen).toEqual([
      ["/presign", "Bearer x"],
      ["/test/cache/many/1", null],
    ]);
  });
});

describe("failures are told apart by code", () => {
  const html = () =>
    new Response("<!doctype html><title>Not found</title>", { headers: { "content-type": "text/html" } });
  const json = (value: unknown, status = 200) => Response.json(value, { status });
  const grant = (change: object) => {
    const whole = { method: "GET", url: "https://b.test/k", headers: {}, expiresAt: Date.now() / 1_000 + 300 };
    return json({ v: 1, now: Date.now() / 1_000, results: [{ ...whole, ...change }] });
  };

  test.each<[string, string, () => Response | Promise<Response>]>([
    ["no network", "ERR_UNAVAILABLE", () => Promise.reject(new TypeError("fetch failed"))],
    [
      "a refusal of authorize",
      "ERR_FORBIDDEN",
      () => json({ v: 1, now: 1, results: [{ error: { code: "ERR_FORBIDDEN", message: "no" } }] }),
    ],
    [
      "a refusal of the origin",
      "ERR_FORBIDDEN",
      () => json({ v: 1, error: { code: "ERR_FORBIDDEN", message: "no" } }, 403),
    ],
    ["a 403 of something before it", "ERR_FORBIDDEN", () => new Response("no", { status: 403 })],
    ["nobody signed in", "ERR_CREDENTIALS", () => new Response("", { status: 401 })],
    ["too many requests", "ERR_UNAVAILABLE", () => new Response("", { status: 429 })],
    ["a server that fails", "ERR_UNAVAILABLE", () => new Response("", { status: 502 })],
    ["no handler at that path", "ERR_PROTOCOL", () => new Response("", { status: 404 })],
    ["a page in its place", "ERR_PROTOCOL", html],
    ["a redirect to a login page", "ERR_PROTOCOL", () => Response.redirect("https://login.test/", 302)],
    ["another version", "ERR_PROTOCOL", () => json({ v: 2, now: 1, results: [{}] })],
    ["too few results", "ERR_PROTOCOL", () => json({ v: 1, now: 1, results: [] })],
    ["no time", "ERR_PROTOCOL", () => json({ v: 1, results: [{}] })],
    ["a grant without a URL", "ERR_PROTOCOL", () => grant({ url: undefined })],
    ["a grant that is a script", "ERR_PROTOCOL", () => grant({ url: "javascript:alert(1)" })],
    ["a grant without an end", "ERR_PROTOCOL", () => grant({ expiresAt: undefined })],
    ["an unknown code", "ERR_PROTOCOL", () => json({ v: 1, now: 1, results: [{ error: { code: "teapot" } }] })],
  ])("%s is %s", async (_, code, answer) => {
    server.intercept = (url) => (url.href === server.url ? answer() : undefined);
    const error = await rejectionOf(server.store().get("k"));
    expect(error).toMatchObject({ name: "BucketCacheError", code, store: "presigned" });
  });

  test("an answer without end is given up", async () => {
    server.intercept = () =>
      new Response(new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(MIB).fill(0x20)) }));
    expect(await rejectionOf(server.store().get("k"))).toMatchObject({ code: "ERR_PROTOCOL" });
  });

  test("a batch that fails as a whole tells each who waits its own key", async () => {
    server.intercept = () => new Response("", { status: 401 });
    const store = server.store();
    const errors = await Promise.all(["a", "b"].map((key) => rejectionOf(store.get(key))));
    expect(errors).toMatchObject([
      { code: "ERR_CREDENTIALS", key: "a", store: "presigned" },
      { code: "ERR_CREDENTIALS", key: "b", store: "presigned" },
    ]);
    const reason = new TypeError("Failed to fetch");
    server.intercept = () => Promise.reject(reason);
    const cut = await rejectionOf(store.get("c"));
    expect(cut).toMatchObject({ code: "ERR_UNAVAILABLE", key: "c", cause: { message: reason.message } });
  });

  test("what fails for a moment is asked again", async () => {
    let failures = 2;
    server.intercept = () => (failures-- > 0 ? new Response("", { status: 503 }) : undefined);
    expect(await server.store().get("cache/absent")).toBeUndefined();
  });

  test("no signature, and no header of the page, is in an error", async () => {
    server.intercept = (url, init) => {
      if (url.href === server.url) return undefined;
      throw new TypeError(`Failed to fetch ${url.href} ${JSON.stringify(init.headers)}`);
    };
    const store = server.store({ headers: { authorization: "Bearer top-secret" } });
    const error = await rejectionOf(store.get("cache/k"));
    const text = `${error.message} ${String((error as { cause?: unknown }).cause)} ${JSON.stringify(error)}`;
    expect(text).not.toMatch(/X-Amz-Signature=[0-9a-f]/);
    expect(text).not.toContain("top-secret");
  });

  describe("in a page", () => {
    const real = globalThis.fetch;
    beforeEach(() => {
      vi.stubGlobal("document", {});
      vi.stubGlobal("location", { origin: "https://page.test", href: "https://page.test/" });
      vi.stubGlobal("process", { ...process, versions: {} });
      vi.stubGlobal("navigator", { onLine: true });
      vi.stubGlobal("fetch", () => Promise.reject(new Error("the fetch that was given takes the place of this one")));
    });
    afterEach(() => vi.unstubAllGlobals());

    const broken = () => Promise.reject(new TypeError("Failed to fetch"));
    const isHandler = (url: URL) => url.href === server.url;

    test.each([
      ["handler", "allowedOrigins"],
      ["bucket", "ExposeHeaders"],
    ] as const)(
      "a %s that answers all but the page is CORS, and the error says what to allow",
      async (who, missing) => {
        server.intercept = (url, init) => {
          if (init.mode === "no-cors") return new Response(null);
          if (isHandler(url) === (who === "handler")) return broken();
          return real(url, init);
        };
        const error = await rejectionOf(server.store().get("k"));
        expect(error).toMatchObject({ code: "ERR_CORS" });
        expect(error.message).toContain('"https://page.test"');
        expect(error.message).toContain(missing);
      },
    );

    describe("a bucket that shows", () => {
      const OURS = ["x-amz-meta-entry", "x-amz-meta-expires_at", "x-amz-meta-compressed", "etag"];
      /** Reads an entry through a rule that exposes just these. */
      const through = async (exposed: string[], options: { ttl?: string; compress?: boolean }) => {
        vi.unstubAllGlobals();
        await serverCache().set("shown", "x".repeat(5_000), { compress: false, ...options });
        vi.stubGlobal("document", {});
        vi.stubGlobal("process", { ...process, versions: {} });
        server.intercept = async (url, init) => {
          if (isHandler(url)) return real(url, init);
          const answer = await real(url, init);
          const headers = new Headers(answer.headers);
          for (const name of OURS) if (!exposed.includes(name)) headers.delete(name);
          return new Response(answer.body, { status: answer.status, headers });
        };
        return pageCache().get("shown");
      };

      test.each<[string, string[], { ttl?: string; compress?: boolean }]>([
        ["no more than the entry", ["x-amz-meta-entry"], {}],
        ["no more than the entry", ["x-amz-meta-entry"], { ttl: "1h", compress: true }],
        ["entry and end", OURS.slice(0, 2), { ttl: "1h", compress: true }],
        ["entry and compression", [OURS[0]!, OURS[2]!], { ttl: "1h", compress: true }],
      ])("%s: that is never taken for all, but an error that names the rest", async (_, exposed, options) => {
        const error = await rejectionOf(through(exposed, options));
        expect(error).toMatchObject({ code: "ERR_CORS", key: "cache/shown" });
        expect(error.message).toMatch(/hides etag, and perhaps x-amz-meta-.*"ExposeHeaders"/);
        for (const name of OURS) expect(error.message).toContain(name);
      });

      test.each([{}, { ttl: "1h" }, { compress: true }])("all of it, is read: %o", async (options) => {
        expect(await through(OURS, options)).toBe("x".repeat(5_000));
      });
    });

    test("nobody that answers is no CORS", async () => {
      server.intercept = broken;
      expect(await rejectionOf(server.store().get("k"))).toMatchObject({ code: "ERR_UNAVAILABLE" });
    });

    test("who is offline is not asked, and it is no CORS", async () => {
      vi.stubGlobal("navigator", { onLine: false });
      const modes: unknown[] = [];
      server.intercept = (_, { mode }) => {
        modes.push(mode);
        return mode === "no-cors" ? new Response(null) : broken();
      };
      expect(await rejectionOf(server.store().get("k"))).toMatchObject({ code: "ERR_UNAVAILABLE" });
      expect(new Set(modes)).toEqual(new Set([undefined]));
    });
  });
});

describe("misuse", () => {
  test.each([
    ["nothing", undefined],
    ["no url", {}],
    ["a url that is none", { url: "not a url" }],
    ["a relative url where there is no page", { url: "/presign" }],
    ["a concurrency of nothing", { url: "https://a.test/", concurrency: 0 }],
    ["grants that are none", { grants: [{ key: "a" }] }],
    ["a grant that is null", { grants: [null] }],
  ])("%s is a TypeError", (_, options) => {
    expect(() => presignedStore(options as never)).toThrow(TypeError);
  });
});
