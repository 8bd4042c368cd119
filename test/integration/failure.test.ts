import { HeadObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { createCache, isBucketCacheError, type Cache, type CacheOptions } from "bucketcache";
import { s3Store } from "bucketcache/s3";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { makeBucket, type TestBucket } from "../support/bucket.js";
import { startProxy, type FaultProxy, type Interference } from "../support/proxy.js";
import { script } from "../support/script.js";
import { deferred, heard, textOf } from "../support/stores.js";

const MIB = 1 << 20;
const ENTRY = "v=1, created=1.0, codec=text, nonce=:AAAAAAAAAAAAAAAAAAAAAA==:";

let bucket: TestBucket;
let proxy: FaultProxy;
let caches: Cache[] = [];
let prefix: string;
let count = 0;

beforeAll(async () => {
  bucket = await makeBucket();
  proxy = await startProxy(bucket.options.endpoint);
});

afterAll(async () => {
  await proxy.close();
  await bucket.remove();
});

beforeEach(() => {
  proxy.reset();
  prefix = `test-${++count}/`;
});

afterEach(async () => {
  await Promise.all(caches.map((cache) => cache.close()));
  caches = [];
});

function open(options: Partial<CacheOptions> = {}): Cache {
  const cache = createCache({ store: s3Store({ ...bucket.options, endpoint: proxy.endpoint }), prefix, ...options });
  caches.push(cache);
  return cache;
}

const where = (key: string) => ({ Bucket: bucket.bucket, Key: prefix + key });
const asked = () => proxy.requests.map(({ method }) => method);
const xml = (code: string) => `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code}!</Message></Error>`;

const DOWN: [string, Interference][] = [
  ["drops every connection", { drop: "before" }],
  ["answers 503 SlowDown", { answer: { status: 503, body: xml("SlowDown") } }],
  ["answers 500 without a word", { answer: { status: 500 } }],
  ["answers 429", { answer: { status: 429 } }],
  ["answers with a page of a load balancer", { answer: { status: 502, body: "<html>Bad Gateway</html>" } }],
];

describe.each(DOWN)("a store that %s", (_, trouble) => {
  test("is tried three times; then get and set throw, and wrap and getOrSet run the function and tell", async () => {
    proxy.hook = () => trouble;
    const cache = open();
    const errors = heard(cache, "error");
    for (const call of [() => cache.get("k"), () => cache.set("k", 1), () => cache.has("k"), () => cache.delete("k")]) {
      proxy.requests.length = 0;
      const error: unknown = await call().catch((error: unknown) => error);
      expect(isBucketCacheError(error)).toBe(true);
      expect(error).toMatchObject({
        code: "ERR_UNAVAILABLE",
        key: `${prefix}k`,
        store: `s3:${bucket.bucket}`,
        message: expect.stringContaining(bucket.bucket) as string,
      });
      expect(proxy.requests).toHaveLength(3);
    }
    expect(errors).toEqual([]);
    let calls = 0;
    const square = cache.wrap((n: number) => ({ call: ++calls, n: n * n }), { name: "square" });
    expect(await square(3)).toEqual({ call: 1, n: 9 });
    expect(await cache.getOrSet("l", () => "computed")).toBe("computed");
    expect(errors).toMatchObject([
      { key: square.keyOf(3), error: { code: "ERR_UNAVAILABLE" } },
      { key: "l", error: { code: "ERR_UNAVAILABLE" } },
    ]);
    // Memory serves it until the store is back.
    expect(await square(3)).toEqual({ call: 1, n: 9 });

    const strict = open({ whenUnavailable: "throw" });
    await expect(strict.getOrSet("l", () => "computed")).rejects.toMatchObject({ code: "ERR_UNAVAILABLE" });
  });

  test("for one request is not noticed by anybody", async () => {
    const cache = open();
    const errors = heard(cache, "error");
    let next = 0;
    // Every second request fails: each is tried again.
    proxy.hook = () => (next++ % 2 === 0 ? trouble : undefined);
    await cache.set("k", { a: 1 });
    const reader = open();
    expect(await reader.get("k")).toEqual({ a: 1 });
    expect(await open().getOrSet("new", () => 2)).toBe(2);
    expect(await reader.has("new")).toBe(true);
    expect(await textOf(await reader.getStream("k"))).toBe('{"a":1}');
    const listed: string[] = [];
    for await (const { key } of reader.list()) listed.push(key);
    expect(listed).toEqual(["k", "new"]);
    await reader.delete("k");
    expect(await open().get("k")).toBeUndefined();
    expect(errors).toEqual([]);
  });
});

describe("a store that comes back", () => {
  test("is used again at once", async () => {
    const cache = open();
    proxy.hook = () => ({ drop: "before" });
    expect(await cache.getOrSet("k", () => "computed")).toBe("computed");
    proxy.reset();
    expect(await open().getOrSet("k", () => "again")).toBe("again");
    expect(asked()).toEqual(["GET", "PUT"]);
    expect(await cache.get("other")).toBeUndefined();
  });

  test("has what it had: a copy in memory that should have been checked serves meanwhile", async () => {
    const cache = open({ memory: { revalidateAfter: "1ms" } });
    const errors = heard(cache, "error");
    await cache.set("k", "v");
    proxy.hook = () => ({ drop: "before" });
    await expect
      .poll(async () => {
        expect(await cache.get("k")).toBe("v");
        return errors.length;
      })
      .toBeGreaterThan(0);
    expect(errors[0]).toMatchObject({ key: "k", error: { code: "ERR_UNAVAILABLE" } });
  });
});

describe("what the store refuses is thrown, with what to do", () => {
  const refusals: [string, number, string, string, RegExp][] = [
    ["AccessDenied", 403, xml("AccessDenied"), "ERR_FORBIDDEN", /s3:GetObject/],
    ["NoSuchBucket", 404, xml("NoSuchBucket"), "ERR_NO_SUCH_BUCKET", /create the bucket/],
    ["InvalidAccessKeyId", 403, xml("InvalidAccessKeyId"), "ERR_CREDENTIALS", /access key/],
    ["SignatureDoesNotMatch", 403, xml("SignatureDoesNotMatch"), "ERR_CREDENTIALS", /ignore_invalid_headers/],
    ["a redirect", 301, xml("PermanentRedirect"), "ERR_STORE", /region/],
  ];

  test.each(refusals)("%s", async (_, status, body, code, advice) => {
    proxy.hook = () => ({ answer: { status, body } });
    const cache = open();
    let calls = 0;
    for (const call of [() => cache.get("k"), () => cache.getOrSet("k", () => ++calls), () => cache.getStream("k")]) {
      const error: unknown = await call().catch((error: unknown) => error);
      expect(error).toMatchObject({ code, key: `${prefix}k`, message: expect.stringMatching(advice) as string });
      const all = JSON.stringify([error, (error as Error).message, String((error as Error).stack)]);
      expect(all).not.toMatch(/X-Amz-Signature|X-Amz-Credential/i);
      expect(all).not.toContain(bucket.options.credentials.secretAccessKey);
    }
    expect(calls).toBe(0);
  });

  test("403 is a miss with whenForbidden: miss", async () => {
    proxy.hook = ({ method }) =>
      method === "PUT" ? undefined : { answer: { status: 403, body: xml("AccessDenied") } };
    expect(await open({ whenForbidden: "miss" }).getOrSet("k", () => "computed")).toBe("computed");
    proxy.reset();
    expect(await open().get("k")).toBe("computed");
  });
});

describe("a transfer that breaks off", () => {
  test.each([100, 500_000])("after %d bytes is taken up again, not taken for damage", async (truncate) => {
    const text = "größe;".repeat(200_000);
    await open().set("k", text, { compress: false });
    const cache = open();
    const errors = heard(cache, "error");
    let cuts = 0;
    proxy.hook = ({ method }) => (method === "GET" && cuts++ < 2 ? { truncate } : undefined);
    expect((await cache.get("k")) === text).toBe(true);
    cuts = 0;
    expect((await textOf(await cache.getStream("k"))) === text).toBe(true);
    expect(errors).toEqual([]);
    expect(proxy.requests.at(-1)?.headers["range"]).toMatch(/^bytes=\d+-\d+$/);
  });

  test("each time is the store's failure: get throws, getOrSet computes, and nothing is overwritten", async () => {
    await open().set("k", "x".repeat(MIB), { compress: false });
    proxy.hook = ({ method }) => (method === "GET" ? { truncate: 1_000 } : undefined);
    const cache = open();
    await expect(cache.get("k")).rejects.toMatchObject({ code: "ERR_UNAVAILABLE", key: `${prefix}k` });
    expect(await cache.getOrSet("k", () => "computed")).toBe("computed");
    proxy.reset();
    expect(await open().get("k")).toBe("x".repeat(MIB));
  });

  test("while another writes is an error, never a mixture", async () => {
    await open().set("k", "a".repeat(4 * MIB), { compress: false });
    let cut = false;
    proxy.hook = ({ method }) => {
      if (method !== "GET" || cut) return undefined;
      cut = true;
      const Metadata = { entry: ENTRY };
      return {
        truncate: MIB,
        after: () => bucket.client.send(new PutObjectCommand({ ...where("k"), Body: "b".repeat(4 * MIB), Metadata })),
      };
    };
    await expect(open().get("k")).rejects.toMatchObject({ code: "ERR_CONFLICT", key: `${prefix}k` });
    expect(await open().get("k")).toBe("b".repeat(4 * MIB));
  });
});

describe("a PUT that was done and whose answer is lost", () => {
  /** Loses the answer to the first PUT. */
  const lose = () => {
    let lost = false;
    proxy.hook = ({ method }) => {
      if (method !== "PUT" || lost) return undefined;
      lost = true;
      return { drop: "after" };
    };
  };

  test("is tried again, refused with 412, and known by its nonce to be our own success", async () => {
    lose();
    const cache = open();
    expect(await cache.getOrSet("k", () => "computed")).toBe("computed");
    expect(asked()).toEqual(["GET", "PUT", "PUT", "HEAD"]);
    expect(proxy.requests.map(({ status }) => status)).toEqual([404, undefined, 412, 200]);
    expect(cache.stats().memory.entries).toBe(1);
    proxy.reset();
    expect(await cache.get("k")).toBe("computed");
    expect(asked()).toEqual([]);
  });

  test("is a lost race when the object there is another's", async () => {
    const cache = open();
    let tries = 0;
    proxy.hook = ({ method }) => {
      if (method !== "PUT" || tries++ > 0) return undefined;
      return {
        drop: "before",
        before: () =>
          bucket.client.send(new PutObjectCommand({ ...where("k"), Body: "theirs", Metadata: { entry: ENTRY } })),
      };
    };
    expect(await cache.getOrSet("k", () => "ours")).toBe("ours");
    expect(cache.stats().memory.entries).toBe(0);
    expect(await cache.get("k")).toBe("theirs");
  });

  test("is repeated by set, which asks nobody", async () => {
    lose();
    await open().set("k", "v");
    expect(asked()).toEqual(["PUT", "PUT"]);
    expect(await open().get("k")).toBe("v");
  });
});

describe("an abort in flight", () => {
  test.each<[string, (cache: Cache, signal: AbortSignal) => Promise<unknown>]>([
    ["get", (cache, signal) => cache.get("k", { signal })],
    ["getEntry", (cache, signal) => cache.getEntry("k", { signal })],
    ["getStream", (cache, signal) => cache.getStream("k", { signal })],
    ["has", (cache, signal) => cache.has("k", { signal })],
    ["set", (cache, signal) => cache.set("k", 1, { signal })],
    ["delete", (cache, signal) => cache.delete("k", { signal })],
    ["getMany", (cache, signal) => cache.getMany(["k", "l"], { signal })],
    ["setMany", (cache, signal) => cache.setMany([{ key: "k", value: 1 }], { signal })],
    ["deleteMany", (cache, signal) => cache.deleteMany(["k", "l"], { signal })],
    ["list", async (cache, signal) => cache.list({ signal }).next()],
    ["clear", (cache, signal) => cache.clear({ all: true, signal })],
    ["getOrSet", (cache, signal) => cache.getOrSet("k", () => 1, { signal })],
    ["getOrSetStream", (cache, signal) => cache.getOrSetStream("k", () => new Blob(["x"]), { signal })],
    ["wrap", (cache, signal) => cache.wrap(() => 1, { name: "f" }).with({ signal })()],
  ])("of %s rejects with the signal's own reason, and gives its connection up", async (_, call) => {
    const cache = open();
    const errors = heard(cache, "error");
    const controller = new AbortController();
    const reason = new Error("enough");
    const never = deferred();
    proxy.hook = () => ({
      before: () => {
        controller.abort(reason);
        return never.promise;
      },
    });
    await expect(call(cache, controller.signal)).rejects.toBe(reason);
    await expect.poll(() => proxy.connections).toBe(0);
    never.resolve();
    expect(errors).toEqual([]);
  });

  test("in the middle of a body ends the stream with the reason", async () => {
    await open().set("k", new Blob([new Uint8Array(32 * MIB)]));
    const controller = new AbortController();
    const reason = new Error("enough");
    const stream = (await open().getStream("k", { signal: controller.signal }))!;
    const reader = stream.getReader();
    await reader.read();
    controller.abort(reason);
    await expect(
      (async () => {
        while (!(await reader.read()).done);
      })(),
    ).rejects.toBe(reason);
  });

  test("of one caller leaves the others their load; of the last one ends it", async () => {
    const cache = open();
    const seen = deferred<AbortSignal>();
    const gate = deferred<string>();
    const load = ({ signal }: { signal: AbortSignal }) => {
      seen.resolve(signal);
      return gate.promise;
    };
    const [one, two] = [new AbortController(), new AbortController()];
    const first = cache.getOrSet("k", load, { signal: one.signal });
    const second = cache.getOrSet("k", load, { signal: two.signal });
    const signal = await seen.promise;
    one.abort(new Error("one"));
    await expect(first).rejects.toThrow("one");
    expect(signal.aborted).toBe(false);
    gate.resolve("value");
    expect(await second).toBe("value");

    const third = new AbortController();
    const seen2 = deferred<AbortSignal>();
    const pending = cache.getOrSet("l", ({ signal }) => (seen2.resolve(signal), new Promise(() => {})), {
      signal: third.signal,
    });
    const loadSignal = await seen2.promise;
    third.abort(new Error("three"));
    await expect(pending).rejects.toThrow("three");
    expect(loadSignal.aborted).toBe(true);
    proxy.reset();
    expect(await cache.getOrSet("l", () => "anew")).toBe("anew");
  });
});

test("10,000 expired, damaged, absent or refused reads leave no socket open", async () => {
  const cache = open({ memory: false, deleteExpired: false });
  const put = (key: string, Metadata: Record<string, string>, size = 300_000) =>
    bucket.client.send(new PutObjectCommand({ ...where(key), Body: new Uint8Array(size), Metadata }));
  await put("expired", { entry: ENTRY, expires_at: "1.5" });
  await put("expired small", { entry: ENTRY, expires_at: "1.5" }, 10);
  await put("damaged", { entry: "v=2, nonsense" });
  await put("foreign", {});
  const derived = cache.wrap(() => 1, { name: "f", shouldCache: () => false });
  await put(derived.keyOf(), {});
  const forbidden = { answer: { status: 403, body: xml("AccessDenied") } };
  proxy.hook = ({ path }) => (path.endsWith("forbidden") ? forbidden : undefined);
  const miss = async (read: Promise<unknown>) => expect(await read).toBeUndefined();
  const reads = [
    () => miss(cache.get("expired")),
    () => miss(cache.getStream("expired")),
    () => miss(cache.getResponse("expired small")),
    () => miss(cache.get("damaged")),
    () => miss(cache.getStream("damaged")),
    () => miss(cache.get("absent")),
    () => expect(cache.get("forbidden")).rejects.toMatchObject({ code: "ERR_FORBIDDEN" }),
    () => expect(cache.getStream("k", { range: { offset: -1 } })).rejects.toThrow(TypeError),
    async () => expect(await derived()).toBe(1),
    async () => (await cache.getStream("foreign"))?.cancel(),
  ];
  let left = 10_000;
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      while (left-- > 0) await reads[left % reads.length]!();
    }),
  );
  expect(proxy.connections).toBeLessThanOrEqual(20);
  await cache.close();
  await expect.poll(() => proxy.connections).toBe(0);
}, 180_000);

describe("a process whose clock is wrong", () => {
  const CLOCK = `
    import { createCache } from "bucketcache";
    import { s3Store } from "bucketcache/s3";
    const { options, prefix, offset } = JSON.parse(process.argv[2]);
    const real = Date.now;
    // As the clock of the machine would be wrong: before anything else asks for the time.
    globalThis.Date = class extends Date {
      constructor(...args) {
        if (args.length === 0) super(real() + offset);
        else super(...args);
      }
      static now() { return real() + offset; }
    };
    const log = {};
    const fresh = () => createCache({ store: s3Store(options), prefix });
    // Each of these is the first thing that a process does.
    log.read = await fresh().get("theirs");
    log.ended = (await fresh().get("ended")) ?? "miss";
    log.has = [await fresh().has("theirs"), await fresh().has("ended")];
    await fresh().set("ours", "value", { ttl: 600 });
    log.loaded = await fresh().getOrSet("loaded", () => "computed", { ttl: 600 });
    await fresh().set("streamed", new Blob(["streamed"]).stream(), { ttl: 600 });
    const cache = fresh();
    const wrapped = cache.wrap(() => ({ n: 1 }), { name: "f", ttl: 600 });
    await wrapped();
    log.key = wrapped.keyOf();
    await cache.set("short", "short", { ttl: 2 });
    log.before = await cache.get("short");
    const end = real() + 20_000;
    while ((await cache.get("short")) !== undefined && real() < end) await new Promise((resolve) => setTimeout(resolve, 50));
    log.after = (await cache.get("short")) ?? "miss";
    log.lived = real() - (end - 20_000);
    log.listed = 0;
    for await (const _ of cache.list()) log.listed++;
    await cache.close();
    console.log(JSON.stringify(log));`;

  test.each([
    ["20 minutes slow", -20 * 60],
    ["20 minutes fast", 20 * 60],
    ["two hours slow", -7_200],
    ["two hours fast", 7_200],
  ])("by being %s reads, writes and ends entries at the right time", async (_, seconds) => {
    const now = Date.now() / 1000;
    const other = createCache({ store: s3Store(bucket.options), prefix });
    await other.set("theirs", "value", { ttl: 600 });
    const ended = { entry: ENTRY, expires_at: String(now - 5) };
    await bucket.client.send(new PutObjectCommand({ ...where("ended"), Body: "x", Metadata: ended }));
    const clock = await script(CLOCK);
    const printed = await clock.run({ options: bucket.options, prefix, offset: seconds * 1000 });
    clock.remove();
    const log = JSON.parse(printed) as Record<string, unknown> & { lived: number; key: string };
    expect(log).toMatchObject({
      read: "value",
      ended: "miss",
      has: [true, false],
      loaded: "computed",
      before: "short",
      after: "miss",
    });
    expect(log.lived).toBeLessThan(10_000);
    for (const key of ["ours", "loaded", "streamed", log.key]) {
      const { Metadata } = await bucket.client.send(new HeadObjectCommand(where(key)));
      expect(Math.abs(Number(Metadata?.["expires_at"]) - now - 600)).toBeLessThan(30);
      expect(Math.abs(Number(/created=([\d.]+)/.exec(Metadata?.["entry"] ?? "")?.[1]) - now)).toBeLessThan(30);
    }
    await other.close();
  });
});

test("a script that used the cache in every way ends by itself, without close", async () => {
  const user = await script(`
    import { createCache } from "bucketcache";
    import { s3Store } from "bucketcache/s3";
    const { options, prefix } = JSON.parse(process.argv[2]);
    const cache = createCache({ store: s3Store(options), prefix, memory: { revalidateAfter: "1h" } });
    cache.on("error", () => {});
    const wrapped = cache.wrap(async (n: number) => n, { name: "f", ttl: "1h" });
    await Promise.all([1, 2, 3].map((n) => wrapped(n)));
    await cache.set("k", "x".repeat(100_000), { ttl: "1h", write: "background" });
    await cache.get("absent");
    for await (const _ of (await cache.getStream("k"))!) break;
    const unread = await cache.getStream("k");
    await cache.set("large", new Blob([new Uint8Array(20 << 20)]).stream());
    for await (const _ of cache.list()) break;
    await cache.get("k", { signal: new AbortController().signal });
    await cache.deleteMany(["k", "large"]);
    console.log(unread !== undefined);
    const endsAt = Date.now();
    process.on("exit", () => console.log(Date.now() - endsAt < 10_000));`);
  expect(await user.run({ options: bucket.options, prefix })).toBe("true\ntrue\n");
  user.remove();
});
