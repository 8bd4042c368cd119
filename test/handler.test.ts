import { createCache } from "bucketcache";
import { createPresignHandler, type AuthorizeContext } from "bucketcache/handler";
import { memoryStore } from "bucketcache/memory";
import { s3Store } from "bucketcache/s3";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { parseClientId } from "../src/handler/uploads.js";
import type { GrantResult, ListResult } from "../src/presigned/protocol.js";
import {
  ask,
  devBucket,
  granted,
  HANDLER_URL,
  makeHandler,
  post,
  redeem,
  refused,
  uploadParts,
  type Bucket,
} from "./support/handler.js";
import { startProxy } from "./support/proxy.js";

const MIB = 1 << 20;

let bucket: Bucket & { stop(): Promise<void> };
beforeAll(async () => {
  bucket = await devBucket();
});
afterAll(async () => bucket.stop());

const store = () => s3Store(bucket);

describe("the store's time", () => {
  const TEN_MINUTES_MS = 600_000;

  test("is learned by one request, so that a handler whose clock is slow grants what the store takes", async () => {
    const requests: string[] = [];
    const ahead = async (input: string, init: RequestInit): Promise<Response> => {
      requests.push(`${init.method} ${new URL(input).pathname}`);
      const date = new Date(Date.now() + TEN_MINUTES_MS).toUTCString();
      return new Response(null, { status: 404, headers: { date } });
    };
    const slow = s3Store({ ...bucket, fetch: ahead });
    const handler = createPresignHandler({ store: slow, authorize: () => true, prefix: "cache/" });
    const read = { op: "get", key: "cache/a" };
    await granted(handler, read);
    await vi.waitFor(() => expect(slow.now!()).toBeGreaterThan(Date.now() + TEN_MINUTES_MS / 2));
    const asked = requests.length;
    expect(requests[0]).toBe("HEAD /test/cache/.bucketcache/time");
    const { url } = await granted(handler, read);
    const [, day, time] = /X-Amz-Date=(\d{8})T(\d{6})Z/.exec(url)!;
    const signedAt = Date.parse(`${day!.replace(/(....)(..)/, "$1-$2-")}T${time!.replace(/(..)(..)/, "$1:$2:")}Z`);
    expect(signedAt).toBeGreaterThan(Date.now() + TEN_MINUTES_MS / 2);
    expect(requests).toHaveLength(asked);
  });

  test("is asked for again when the store could not be reached", async () => {
    let requests = 0;
    const down = async (): Promise<Response> => {
      requests++;
      throw new Error("down");
    };
    const store = s3Store({ ...bucket, fetch: down, attempts: 1 });
    const handler = createPresignHandler({ store, authorize: () => true });
    for (const expected of [1, 2]) {
      await granted(handler, { op: "get", key: "a" });
      await vi.waitFor(() => expect(requests).toBe(expected));
      await new Promise((resolve) => setTimeout(resolve));
    }
  });
});

describe("a key with a backslash", () => {
  test.each(["cache/private\\secret", "cache/a%5Cb", "cache/a%255Cb"])("is refused: %s", async (key) => {
    const handler = makeHandler(bucket, { authorize: ({ key }) => !key.startsWith("cache/private/") });
    for (const request of [
      { op: "get", key },
      { op: "put", key, size: 1, contentType: "text/plain" },
      { op: "delete", key },
    ]) {
      expect(await refused(handler, request)).toBe("ERR_FORBIDDEN");
    }
  });
});

describe("grants", () => {
  test("a put and a get of one batch work on the store, without credentials", async () => {
    const handler = makeHandler(bucket);
    const [put, get, head] = (await ask(
      handler,
      { op: "put", key: "cache/a", size: 7, contentType: "application/json", codec: "json", ttl: 60 },
      { op: "get", key: "cache/a" },
      { op: "head", key: "cache/a" },
    )) as [GrantResult, GrantResult, GrantResult];
    expect((await redeem(put, '{"a":1}')).status).toBe(200);
    expect(await (await redeem(get)).text()).toBe('{"a":1}');
    expect((await redeem(head)).headers.get("content-length")).toBe("7");
    expect(await createCache({ store: store() }).get("a")).toEqual({ a: 1 });
  });

  test("the handler makes the metadata of an entry, by its own clock", async () => {
    const keyHash = `${"A".repeat(43)}=`;
    const handler = makeHandler(bucket);
    const before = Date.now() / 1_000;
    const { headers } = await granted(handler, {
      op: "put",
      key: "cache/a",
      size: 3,
      contentType: "text/csv",
      codec: "bytes",
      compressed: true,
      ttl: 60,
      keyHash,
    });
    expect(headers).toMatchObject({
      "content-type": "text/csv",
      "content-length": "3",
      "content-encoding": "identity",
      "cache-control": "no-store, bucketcache=1",
      "x-amz-meta-compressed": "true",
      "x-amz-copy-source-if-match": "none",
    });
    expect(headers["x-amz-meta-entry"]).toMatch(
      /^v=1, created=\d+\.\d+, codec=bytes, nonce=:[A-Za-z0-9+/]{22}==:, key=:A{43}=:$/,
    );
    expect(Number(headers["x-amz-meta-expires_at"])).toBeGreaterThanOrEqual(Math.floor((before + 60) * 1_000) / 1_000);
    expect(Number(headers["x-amz-meta-expires_at"])).toBeLessThan(before + 90);
  });

  test("two writes never share a nonce", async () => {
    const handler = makeHandler(bucket);
    const request = { op: "put", key: "cache/a", size: 1 };
    const [one, two] = (await ask(handler, request, request)) as GrantResult[];
    expect(one?.headers["x-amz-meta-entry"]).not.toBe(two?.headers["x-amz-meta-entry"]);
  });

  test("an answer tells the handler's time and is not to be kept by anybody", async () => {
    const response = await makeHandler(bucket)(post([{ op: "get", key: "k" }]));
    expect(response.headers.get("cache-control")).toBe("no-store");
    const { v, now } = (await response.json()) as { v: number; now: number };
    expect(v).toBe(1);
    expect(Math.abs(now - Date.now() / 1_000)).toBeLessThan(60);
  });

  test("a grant lives as long as the handler says, five minutes by default", async () => {
    const now = Date.now() / 1_000;
    const normal = await granted(makeHandler(bucket), { op: "get", key: "k" });
    const short = await granted(makeHandler(bucket, { expiresIn: "20s" }), { op: "get", key: "k" });
    expect(normal.expiresAt - now).toBeGreaterThan(290);
    expect(normal.expiresAt - now).toBeLessThan(330);
    expect(short.expiresAt - now).toBeLessThan(50);
  });

  test("conditions are signed: a put with ifNoneMatch does not overwrite, one with ifMatch only what was seen", async () => {
    const handler = makeHandler(bucket);
    const put = { op: "put", key: "cache/conditional", size: 3 };
    const first = await redeem(await granted(handler, { ...put, ifNoneMatch: "*" }), "one");
    expect(first.status).toBe(200);
    expect((await redeem(await granted(handler, { ...put, ifNoneMatch: "*" }), "two")).status).toBe(412);
    const etag = first.headers.get("etag") as string;
    expect((await redeem(await granted(handler, { ...put, ifMatch: etag }), "two")).status).toBe(200);
    expect((await redeem(await granted(handler, { ...put, ifMatch: etag }), "six")).status).toBe(412);
  });

  test("a delete grant deletes, with ifMatch only what was seen", async () => {
    const handler = makeHandler(bucket);
    const put = await redeem(await granted(handler, { op: "put", key: "cache/d", size: 1 }), "1");
    const stale = await granted(handler, {
      op: "delete",
      key: "cache/d",
      ifMatch: '"00000000000000000000000000000000"',
    });
    expect((await redeem(stale)).status).toBe(412);
    const fresh = { op: "delete", key: "cache/d", ifMatch: put.headers.get("etag") };
    expect((await redeem(await granted(handler, fresh))).status).toBe(204);
    expect(await store().head("cache/d")).toBeUndefined();
  });

  test("one refused request leaves the others of its batch alone", async () => {
    const handler = makeHandler(bucket, { authorize: ({ key }) => key !== "b" });
    const results = await ask(
      handler,
      { op: "get", key: "a" },
      { op: "get", key: "b" },
      { op: "no" },
      { op: "get", key: "c" },
    );
    expect(results.map((result) => ("error" in result ? result.error.code : "granted"))).toEqual([
      "granted",
      "ERR_FORBIDDEN",
      "ERR_PROTOCOL",
      "granted",
    ]);
  });
});

describe("authorize", () => {
  test("sees each request as it will be signed, and the HTTP request as it came", async () => {
    const seen: AuthorizeContext[] = [];
    const handler = makeHandler(bucket, { authorize: (context) => seen.push(context) > 0, allowList: true });
    const request = post(
      [
        { op: "get", key: "cache/ä %2F" },
        { op: "head", key: "cache/b" },
        { op: "put", key: "cache/c", size: 9, ttl: 60, contentType: "text/csv" },
        { op: "delete", key: "cache/d" },
        { op: "list", key: "cache/" },
        { op: "create", key: "cache/e" },
      ],
      { headers: { cookie: "session=1" } },
    );
    await handler(request);
    const facts = seen.map(({ request: _, ...rest }) => rest).sort((a, b) => (a.key < b.key ? -1 : 1));
    const none = { size: undefined, ttl: undefined, contentType: undefined };
    expect(facts).toEqual([
      { operation: "list", key: "cache/", ...none },
      { operation: "read", key: "cache/b", ...none },
      { operation: "write", key: "cache/c", size: 9, ttl: 60, contentType: "text/csv" },
      { operation: "delete", key: "cache/d", ...none },
      { operation: "write", key: "cache/e", ...none, contentType: "application/octet-stream" },
      { operation: "read", key: "cache/ä %2F", ...none },
    ]);
    for (const context of seen) expect(context.request).toBe(request);
    expect(await request.json()).toMatchObject({ v: 1 });
  });

  test("the key that it sees is the one that the URL names", async () => {
    let seen = "";
    const handler = makeHandler(bucket, { authorize: ({ key }) => (seen = key) !== "" });
    for (const key of ["cache/a%2Fb", "cache/a b+c", "cache/ä😀", "cache/%", "cache/a?b#c"]) {
      const { url } = await granted(handler, { op: "get", key });
      expect(seen).toBe(key);
      expect(decodeURIComponent(new URL(url).pathname)).toBe(`/test/${key}`);
    }
  });

  test.each([
    ["undefined", undefined],
    ["1", 1],
    ["a string", "true"],
    ["an object", {}],
    ["a promise of 1", Promise.resolve(1)],
  ])("%s does not grant, only true does", async (_, verdict) => {
    const handler = makeHandler(bucket, { authorize: () => verdict as boolean });
    expect(await refused(handler, { op: "get", key: "k" })).toBe("ERR_FORBIDDEN");
  });

  test("an exception denies, and what it says stays inside", async () => {
    const handler = makeHandler(bucket, {
      authorize: () => {
        throw new Error("secret: the database is at 10.0.0.1");
      },
    });
    const response = await handler(post([{ op: "get", key: "k" }]));
    const text = await response.text();
    expect(text).toContain("ERR_FORBIDDEN");
    expect(text).not.toContain("secret");
  });

  test.each([401, 429])("an exception with the status %i answers the whole batch with it", async (status) => {
    const handler = makeHandler(bucket, { authorize: () => Promise.reject(Object.assign(new Error("x"), { status })) });
    const response = await handler(post([{ op: "get", key: "k" }]));
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({
      error: { code: status === 401 ? "ERR_CREDENTIALS" : "ERR_UNAVAILABLE" },
    });
  });

  test("comes before all else: who is refused sends nothing to the store, and hears the same of any upload", async () => {
    const { uploadId } = await uploadParts(makeHandler(bucket), "cache/theirs", [10], { contentType: "text/csv" });
    const proxy = await startProxy(bucket.endpoint);
    const seen: AuthorizeContext[] = [];
    const handler = makeHandler(
      { ...bucket, endpoint: proxy.endpoint },
      { authorize: (context) => seen.push(context) === 0 },
    );
    const key = "cache/theirs";
    const of = (uploadId: string) => [
      { op: "part", key, uploadId, partNumber: 1, size: 10 },
      { op: "complete", key, uploadId },
      { op: "abort", key, uploadId },
    ];
    const answers = await ask(handler, ...of(uploadId), ...of(`${uploadId}x`), ...of("never-was"));
    expect(new Set(answers.map((answer) => JSON.stringify(answer)))).toEqual(
      new Set([JSON.stringify({ error: { code: "ERR_FORBIDDEN", message: "you may not write this" } })]),
    );
    expect(proxy.requests).toEqual([]);
    await proxy.close();
    expect(seen.slice(0, 2).map(({ size, contentType }) => [size, contentType])).toEqual([
      [10, "text/csv"],
      [undefined, "text/csv"],
    ]);
  });

  test("is asked again for each part, and for the total at the end", async () => {
    const sizes: unknown[] = [];
    const handler = makeHandler(bucket, { authorize: ({ size }) => sizes.push(size) > 0 });
    const { uploadId } = await uploadParts(handler, "cache/parts", [5 * MIB, 10], { contentType: "text/csv", ttl: 60 });
    await granted(handler, { op: "complete", key: "cache/parts", uploadId });
    expect(sizes).toEqual([undefined, 5 * MIB, 10, undefined, 5 * MIB + 10]);
  });
});

describe("multipart uploads", () => {
  const key = "cache/large";
  const signer = () => store().signer!;

  test("become one object with the metadata of its beginning, and leave nothing else behind", async () => {
    const handler = makeHandler(bucket, { prefix: "cache/" });
    const { uploadId, etags } = await uploadParts(handler, key, [5 * MIB, 5 * MIB, 1], {
      size: 10 * MIB + 1,
      ttl: 60,
      contentType: "text/csv",
    });
    const parts = etags.map((etag, index) => ({ partNumber: index + 1, etag }));
    const { etag } = await granted<{ etag: string }>(handler, { op: "complete", key, uploadId, parts });
    const head = await store().head(key);
    expect(head).toMatchObject({ size: 10 * MIB + 1, etag, contentType: "text/csv" });
    expect(head?.metadata["expires_at"]).toMatch(/^\d+/);
    const left = [];
    for await (const object of store().list("cache/.bucketcache/")) left.push(object.key);
    expect(left).toEqual([]);
  });

  test("another instance of the handler, with no memory of the beginning, may end them", async () => {
    const { uploadId } = await uploadParts(makeHandler(bucket), key, [5 * MIB, 7]);
    const other = makeHandler(bucket);
    await granted(other, { op: "part", key, uploadId, partNumber: 3, size: 7 });
    await granted(other, { op: "complete", key, uploadId, parts: 2 });
    expect(await store().head(key)).toMatchObject({ size: 5 * MIB + 7 });
  });

  test("completing twice, after an answer that was lost, is one success", async () => {
    const handler = makeHandler(bucket);
    const { uploadId } = await uploadParts(handler, key, [5 * MIB]);
    const first = await granted<{ etag: string }>(handler, { op: "complete", key, uploadId });
    expect(await granted(handler, { op: "complete", key, uploadId })).toEqual(first);
    await store().put(key, new Uint8Array(1), { contentType: "a/b", metadata: {} });
    expect(await refused(handler, { op: "complete", key, uploadId })).toBe("ERR_FORBIDDEN");
  });

  test("abort leaves nothing, and again is no error", async () => {
    const handler = makeHandler(bucket, { prefix: "cache/" });
    const { uploadId } = await uploadParts(handler, "cache/aborted", [5 * MIB]);
    for (let i = 0; i < 2; i++)
      expect(await granted(handler, { op: "abort", key: "cache/aborted", uploadId })).toEqual({});
    expect(await refused(handler, { op: "complete", key: "cache/aborted", uploadId })).toBe("ERR_FORBIDDEN");
    const left = [];
    for await (const object of store().list("cache/.bucketcache/")) left.push(object.key);
    expect(left).toEqual([]);
  });

  test("more than authorize grants of the total is aborted, with all its parts", async () => {
    const handler = makeHandler(bucket, { authorize: ({ size }) => size === undefined || size <= 6 * MIB });
    const { uploadId } = await uploadParts(handler, "cache/total", [5 * MIB, 2 * MIB]);
    expect(await refused(handler, { op: "complete", key: "cache/total", uploadId })).toBe("ERR_FORBIDDEN");
    await expect(signer().listParts("cache/total", parseClientId(uploadId).uploadId)).rejects.toThrow(/NoSuchUpload/);
    expect(await store().head("cache/total")).toBeUndefined();
  });

  describe("of somebody who may no longer write", () => {
    const revoked = { key: "cache/revoked", contentType: "text/csv" };
    const as = (headers: Record<string, string>, ...requests: object[]) => post(requests, { headers });
    const results = async (response: Promise<Response>) =>
      ((await (await response).json()) as { results: Record<string, unknown>[] }).results;
    /** Begins an upload, is revoked, and asks to abort it: whether anything of it is left. */
    const leave = async (
      begun: Record<string, string>,
      ended: Record<string, string>,
      verdict: () => boolean = () => false,
    ) => {
      let authorize: () => boolean = () => true;
      const handler = makeHandler(bucket, { authorize: () => authorize(), prefix: "cache/" });
      const [created] = await results(handler(as(begun, { op: "create", ...revoked })));
      const uploadId = created!["uploadId"] as string;
      authorize = verdict;
      const { key } = revoked;
      const response = await handler(as(ended, { op: "abort", key, uploadId }));
      const left = [];
      for await (const object of store().list("cache/.bucketcache/")) left.push(object.key);
      const parts = signer().listParts(key, parseClientId(uploadId).uploadId);
      const isOpen = await parts.then(
        () => true,
        (error: Error) => !error.message.includes("NoSuchUpload"),
      );
      expect(left.length > 0).toBe(isOpen);
      if (isOpen) await granted(makeHandler(bucket, { prefix: "cache/" }), { op: "abort", key, uploadId });
      return { status: response.status, text: await response.text(), isOpen };
    };
    const ann = { authorization: "Bearer ann" };

    test.each([
      ["a token", ann],
      ["a cookie", { cookie: "session=ann" }],
    ])(
      "is removed when it is they who abort it, known again by %s, and they are refused all the same",
      async (_, who) => {
        const { text, isOpen } = await leave(who, who);
        expect(text).toContain("ERR_FORBIDDEN");
        expect(isOpen).toBe(false);
      },
    );

    test("is removed also when they are no longer known at all", async () => {
      const { status, isOpen } = await leave(ann, ann, () => {
        throw Object.assign(new Error("sign in"), { status: 401 });
      });
      expect([status, isOpen]).toEqual([401, false]);
    });

    test.each([
      ["somebody else asks", ann, { authorization: "Bearer eve" }],
      ["nobody says who asks", ann, {}],
      ["nobody said who began it", {}, {}],
    ])("stays as it is when %s", async (_, begun, ended) => {
      const { text, isOpen } = await leave(begun, ended);
      expect(text).toContain("ERR_FORBIDDEN");
      expect(isOpen).toBe(true);
    });
  });

  test("a missing part is told, and the upload goes on", async () => {
    const handler = makeHandler(bucket);
    const { uploadId } = await uploadParts(handler, key, [5 * MIB], { size: 6 * MIB });
    expect(await refused(handler, { op: "complete", key, uploadId })).toBe("ERR_PROTOCOL");
    const grant = await granted(handler, { op: "part", key, uploadId, partNumber: 2, size: MIB });
    expect((await redeem(grant, new Uint8Array(MIB))).status).toBe(200);
    await granted(handler, { op: "complete", key, uploadId });
  });

  test("a condition holds at the end: somebody else's object is not overwritten, and the upload can be aborted", async () => {
    const handler = makeHandler(bucket);
    await store().put("cache/taken", new Uint8Array(1), { contentType: "a/b", metadata: {} });
    const { uploadId } = await uploadParts(handler, "cache/taken", [5 * MIB]);
    expect(await refused(handler, { op: "complete", key: "cache/taken", uploadId, ifNoneMatch: "*" })).toBe(
      "ERR_CONFLICT",
    );
    await granted(handler, { op: "abort", key: "cache/taken", uploadId });
    expect(await store().head("cache/taken")).toMatchObject({ size: 1 });
  });

  test("a complete after the end of the entry, counted from the beginning of the upload, is refused and aborted", async () => {
    const handler = makeHandler(bucket);
    const late = { key: "cache/late" };
    const { uploadId } = await granted<{ uploadId: string }>(handler, { op: "create", ...late, ttl: 0.001 });
    expect(await refused(handler, { op: "part", ...late, uploadId, partNumber: 1, size: 1 })).toBe("ERR_FORBIDDEN");
    expect(await refused(handler, { op: "complete", ...late, uploadId })).toBe("ERR_FORBIDDEN");
    await expect(signer().listParts("cache/late", parseClientId(uploadId).uploadId)).rejects.toThrow(/NoSuchUpload/);
  });
});

describe("lists", () => {
  test("are off unless switched on, keep to the prefix, hide our own keys and come in pages", async () => {
    expect(await refused(makeHandler(bucket), { op: "list", key: "list/" })).toBe("ERR_FORBIDDEN");
    const handler = makeHandler(bucket, { prefix: "list/", allowList: true });
    for (const name of ["a", "b", ".bucketcache/uploads/x"]) {
      await store().put(`list/${name}`, new Uint8Array(2), { contentType: "a/b", metadata: {} });
    }
    const { keys, cursor } = await granted<ListResult>(handler, { op: "list", key: "list/" });
    expect(keys.map(({ key, size }) => [key, size])).toEqual([
      ["list/a", 2],
      ["list/b", 2],
    ]);
    expect(Math.abs((keys[0]?.lastModified ?? 0) - Date.now() / 1_000)).toBeLessThan(60);
    expect(cursor).toBeUndefined();
    expect(await refused(handler, { op: "list", key: "lis" })).toBe("ERR_FORBIDDEN");
    expect(await refused(handler, { op: "list", key: "" })).toBe("ERR_FORBIDDEN");
  });
});

describe("pages", () => {
  const allowedOrigins = ["https://other.test"];
  const from = (origin: string | undefined, site?: string, init: RequestInit = {}) =>
    post([{ op: "get", key: "k" }], {
      ...init,
      headers: { ...(origin !== undefined && { origin }), ...(site !== undefined && { "sec-fetch-site": site }) },
    });

  test.each([
    ["its own origin", "https://app.test", "same-origin"],
    ["an allowed origin", "https://other.test", "cross-site"],
    ["a browser that tells no Sec-Fetch-Site", "https://app.test", undefined],
    ["no browser", undefined, undefined],
  ])("%s may ask", async (_, origin, site) => {
    const response = await makeHandler(bucket, { allowedOrigins })(from(origin, site));
    expect(response.status).toBe(200);
    expect(response.headers.get("access-control-allow-origin")).toBe(origin ?? null);
    expect(response.headers.get("vary")).toBe("origin");
  });

  test("a preflight request of an allowed page is answered, with the headers that it wants to send", async () => {
    const handler = makeHandler(bucket, { allowedOrigins });
    const response = await handler(
      new Request(HANDLER_URL, {
        method: "OPTIONS",
        headers: {
          origin: "https://other.test",
          "access-control-request-method": "POST",
          "access-control-request-headers": "authorization,content-type",
        },
      }),
    );
    expect(response.status).toBe(204);
    expect(response.headers.get("access-control-allow-origin")).toBe("https://other.test");
    expect(response.headers.get("access-control-allow-headers")).toBe("authorization,content-type");
    expect(response.headers.get("access-control-allow-methods")).toBe("POST");
  });

  test("an allowed page can read a refusal too", async () => {
    const response = await makeHandler(bucket, { allowedOrigins, maxBatch: 1 })(
      post([{}, {}], { headers: { origin: "https://other.test" } }),
    );
    expect(response.status).toBe(413);
    expect(response.headers.get("access-control-allow-origin")).toBe("https://other.test");
    expect(await response.json()).toMatchObject({ v: 1, error: { code: "ERR_TOO_LARGE", maxBatch: 1 } });
  });
});

describe("misuse", () => {
  const authorize = () => true;
  test.each([
    ["a store that cannot sign", { store: memoryStore(), authorize }, /s3Store/],
    ["no store", { authorize }, /s3Store/],
    ["no authorize", {}, /authorize/],
    ["a prefix that no key may have", { authorize, prefix: "a/../" }, /segment/],
    ["a life beyond what S3 signs", { authorize, expiresIn: "8d" }, /7 days/],
    ["a wildcard for an origin", { authorize, allowedOrigins: ["*"] }, /whole origins/],
    ["an origin with a path", { authorize, allowedOrigins: ["https://a.test/"] }, /whole origins/],
    ["an origin with its default port", { authorize, allowedOrigins: ["https://a.test:443"] }, /whole origins/],
    ["a limit of nothing", { authorize, maxBytes: 0 }, /maxBytes/],
    ["a limit that is no duration", { authorize, maxTtl: "1 hour" }, /maxTtl/],
    ["content types that are no list", { authorize, contentTypes: "image/png" }, /contentTypes/],
  ])("%s is a TypeError that says what to do", (_, options, message) => {
    const create = () =>
      createPresignHandler({
        ...("store" in options || _ === "no store" ? {} : { store: store() }),
        ...options,
      } as never);
    expect(create).toThrow(TypeError);
    expect(create).toThrow(message);
  });
});
