/** The cache on stores that differ from S3: it works, or says so by an error or by one event, and never serves what is old. */
import { createCache, type Cache, type CacheEvents, type CacheOptions, type ErrorCode } from "bucketcache";
import { startDevServer, type DevServer } from "bucketcache/dev";
import { createPresignHandler } from "bucketcache/handler";
import { presignedStore } from "bucketcache/presigned";
import { s3Store, type S3StoreOptions } from "bucketcache/s3";
import { quirkyFetch, type QuirkyFetch, type Quirks } from "bucketcache/testing";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { deferred } from "./support/deferred.js";
import { textOf } from "./support/stores.js";

const MIB = 1 << 20;
const START = new Date("2026-11-22T12:00:00Z").getTime();

let server: DevServer;
beforeAll(async () => void (server = await startDevServer()));
afterAll(() => server.close());

beforeEach(() => void vi.useFakeTimers({ now: START, toFake: ["Date"] }));
afterEach(() => void vi.useRealTimers());

const pass = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1_000);

interface Scene {
  fetch: QuirkyFetch;
  /** On the store with quirks, without memory: what it gives is what the store has. */
  cache: Cache;
  /** The same store object, with memory. */
  twoLevel: Cache;
  /** On the same bucket without quirks. */
  plain: Cache;
  errors: CacheEvents["error"][];
}

let scenes = 0;

function scene(quirks: Quirks, options: Partial<S3StoreOptions> = {}): Scene {
  const prefix = `scene-${scenes++}/`;
  const fetch = quirkyFetch(quirks);
  const store = s3Store({ bucket: "bucketcache", ...server, partSize: 5 * MIB, ...options, fetch } as S3StoreOptions);
  const make = (extra: Partial<CacheOptions> = {}) => createCache({ store, prefix, ...extra });
  const cache = make({ memory: false });
  const errors: CacheEvents["error"][] = [];
  cache.on("error", (event) => errors.push(event));
  const plain = createCache({ store: s3Store({ bucket: "bucketcache", ...server }), prefix, memory: false });
  return { fetch, cache, twoLevel: make(), plain, errors };
}

async function keysOf(cache: Cache): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of cache.list()) {
    keys.push(key);
    if (keys.length > 100) throw new Error("the list does not end");
  }
  return keys;
}

function megabytes(count: number): ReadableStream<Uint8Array> {
  let sent = 0;
  return new ReadableStream({
    pull(controller) {
      if (sent === count) return controller.close();
      controller.enqueue(new Uint8Array(MIB).fill(sent++));
    },
  });
}

/** A function that counts its calls and returns their number. */
function counter() {
  let calls = 0;
  return { compute: () => ++calls, calls: () => calls };
}

type Step = (scene: Scene) => Promise<void>;

const steps: Record<string, Step> = {
  async "set, get, has"({ cache, plain, twoLevel }) {
    expect(await cache.get("absent")).toBeUndefined();
    expect(await cache.has("absent")).toBe(false);
    await cache.set("k", { a: 1 });
    await cache.set("k", { a: 2 });
    expect(await plain.get("k")).toEqual({ a: 2 });
    expect(await cache.get("k")).toEqual({ a: 2 });
    expect(await cache.has("k")).toBe(true);
    expect(await twoLevel.getEntry("k")).toMatchObject({ value: { a: 2 }, source: "store" });
    expect(await twoLevel.getEntry("k")).toMatchObject({ value: { a: 2 }, source: "memory" });
  },

  async "getOrSet keeps what it computes"({ cache, plain }) {
    const { compute, calls } = counter();
    expect(await cache.getOrSet("k", compute)).toBe(1);
    expect(await plain.get("k")).toBe(1);
    expect(await cache.getOrSet("k", compute)).toBe(1);
    expect(calls()).toBe(1);
  },

  async "wrap keeps what it computes"({ cache, twoLevel }) {
    const { compute, calls } = counter();
    const options = { name: "f", key: (n: number) => [n] };
    const first = cache.wrap(async (_: number) => compute(), options);
    expect([await first(1), await first(1), await first(2)]).toEqual([1, 1, 2]);
    const second = twoLevel.wrap(async (_: number) => compute(), options);
    expect([await second(1), await second(2)]).toEqual([1, 2]);
    expect(calls()).toBe(2);
  },

  async "an ended entry is computed once, and the new one is kept"({ cache, plain }) {
    const { compute, calls } = counter();
    await cache.getOrSet("k", compute, { ttl: 10 });
    pass(11);
    expect(await cache.getOrSet("k", compute, { ttl: 10 })).toBe(2);
    expect(await plain.get("k")).toBe(2);
    expect(await cache.getOrSet("k", compute, { ttl: 10 })).toBe(2);
    expect(calls()).toBe(2);
    pass(11);
    expect(await cache.getOrSet("k", compute, { ttl: 10 })).toBe(3);
    expect(await cache.getOrSet("k", compute, { ttl: 10 })).toBe(3);
  },

  async "an ended entry is deleted when it is read"({ cache, plain }) {
    await cache.set("k", 1, { ttl: 10 });
    pass(11);
    expect(await cache.get("k")).toBeUndefined();
    await cache.flush();
    expect(await keysOf(plain)).toEqual([]);
  },

  async "a load yields to a newer value, in memory as well"({ twoLevel, plain }) {
    for (const key of ["absent", "ended"]) {
      if (key === "ended") await plain.set(key, "old", { ttl: 10 });
      pass(11);
      const computing = deferred();
      const computed = deferred<string>();
      const load = twoLevel.getOrSet(key, () => {
        computing.resolve();
        return computed.promise;
      });
      await Promise.race([computing.promise, load]);
      await plain.set(key, "newer");
      computed.resolve("late");
      expect(await load).toBe("late");
      expect(await plain.get(key)).toBe("newer");
      expect(await twoLevel.get(key)).toBe("newer");
    }
  },

  async "delete, also of what is absent"({ cache, plain }) {
    await cache.set("k", 1);
    await cache.delete("k");
    expect(await plain.get("k")).toBeUndefined();
    expect(await cache.get("k")).toBeUndefined();
    await cache.delete("k");
    await cache.set("k", 2);
    expect(await cache.get("k")).toBe(2);
  },

  async deleteMany({ cache, plain }) {
    const keys = ["a", "b", "c & d", "e\uffff", "kept"];
    for (const key of keys) await cache.set(key, key);
    await cache.deleteMany([...keys.slice(0, 4), "absent"]);
    expect(await keysOf(plain)).toEqual(["kept"]);
    await cache.set("a", 1);
    await cache.deleteMany(["a", "absent"]);
    expect(await keysOf(plain)).toEqual(["kept"]);
  },

  async "list and clear"({ cache, plain }) {
    const keys = ["a b", "a/c", "b", "c", "d", "é"];
    for (const key of keys) await cache.set(key, key);
    expect(await keysOf(cache)).toEqual(keys);
    await cache.clear({ prefix: "a" });
    expect(await keysOf(plain)).toEqual(["b", "c", "d", "é"]);
    await cache.clear({ all: true });
    expect(await keysOf(plain)).toEqual([]);
  },

  async "streams and their ranges"({ cache }) {
    await cache.set("s", new Blob(["0123456789"]).stream(), { contentType: "text/plain", compress: false });
    expect(await textOf(await cache.getStream("s"))).toBe("0123456789");
    expect(await textOf(await cache.getStream("s", { range: { offset: 2, length: 3 } }))).toBe("234");
    expect(await textOf(await cache.getStream("s", { range: { offset: 7 } }))).toBe("789");
    expect(await cache.getStream("absent")).toBeUndefined();
  },

  async "uploads in parts"({ cache, plain }) {
    await cache.set("large", megabytes(11), { compress: false });
    const bytes = await plain.get<Uint8Array>("large");
    expect([bytes?.byteLength, bytes?.at(0), bytes?.at(-1)]).toEqual([11 * MIB, 0, 10]);
    const body = await cache.getOrSetStream("loaded", () => megabytes(6), { compress: false, ttl: 10 });
    expect((await new Response(body as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer()).byteLength).toBe(
      6 * MIB,
    );
    expect((await plain.get<Uint8Array>("loaded"))?.byteLength).toBe(6 * MIB);
    pass(11);
    const again = await cache.getOrSetStream("loaded", () => megabytes(7), { compress: false });
    await again.cancel();
    await cache.flush();
    expect((await plain.get<Uint8Array>("loaded"))?.byteLength).toBe(7 * MIB);
  },
};

interface Row {
  quirks: Quirks;
  /** Of each limitation that is learned, what its event says. */
  told?: RegExp;
  /** Steps that fail, with their code, since nothing can be done about it. */
  fails?: Partial<Record<keyof typeof steps, ErrorCode>>;
}

const rows: Record<string, Row> = {
  "no quirks at all": { quirks: {} },
  "304 for 412": { quirks: { failedConditions: 304 } },
  "ETags without quotes": { quirks: { etags: "unquoted" } },
  "weak ETags": { quirks: { etags: "weak" } },
  "If-Match without quotes only": { quirks: { conditions: "unquoted" }, told: /If-Match/ },
  "ETags and If-Match without quotes": { quirks: { etags: "unquoted", conditions: "unquoted" }, told: /If-Match/ },
  "412 to every condition": { quirks: { conditions: "fail" }, told: /condition/ },
  "501 to every condition": { quirks: { conditions: 501 }, told: /condition/ },
  "400 to every condition": { quirks: { conditions: 400 }, told: /condition/ },
  "batch delete with Content-MD5": { quirks: { batchDelete: "content-md5" } },
  "batch delete 400": { quirks: { batchDelete: 400 }, told: /delete/ },
  "batch delete 405": { quirks: { batchDelete: 405 }, told: /delete/ },
  "batch delete 501": { quirks: { batchDelete: 501 }, told: /delete/ },
  "pages without a token": { quirks: { pages: { size: 2, token: "missing" } }, told: /list/ },
  "pages with the same token for ever": { quirks: { pages: { size: 2, token: "repeated" } }, told: /list/ },
  "pages without a token, and no start-after": {
    quirks: { pages: { size: 2, token: "missing", startAfter: "ignored" } },
    fails: { "list and clear": "ERR_PROTOCOL" },
  },
  "pages with the same token, and no start-after": {
    quirks: { pages: { size: 2, token: "repeated", startAfter: "ignored" } },
    fails: { "list and clear": "ERR_PROTOCOL" },
  },
  "404 without a body": { quirks: { absent: "no-body" } },
  "404 with HTML": { quirks: { absent: "html" } },
  "404 in another spelling": { quirks: { absent: "spelling" } },
  "answers in chunks": { quirks: { lengths: "hidden" } },
  "header overrides refused": { quirks: { overrides: 403 }, told: /override/ },
  "206 to a whole GET": {
    quirks: { wholes: "partial" },
    fails: Object.fromEntries(Object.keys(steps).map((name) => [name, "ERR_PROTOCOL"])),
  },
  "ranges ignored": { quirks: { ranges: "ignored" }, fails: { "streams and their ranges": "ERR_PROTOCOL" } },
  "ranges answered with all": { quirks: { ranges: "whole" }, fails: { "streams and their ranges": "ERR_PROTOCOL" } },
};
/** These neither read an object nor fail in a store that answers reads strangely. */
const readsNothing = new Set(["deleteMany", "list and clear"]);

describe.each(Object.entries(rows))("a store with %s", (_, { quirks, told, fails }) => {
  test.each(Object.entries(steps))("%s", async (name, step) => {
    const at = scene(quirks);
    const code = fails?.[name];
    if (code !== undefined && !(quirks.wholes && readsNothing.has(name))) {
      await expect(step(at)).rejects.toMatchObject({ code });
      return;
    }
    await step(at);
    // A limitation is told once for each cache, and nothing else is.
    const messages = at.errors.map(({ error }) => `${error.code}: ${error.message}`);
    expect(new Set(messages).size).toBe(messages.length);
    for (const message of messages) expect(message).toMatch(told ?? /^no event was expected$/);
  });
});

describe("a store that answers 200 with nothing to everything", () => {
  const calls: Record<string, (cache: Cache) => Promise<unknown>> = {
    set: (cache) => cache.set("k", 1),
    get: (cache) => cache.get("k"),
    has: (cache) => cache.has("k"),
    getOrSet: (cache) => cache.getOrSet("k", () => 1),
    wrap: (cache) => cache.wrap(async () => 1, { name: "f" })(),
    list: (cache) => keysOf(cache),
    clear: (cache) => cache.clear({ all: true }),
    deleteMany: (cache) => cache.deleteMany(["a", "b"]),
    "set of a stream": (cache) => cache.set("k", new Blob(["x"]).stream()),
    getStream: (cache) => cache.getStream("k"),
    "an upload in parts": (cache) => cache.set("k", megabytes(6), { compress: false }),
  };
  test.each(Object.entries(calls))("%s says so", async (_, call) => {
    const { cache, plain, fetch } = scene({});
    await plain.set("k", "there");
    fetch.quirks = { successes: "empty" };
    await expect(call(cache)).rejects.toMatchObject({ code: "ERR_PROTOCOL" });
  });
});

describe("a store whose XML is cut", () => {
  test("a list never passes for a short one", async () => {
    const { cache, plain, fetch } = scene({});
    await cache.set("k", 1);
    fetch.quirks = { xml: "cut" };
    await expect(keysOf(cache)).rejects.toMatchObject({ code: "ERR_PROTOCOL" });
    await expect(cache.clear({ all: true })).rejects.toMatchObject({ code: "ERR_PROTOCOL" });
    expect(await plain.get("k")).toBe(1);
  });

  test("a 404 that was cut is tried again, and no miss", async () => {
    const { cache, fetch, errors } = scene({ xml: "cut" });
    await expect(cache.get("k")).rejects.toMatchObject({ code: "ERR_UNAVAILABLE" });
    expect(fetch.requests).toHaveLength(3);
    expect(await cache.getOrSet("k", () => "computed")).toBe("computed");
    expect(errors).toMatchObject([{ error: { code: "ERR_UNAVAILABLE" } }]);
  });
});

describe("a store that never answers", () => {
  // A clock that stands still would never reach the end of a wait.
  beforeEach(() => void vi.useRealTimers());

  test("set and get fail after the time and the attempts that were asked for", async () => {
    const { cache, fetch } = scene({ delayMs: Infinity }, { timeout: "10ms", attempts: 2 });
    await expect(cache.get("k")).rejects.toMatchObject({ code: "ERR_TIMEOUT" });
    expect(fetch.requests).toHaveLength(2);
    await expect(cache.set("k", 1)).rejects.toMatchObject({ code: "ERR_TIMEOUT" });
    expect(fetch.requests).toHaveLength(4);
  });

  test("a wrapped function runs after a single attempt, with an event", async () => {
    const { cache, fetch, errors } = scene({ delayMs: Infinity }, { timeout: "10ms", attempts: 1 });
    expect(await cache.wrap(async () => 7, { name: "f" })()).toBe(7);
    expect(fetch.requests.map(({ method }) => method)).toEqual(["GET"]);
    expect(errors).toMatchObject([{ error: { code: "ERR_TIMEOUT" } }]);
  });

  test("a slow store is waited for", async () => {
    const { cache } = scene({ delayMs: 20 });
    await cache.set("k", 1);
    expect(await cache.get("k")).toBe(1);
  });
});

describe("what is learned", () => {
  test("is learned once for each store, and told once to each cache", async () => {
    const { cache, twoLevel, fetch, errors } = scene({ conditions: 501 });
    const second: CacheEvents["error"][] = [];
    twoLevel.on("error", (event) => second.push(event));
    for (const key of ["a", "b", "c"]) await cache.getOrSet(key, () => key);
    expect(fetch.requests.filter(({ status }) => status === 501)).toHaveLength(1);
    expect(errors).toMatchObject([{ error: { code: "ERR_UNSUPPORTED" } }]);
    expect(second).toEqual([]);
    await twoLevel.get("a");
    await twoLevel.get("b");
    expect(second).toMatchObject([{ error: { code: "ERR_UNSUPPORTED" } }]);
  });

  test("is not learned from real conflicts", async () => {
    const { cache, plain, errors, fetch } = scene({});
    for (let round = 0; round < 3; round++) {
      await cache.getOrSet(`k${round}`, async () => {
        await plain.set(`k${round}`, "first");
        return "second";
      });
      expect(await plain.get(`k${round}`)).toBe("first");
    }
    expect(errors).toEqual([]);
    expect(fetch.requests.filter(({ headers }) => headers["if-none-match"] === "*")).toHaveLength(3);
  });
});

describe("a refusal that passes", () => {
  /** Refuses the first conditional write, and passes everything else on. */
  function refusingOnce(status: number, code: string) {
    const inner = quirkyFetch();
    let refusals = 0;
    const fetch = async (input: string, init: RequestInit): Promise<Response> => {
      const isConditional = new Headers(init.headers).has("if-none-match");
      if (init.method !== "PUT" || !isConditional || refusals++ > 0) return inner(input, init);
      return new Response(`<Error><Code>${code}</Code></Error>`, { status });
    };
    return { inner, store: s3Store({ bucket: "bucketcache", ...server, fetch, attempts: 1 }) };
  }

  test.each([
    [400, "BadRequest"],
    [412, "PreconditionFailed"],
  ])("teaches nothing: %i %s", async (status, code) => {
    const { inner, store } = refusingOnce(status, code);
    const key = `passes-${status}`;
    const options = { contentType: "text/plain", metadata: {}, ifNoneMatch: "*" } as const;
    await store.put(key, new Uint8Array(1), options);
    await expect(store.put(key, new Uint8Array(1), options)).rejects.toMatchObject({ code: "ERR_CONFLICT" });
    expect(store.limitations).toEqual([]);
    expect(inner.requests.filter(({ method, headers }) => method === "PUT" && !headers["if-none-match"])).toEqual([]);
  });

  test("is no matter of conditions where its code says what it is: 400 RequestTimeout", async () => {
    const { store } = refusingOnce(400, "RequestTimeout");
    const options = { contentType: "text/plain", metadata: {}, ifNoneMatch: "*" } as const;
    await expect(store.put("times-out", new Uint8Array(1), options)).rejects.toMatchObject({ code: "ERR_TIMEOUT" });
    expect(store.limitations).toEqual([]);
  });
});

describe("a bucket that does not exist", () => {
  for (const absent of [undefined, "no-body"] as const) {
    test(`has and get throw, and one request more is spent on it once${absent ? ", where 404 has no body" : ""}`, async () => {
      const fetch = quirkyFetch(absent && { absent });
      const cache = createCache({ store: s3Store({ bucket: "nowhere", ...server, fetch }), memory: false });
      await expect(cache.has("k")).rejects.toMatchObject({ code: "ERR_NO_SUCH_BUCKET" });
      await expect(cache.get("k")).rejects.toMatchObject({ code: "ERR_NO_SUCH_BUCKET" });
      await expect(cache.set("k", 1)).rejects.toMatchObject({ code: "ERR_NO_SUCH_BUCKET" });
    });
  }

  test("a bucket that was seen is not asked about again", async () => {
    const { cache, fetch } = scene({});
    expect(await cache.has("k")).toBe(false);
    const once = fetch.requests.length;
    expect(once).toBe(2);
    expect(await cache.has("k")).toBe(false);
    expect(fetch.requests).toHaveLength(once + 1);
  });

  test("has with a wrong secret says what get says", async () => {
    const credentials = { ...server.credentials, secretAccessKey: "wrong" };
    const cache = createCache({ store: s3Store({ bucket: "bucketcache", ...server, credentials }), memory: false });
    await expect(cache.get("k")).rejects.toMatchObject({ code: "ERR_CREDENTIALS" });
    await expect(cache.has("k")).rejects.toMatchObject({ code: "ERR_CREDENTIALS" });
  });
});

describe("a store over a file system", () => {
  test("a key below another key is unsupported, and no conflict", async () => {
    const { cache } = scene({ keys: "files" });
    await cache.set("n", 1);
    await expect(cache.set("n/1", 2)).rejects.toMatchObject({
      code: "ERR_UNSUPPORTED",
      storeCode: "ObjectParentIsFile",
    });
    await cache.set("m/1", 1);
    await expect(cache.set("m", 2)).rejects.toMatchObject({ code: "ERR_UNSUPPORTED" });
  });

  test("what a function computes reaches its caller, with an event that says why it is not kept", async () => {
    const { cache, errors } = scene({ keys: "files" });
    await cache.set("n", 1);
    const { compute } = counter();
    expect(await cache.wrap(async () => compute(), { name: "n" })()).toBe(1);
    expect(errors).toMatchObject([{ error: { code: "ERR_UNSUPPORTED", storeCode: "ObjectParentIsFile" } }]);
    const stream = await cache.getOrSetStream("n/stream", () => new Blob(["body"]).stream());
    expect(await textOf(stream)).toBe("body");
    await cache.flush();
    expect(errors).toHaveLength(2);
  });
});

describe("an upload that is aborted", () => {
  const answers: Record<string, () => Response> = {
    gone: () => new Response("<Error><Code>NoSuchUpload</Code></Error>", { status: 404 }),
    aborted: () => new Response(null, { status: 204 }),
    part: () =>
      new Response(
        "<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber><ETag>1</ETag><Size>5</Size></Part></ListPartsResult>",
      ),
  };
  test.each([
    ["once where nothing comes after it", ["aborted", "gone"]],
    ["again while parts come in that were on their way", ["aborted", "part", "aborted", "gone"]],
    ["no more than three times", ["aborted", "part", "aborted", "part", "aborted", "part"]],
  ])("is aborted %s", async (_, script) => {
    const methods: string[] = [];
    const fetch = async (_url: string, init: RequestInit) => {
      const answer = answers[script[methods.length]!]!;
      methods.push(init.method!);
      return answer();
    };
    const store = s3Store({ bucket: "bucketcache", ...server, fetch });
    await store.signer!.abortUpload("k", "id");
    expect(methods).toEqual(script.map((name) => (name === "aborted" ? "DELETE" : "GET")));
  });
});

describe("through a presign handler", () => {
  function page(quirks: Quirks, options: { attempts?: number; timeout?: string } = {}) {
    const fetch = quirkyFetch(quirks);
    const store = s3Store({ bucket: "bucketcache", ...server, fetch });
    const handle = createPresignHandler({ store, authorize: () => true, allowList: true });
    const url = "https://app.test/presign";
    const send = async (input: string, init: RequestInit): Promise<Response> =>
      input.startsWith(url) ? handle(new Request(input, init)) : fetch(input, init);
    const prefix = `scene-${scenes++}/`;
    const pageStore = presignedStore({ url, fetch: send as typeof globalThis.fetch, ...(options as object) });
    const errors: CacheEvents["error"][] = [];
    const cache = createCache({ store: pageStore, prefix, memory: false });
    cache.on("error", (event) => errors.push(event));
    return { fetch, cache, errors };
  }

  test.each<[string, Quirks]>([
    ["412 to a quoted If-Match", { conditions: "unquoted" }],
    ["412 to every condition", { conditions: "fail" }],
    ["501 to conditions", { conditions: 501 }],
    ["304 for 412", { failedConditions: 304 }],
    ["404 without a body", { absent: "no-body" }],
  ])("a page works on a store with %s", async (_, quirks) => {
    const { cache } = page(quirks);
    const { compute, calls } = counter();
    expect(await cache.getOrSet("k", compute, { ttl: 10 })).toBe(1);
    expect(await cache.getOrSet("k", compute, { ttl: 10 })).toBe(1);
    pass(11);
    expect(await cache.getOrSet("k", compute, { ttl: 10 })).toBe(2);
    expect(await cache.getOrSet("k", compute, { ttl: 10 })).toBe(2);
    expect(calls()).toBe(2);
    await cache.delete("k");
    await cache.delete("k");
    expect(await cache.get("k")).toBeUndefined();
  });

  test.each(["missing", "repeated"] as const)("a page lists and clears where the token is %s", async (token) => {
    const { cache } = page({ pages: { size: 2, token } });
    const keys = ["a b", "c", "d", "e/é", "f"];
    for (const key of keys) await cache.set(key, 1);
    expect(await keysOf(cache)).toEqual(keys);
    await cache.clear({ all: true });
    expect(await keysOf(cache)).toEqual([]);
  });

  test("attempts and time-outs are those that were asked for", async () => {
    vi.useRealTimers();
    const { cache, fetch } = page({ delayMs: Infinity }, { attempts: 1, timeout: "20ms" });
    await expect(cache.get("k")).rejects.toMatchObject({ code: "ERR_TIMEOUT" });
    expect(fetch.requests.filter(({ method }) => method === "GET")).toHaveLength(1);
    expect(() => presignedStore({ url: "https://app.test", attempts: 0 })).toThrow(/attempts must be/);
    expect(() => presignedStore({ url: "https://app.test", timeout: "soon" as "1s" })).toThrow(/timeout must be/);
    expect(() => s3Store({ bucket: "b-b", ...server, attempts: 1.5 })).toThrow(/attempts must be/);
  });
});
