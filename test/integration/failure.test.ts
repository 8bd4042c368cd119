import { PutObjectCommand } from "@aws-sdk/client-s3";
import { isBucketCacheError } from "bucketcache";
import { describe, expect, test } from "vitest";
import { cacheBucket } from "../support/cache-bucket.js";
import type { Interference } from "../support/proxy.js";
import { recordEvents, textOf } from "../support/stores.js";

const MIB = 1 << 20;

const fixture = cacheBucket();
const { open, requestMethods, locate } = fixture;
const ENTRY = "v=1, created=1.0, codec=text, nonce=:AAAAAAAAAAAAAAAAAAAAAA==:";
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
    fixture.proxy.hook = () => trouble;
    const cache = open();
    const errors = recordEvents(cache, "error");
    for (const call of [() => cache.get("k"), () => cache.set("k", 1), () => cache.has("k"), () => cache.delete("k")]) {
      fixture.proxy.requests.length = 0;
      const error: unknown = await call().catch((error: unknown) => error);
      expect(isBucketCacheError(error)).toBe(true);
      expect(error).toMatchObject({
        code: "ERR_UNAVAILABLE",
        key: `${fixture.prefix}k`,
        store: `s3:${fixture.bucket.bucket}`,
        message: expect.stringContaining(fixture.bucket.bucket) as string,
      });
      expect(fixture.proxy.requests).toHaveLength(3);
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
    const errors = recordEvents(cache, "error");
    let next = 0;
    // Every second request fails: each is tried again.
    fixture.proxy.hook = () => (next++ % 2 === 0 ? trouble : undefined);
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
    fixture.proxy.hook = () => ({ drop: "before" });
    expect(await cache.getOrSet("k", () => "computed")).toBe("computed");
    fixture.proxy.reset();
    expect(await open().getOrSet("k", () => "again")).toBe("again");
    expect(requestMethods()).toEqual(["GET", "PUT"]);
    expect(await cache.get("other")).toBeUndefined();
  });

  test("has what it had: a copy in memory that should have been checked serves meanwhile", async () => {
    const cache = open({ memory: { revalidateAfter: "1ms" } });
    const errors = recordEvents(cache, "error");
    await cache.set("k", "v");
    fixture.proxy.hook = () => ({ drop: "before" });
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
    fixture.proxy.hook = () => ({ answer: { status, body } });
    const cache = open();
    let calls = 0;
    for (const call of [() => cache.get("k"), () => cache.getOrSet("k", () => ++calls), () => cache.getStream("k")]) {
      const error: unknown = await call().catch((error: unknown) => error);
      expect(error).toMatchObject({
        code,
        key: `${fixture.prefix}k`,
        message: expect.stringMatching(advice) as string,
      });
      const all = JSON.stringify([error, (error as Error).message, String((error as Error).stack)]);
      expect(all).not.toMatch(/X-Amz-Signature|X-Amz-Credential/i);
      expect(all).not.toContain(fixture.bucket.options.credentials.secretAccessKey);
    }
    expect(calls).toBe(0);
  });

  test("403 is a miss with whenForbidden: miss", async () => {
    fixture.proxy.hook = ({ method }) =>
      method === "PUT" ? undefined : { answer: { status: 403, body: xml("AccessDenied") } };
    expect(await open({ whenForbidden: "miss" }).getOrSet("k", () => "computed")).toBe("computed");
    fixture.proxy.reset();
    expect(await open().get("k")).toBe("computed");
  });
});

describe("a transfer that breaks off", () => {
  test.each([100, 500_000])("after %d bytes is taken up again, not taken for damage", async (truncate) => {
    const text = "größe;".repeat(200_000);
    await open().set("k", text, { compress: false });
    const cache = open();
    const errors = recordEvents(cache, "error");
    let cuts = 0;
    fixture.proxy.hook = ({ method }) => (method === "GET" && cuts++ < 2 ? { truncate } : undefined);
    expect((await cache.get("k")) === text).toBe(true);
    cuts = 0;
    expect((await textOf(await cache.getStream("k"))) === text).toBe(true);
    expect(errors).toEqual([]);
    expect(fixture.proxy.requests.at(-1)?.headers["range"]).toMatch(/^bytes=\d+-\d+$/);
  });

  test("each time is the store's failure: get throws, getOrSet computes, and nothing is overwritten", async () => {
    await open().set("k", "x".repeat(MIB), { compress: false });
    fixture.proxy.hook = ({ method }) => (method === "GET" ? { truncate: 1_000 } : undefined);
    const cache = open();
    await expect(cache.get("k")).rejects.toMatchObject({ code: "ERR_UNAVAILABLE", key: `${fixture.prefix}k` });
    expect(await cache.getOrSet("k", () => "computed")).toBe("computed");
    fixture.proxy.reset();
    expect(await open().get("k")).toBe("x".repeat(MIB));
  });

  test("while another writes is read anew, never a mixture", async () => {
    await open().set("k", "a".repeat(4 * MIB), { compress: false });
    let cut = false;
    fixture.proxy.hook = ({ method }) => {
      if (method !== "GET" || cut) return undefined;
      cut = true;
      const Metadata = { entry: ENTRY };
      return {
        truncate: MIB,
        after: () =>
          fixture.bucket.client.send(new PutObjectCommand({ ...locate("k"), Body: "b".repeat(4 * MIB), Metadata })),
      };
    };
    expect(await open().get("k")).toBe("b".repeat(4 * MIB));
  });
});

describe("a PUT that was done and whose answer is lost", () => {
  /** Loses the answer to the first PUT. */
  const lose = () => {
    let lost = false;
    fixture.proxy.hook = ({ method }) => {
      if (method !== "PUT" || lost) return undefined;
      lost = true;
      return { drop: "after" };
    };
  };

  test("is tried again, refused with 412, and known by its nonce to be our own success", async () => {
    lose();
    const cache = open();
    expect(await cache.getOrSet("k", () => "computed")).toBe("computed");
    expect(requestMethods()).toEqual(["GET", "PUT", "PUT", "HEAD"]);
    expect(fixture.proxy.requests.map(({ status }) => status)).toEqual([404, undefined, 412, 200]);
    expect(cache.stats().memory.entries).toBe(1);
    fixture.proxy.reset();
    expect(await cache.get("k")).toBe("computed");
    expect(requestMethods()).toEqual([]);
  });

  test("is a lost race when the object there is another's", async () => {
    const cache = open();
    let tries = 0;
    fixture.proxy.hook = ({ method }) => {
      if (method !== "PUT" || tries++ > 0) return undefined;
      return {
        drop: "before",
        before: () =>
          fixture.bucket.client.send(
            new PutObjectCommand({ ...locate("k"), Body: "theirs", Metadata: { entry: ENTRY } }),
          ),
      };
    };
    expect(await cache.getOrSet("k", () => "ours")).toBe("ours");
    expect(cache.stats().memory.entries).toBe(0);
    expect(await cache.get("k")).toBe("theirs");
  });

  test("is repeated by set, which asks nobody", async () => {
    lose();
    await open().set("k", "v");
    expect(requestMethods()).toEqual(["PUT", "PUT"]);
    expect(await open().get("k")).toBe("v");
  });
});

test("10,000 expired, damaged, absent or refused reads leave no socket open", async () => {
  const cache = open({ memory: false, deleteExpired: false });
  const put = (key: string, Metadata: Record<string, string>, size = 300_000) =>
    fixture.bucket.client.send(new PutObjectCommand({ ...locate(key), Body: new Uint8Array(size), Metadata }));
  await put("expired", { entry: ENTRY, expires_at: "1.5" });
  await put("expired small", { entry: ENTRY, expires_at: "1.5" }, 10);
  await put("damaged", { entry: "v=2, nonsense" });
  await put("foreign", {});
  const derived = cache.wrap(() => 1, { name: "f", shouldCache: () => false });
  await put(derived.keyOf(), {});
  const forbidden = { answer: { status: 403, body: xml("AccessDenied") } };
  fixture.proxy.hook = ({ path }) => (path.endsWith("forbidden") ? forbidden : undefined);
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
  expect(fixture.proxy.connections).toBeLessThanOrEqual(20);
  await cache.close();
  await expect.poll(() => fixture.proxy.connections).toBe(0);
}, 180_000);
