import { GetObjectCommand, HeadObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { createCache, type Cache, type CacheOptions } from "bucketcache";
import { startDevServer } from "bucketcache/dev";
import { s3Store } from "bucketcache/s3";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { makeBucket, type TestBucket } from "../support/bucket.js";
import { startProxy, type FaultProxy, type Passed } from "../support/proxy.js";
import { deferred } from "../support/deferred.js";
import { recordEvents } from "../support/stores.js";

interface Server extends Pick<TestBucket, "bucket" | "options" | "client"> {
  stop(): Promise<unknown>;
}

/** Whether DELETE with `If-Match` spares what is newer. */
type Servers = [name: string, honours: boolean, start: () => Promise<Server>];

const SERVERS: Servers[] = [
  [
    "on MinIO",
    false,
    async () => {
      const made = await makeBucket();
      return { ...made, stop: made.remove };
    },
  ],
  [
    "on the dev server",
    true,
    async () => {
      const dev = await startDevServer();
      const { endpoint, region, credentials } = dev;
      const bucket = "bucketcache";
      const options = { bucket, endpoint, region, credentials, forcePathStyle: true as const };
      const client = new S3Client({ endpoint, region, credentials, forcePathStyle: true });
      return {
        bucket,
        options,
        client,
        async stop() {
          client.destroy();
          await dev.close();
        },
      };
    },
  ],
];

describe.each(SERVERS)("what has ended, %s,", (_, honours, start) => {
  let server: Server;
  let proxy: FaultProxy;
  let prefix: string;
  let count = 0;
  let caches: Cache[] = [];

  beforeAll(async () => {
    server = await start();
    proxy = await startProxy(server.options.endpoint);
  });
  afterAll(async () => {
    await proxy.close();
    await server.stop();
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
    const store = s3Store({ ...server.options, endpoint: proxy.endpoint });
    const cache = createCache({ store, prefix, ...options });
    caches.push(cache);
    return cache;
  }

  const where = (key: string) => ({ Bucket: server.bucket, Key: prefix + key });
  const past = (seconds: number) => String(Date.now() / 1000 - seconds);
  const ENTRY = "v=1, created=1.0, codec=text, nonce=:AAAAAAAAAAAAAAAAAAAAAA==:";

  /** What somebody wrote `ago` seconds before, and which has ended. */
  const putEnded = (key: string, ago = 60, body = "ended") =>
    server.client.send(
      new PutObjectCommand({ ...where(key), Body: body, Metadata: { entry: ENTRY, expires_at: past(ago) } }),
    );
  /** Another process writes, without any proxy. */
  const putNew = (key: string, body = "newer") =>
    server.client.send(new PutObjectCommand({ ...where(key), Body: body, Metadata: { entry: ENTRY } }));
  const exists = (key: string) =>
    server.client.send(new HeadObjectCommand(where(key))).then(
      () => true,
      () => false,
    );
  const textAt = async (key: string) =>
    (await server.client.send(new GetObjectCommand(where(key)))).Body?.transformToString();
  const asked = () => proxy.requests.map(({ method }) => method);

  const on = (method: string, act: (request: Passed) => unknown, when: "before" | "after") => {
    let done = false;
    proxy.hook = (request) => {
      if (request.method !== method || done) return undefined;
      done = true;
      return { [when]: () => act(request) };
    };
  };

  const READS: [string, (cache: Cache) => Promise<unknown>][] = [
    ["get", (cache) => cache.get("k")],
    ["getEntry", (cache) => cache.getEntry("k")],
    ["getStream", (cache) => cache.getStream("k")],
    ["getResponse", (cache) => cache.getResponse("k")],
    ["has", (cache) => cache.has("k").then((has) => has || undefined)],
    ["getMany", async (cache) => (await cache.getMany(["k"]))[0]],
  ];

  test.each(READS)("is a miss for %s, which deletes the object and does not wait for that", async (_name, read) => {
    await putEnded("k");
    const cache = open();
    const deleted = recordEvents(cache, "delete");
    const expired = recordEvents(cache, "expire");
    const gate = deferred();
    proxy.hook = ({ index }) => (index === 1 ? { before: () => gate.promise } : undefined);
    expect(await read(cache)).toBeUndefined();
    gate.resolve();
    await cache.flush();
    expect(asked().slice(1)).toEqual(["HEAD", "DELETE"]);
    expect(await exists("k")).toBe(false);
    expect(deleted).toEqual([{ key: "k" }]);
    expect(expired).toEqual([{ key: "k" }]);
  });

  test("is deleted once, however many read it at the same time", async () => {
    await putEnded("k");
    const cache = open();
    await Promise.all(Array.from({ length: 50 }, () => cache.get("k")));
    await cache.flush();
    expect(asked()).toEqual(["GET", "HEAD", "DELETE"]);
  });

  test("ends at its time in the bucket and in memory: it does not start a new life there", async () => {
    const cache = open();
    await cache.set("k", "v", { ttl: 3 });
    const reader = open();
    const { expiresAt } = (await reader.getEntry("k"))!;
    expect(await reader.getEntry("k")).toMatchObject({ source: "memory", expiresAt });
    await expect.poll(() => reader.get("k"), { timeout: 10_000 }).toBeUndefined();
    expect(Date.now()).toBeGreaterThanOrEqual(Number(expiresAt));
    await reader.flush();
    expect(await exists("k")).toBe(false);
  });

  test("is left to the function that is about to overwrite it: one GET, one PUT over what was seen", async () => {
    const { ETag } = await putEnded("k");
    const cache = open();
    expect(await cache.getOrSet("k", () => "computed")).toBe("computed");
    await cache.flush();
    expect(asked()).toEqual(["GET", "PUT"]);
    expect(proxy.requests[1]?.headers["if-match"]).toBe(ETag);
    expect(await textAt("k")).toBe("computed");
  });

  test("is replaced by one of two that compute it again", async () => {
    await putEnded("k");
    const both = [open(), open()];
    let arrived = 0;
    const together = deferred();
    const values = await Promise.all(
      both.map((cache, index) =>
        cache.getOrSet("k", async () => {
          if (++arrived === 2) together.resolve();
          await together.promise;
          return `by ${index}`;
        }),
      ),
    );
    expect(values).toEqual(["by 0", "by 1"]);
    expect(
      proxy.requests
        .filter(({ method }) => method === "PUT")
        .map(({ status }) => status)
        .sort(),
    ).toEqual([200, 412]);
    const kept = await textAt("k");
    expect(values).toContain(kept);
    expect(await Promise.all(both.map((cache) => cache.get("k")))).toEqual([kept, kept]);
  });

  test("survives when it was written anew before the HEAD", async () => {
    await putEnded("k");
    on("HEAD", () => putNew("k"), "before");
    const cache = open();
    expect(await cache.get("k")).toBeUndefined();
    await cache.flush();
    expect(asked()).toEqual(["GET", "HEAD"]);
    expect(await cache.get("k")).toBe("newer");
  });

  test("survives also with the very same bytes and a new end, written before the HEAD", async () => {
    await putEnded("k", 60, "same");
    on("HEAD", () => putNew("k", "same"), "before");
    const cache = open();
    await cache.get("k");
    await cache.flush();
    expect(asked()).toEqual(["GET", "HEAD"]);
    expect(await cache.get("k")).toBe("same");
  });

  test("is not deleted when somebody else was faster", async () => {
    await putEnded("k");
    const other = open();
    on("HEAD", () => other.delete("k"), "before");
    const cache = open();
    const errors = recordEvents(cache, "error");
    await cache.get("k");
    await cache.flush();
    expect(errors).toEqual([]);
    expect(await exists("k")).toBe(false);
  });

  test(
    honours
      ? "survives when it was written anew between HEAD and DELETE"
      : "is lost when it was written anew between HEAD and DELETE: the server ignores If-Match there",
    async () => {
      await putEnded("k");
      on("DELETE", () => putNew("k"), "before");
      const cache = open();
      const errors = recordEvents(cache, "error");
      expect(await cache.get("k")).toBeUndefined();
      await cache.flush();
      const deletion = proxy.requests.find(({ method }) => method === "DELETE");
      expect(deletion?.headers["if-match"]).toMatch(/^"[0-9a-f]{32}"$/);
      expect(deletion?.status).toBe(honours ? 412 : 204);
      expect(errors).toEqual([]);
      expect(await cache.get("k")).toBe(honours ? "newer" : undefined);
    },
  );

  test("a set in this process is never removed by the deletion that a read before it began", async () => {
    for (const moment of ["before", "after"] as const) {
      for (const method of ["HEAD", "DELETE"]) {
        await putEnded("k");
        const cache = open();
        let setting: Promise<void> | undefined;
        on(method, () => void (setting = cache.set("k", "mine")), moment);
        await cache.get("k");
        await cache.flush();
        await setting;
        expect(await open().get("k")).toBe("mine");
      }
    }
  });

  test("stays for deleteGrace, and for ever with deleteExpired: false", async () => {
    await putEnded("k", 60);
    for (const options of [{ deleteGrace: "1h" }, { deleteExpired: false }]) {
      const cache = open(options);
      expect(await cache.get("k")).toBeUndefined();
      await cache.flush();
    }
    expect(await exists("k")).toBe(true);
    const cache = open({ deleteGrace: 30 });
    await cache.get("k");
    await cache.flush();
    expect(await exists("k")).toBe(false);
  });

  test("stays, without an error, where the credentials may not delete", async () => {
    await putEnded("k");
    const refused = { status: 403, body: "<Error><Code>AccessDenied</Code></Error>" };
    proxy.hook = ({ method }) => (method === "DELETE" ? { answer: refused } : undefined);
    const cache = open();
    const errors = recordEvents(cache, "error");
    expect(await cache.get("k")).toBeUndefined();
    await cache.flush();
    expect(errors).toEqual([]);
    expect(await exists("k")).toBe(true);
  });

  test.each(["soon", "-", "1e400", "1.5s", "Infinity"])(
    "is not known where the end is %s: the entry is damaged, told, and not deleted",
    async (end) => {
      const Metadata = { entry: ENTRY, expires_at: end };
      await server.client.send(new PutObjectCommand({ ...where("k"), Body: "x", Metadata }));
      const cache = open();
      const errors = recordEvents(cache, "error");
      expect(await cache.get("k")).toBeUndefined();
      await cache.flush();
      expect(errors).toMatchObject([{ key: "k", error: { code: "ERR_DAMAGED" } }]);
      expect(await exists("k")).toBe(true);
    },
  );
});

test("on MinIO the window between HEAD and DELETE is one round trip", async ({ annotate }) => {
  const made = await makeBucket();
  const proxy = await startProxy(made.options.endpoint);
  const cache = createCache({ store: s3Store({ ...made.options, endpoint: proxy.endpoint }), prefix: "" });
  const windows: number[] = [];
  let seen = 0;
  proxy.hook = ({ method }) => {
    if (method === "HEAD") return { after: () => (seen = performance.now()) };
    if (method === "DELETE") windows.push(performance.now() - seen);
    return undefined;
  };
  for (let index = 0; index < 50; index++) {
    const Metadata = { expires_at: String(Date.now() / 1000 - 1) };
    await made.client.send(new PutObjectCommand({ Bucket: made.bucket, Key: "k", Body: "v", Metadata }));
    await cache.get("k");
    await cache.flush();
  }
  windows.sort((a, b) => a - b);
  expect(windows).toHaveLength(50);
  expect(proxy.requests.map(({ method }) => method).join(" ")).toBe(Array(50).fill("GET HEAD DELETE").join(" "));
  await annotate(
    `window between HEAD and DELETE: median ${windows[25]?.toFixed(1)} ms, longest ${windows[49]?.toFixed(1)} ms`,
  );
  await cache.close();
  await proxy.close();
  await made.remove();
});
