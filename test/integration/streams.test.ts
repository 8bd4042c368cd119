import { randomBytes } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { GetObjectCommand, HeadObjectCommand, ListMultipartUploadsCommand } from "@aws-sdk/client-s3";
import type { Body, Progress } from "bucketcache";
import { describe, expect, test } from "vitest";
import { cacheBucket } from "../support/cache-bucket.js";
import { script } from "../support/script.js";
import { deferred } from "../support/deferred.js";
import { textOf } from "../support/stores.js";

const MIB = 1 << 20;

const fixture = cacheBucket();
const { open, locate } = fixture;

const openUploads = async () =>
  (await fixture.bucket.client.send(new ListMultipartUploadsCommand({ Bucket: fixture.bucket.bucket }))).Uploads ?? [];
const exists = (key: string) =>
  fixture.bucket.client.send(new HeadObjectCommand(locate(key))).then(
    () => true,
    () => false,
  );

/** Yields pieces of 1 MiB, each of other bytes; `meet` runs before each. */
async function* pieces(n: number, meet?: (index: number) => unknown): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < n; index++) {
    await meet?.(index);
    yield new Uint8Array(MIB).fill(index);
  }
}

describe("a process that moves", () => {
  const MOVER = `
    import { createCache } from "bucketcache";
    import { s3Store } from "bucketcache/s3";
    const { options, prefix, size, compress } = JSON.parse(process.argv[2]);
    const cache = createCache({ store: s3Store(options), prefix });
    const CHUNK = 1 << 17;

    // Every 512 bytes say where they are: what is missing, doubled or out of order shows.
    async function* source(size) {
      for (let offset = 0; offset < size; offset += CHUNK) {
        const words = new Uint32Array(CHUNK / 4);
        for (let i = 0; i < words.length; i += 128) words[i] = offset / 4 + i;
        yield new Uint8Array(words.buffer);
      }
    }

    async function check(stream, size) {
      let offset = 0;
      for await (const chunk of stream) {
        const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
        for (let i = (512 - (offset % 512)) % 512; i + 4 <= chunk.byteLength; i += 512) {
          if (view.getUint32(i, true) !== (offset + i) / 4) throw new Error("wrong bytes at " + (offset + i));
        }
        offset += chunk.byteLength;
      }
      if (offset !== size) throw new Error(offset + " bytes of " + size);
    }

    await cache.set("warm", source(1 << 20), { compress });
    await check(await cache.getStream("warm"), 1 << 20);
    const before = process.memoryUsage.rss();
    await cache.set("large", source(size), { compress });
    await check(await cache.getStream("large"), size);
    const peak = process.resourceUsage().maxRSS * 1024 - before;
    await cache.close();
    console.log(JSON.stringify({ peak }));`;

  test.each([
    ["1 GiB as it is", 1024 * MIB, false],
    ["192 MiB with gzip on the way", 192 * MIB, true],
  ])(
    "%s through set and back through getStream grows by less than 96 MiB",
    // Three parts, and what V8 lets lie of the source's and the socket's chunks: up to 64 MiB.
    { timeout: 180_000 },
    async (_, size, compress) => {
      const mover = await script(MOVER);
      const printed = await mover.run({ options: fixture.bucket.options, prefix: fixture.prefix, size, compress });
      mover.remove();
      const { peak } = JSON.parse(printed) as { peak: number };
      expect(peak).toBeLessThan(96 * MIB);
      expect(await openUploads()).toEqual([]);
      await open().delete("large");
    },
  );
});

describe("a body that is larger than a part", () => {
  test("goes up in parts, several at once, with progress, and comes back", async () => {
    let flying = 0;
    let most = 0;
    fixture.proxy.hook = ({ query }) => {
      if (!query.has("partNumber")) return undefined;
      most = Math.max(most, ++flying);
      return { after: () => flying-- };
    };
    const progress: Progress[] = [];
    await open().set("k", pieces(50), { onProgress: (now) => progress.push(now), ttl: "1h" });
    expect(fixture.proxy.requests.filter(({ query }) => query.has("partNumber"))).toHaveLength(7);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(4);
    expect(progress.map(({ loaded }) => loaded)).toEqual(
      [...progress.map(({ loaded }) => loaded)].sort((a, b) => a - b),
    );
    expect(progress.at(-1)).toEqual({ loaded: 50 * MIB, total: undefined });
    const head = await fixture.bucket.client.send(new HeadObjectCommand(locate("k")));
    expect(head).toMatchObject({
      ContentLength: 50 * MIB,
      ContentType: "application/octet-stream",
      CacheControl: "no-store, bucketcache=1",
    });
    expect(Object.keys(head.Metadata ?? {}).sort()).toEqual(["entry", "expires_at"]);

    fixture.proxy.reset();
    const seen: Progress[] = [];
    let offset = 0;
    for await (const chunk of (await open().getStream("k", { onProgress: (now) => seen.push(now) }))!) {
      expect(chunk.constructor).toBe(Uint8Array);
      for (let i = 0; i < chunk.byteLength; i += 65_536) {
        if (chunk[i] !== Math.floor((offset + i) / MIB)) expect.unreachable(`wrong byte at ${offset + i}`);
      }
      offset += chunk.byteLength;
    }
    expect(offset).toBe(50 * MIB);
    expect(seen.at(-1)).toEqual({ loaded: 50 * MIB, total: 50 * MIB });
    expect(fixture.proxy.requests.map(({ method }) => method)).toEqual(["GET"]);
  });

  test("is compressed as it flows, by its content type, and ranges of the raw bytes can be had", async () => {
    const row = randomBytes(500).toString("hex") + "\n";
    async function* rows() {
      for (let i = 0; i < 20_000; i++) yield i + row;
    }
    const cache = open();
    await cache.set("k.csv", rows(), { contentType: "text/csv" });
    const object = await fixture.bucket.client.send(new GetObjectCommand(locate("k.csv")));
    expect(object.Metadata).toMatchObject({ compressed: "true" });
    const stored = (await object.Body?.transformToByteArray())!;
    let text = "";
    for await (const one of rows()) text += one;
    expect(gunzipSync(stored).toString() === text).toBe(true);
    expect((await textOf(await cache.getStream("k.csv"))) === text).toBe(true);
    const raw = await new Response(await cache.getStream("k.csv", { raw: true })).arrayBuffer();
    expect(Buffer.compare(new Uint8Array(raw), stored)).toBe(0);
    const range = { offset: 100, length: 1_000 };
    const part = await new Response(await cache.getStream("k.csv", { raw: true, range })).arrayBuffer();
    expect(Buffer.compare(new Uint8Array(part), stored.subarray(100, 1_100))).toBe(0);
    await expect(cache.getStream("k.csv", { range })).rejects.toMatchObject({ code: "ERR_UNSUPPORTED" });
  });

  test("is left as it was by a source that fails, in the first part or in a later one", async () => {
    const cache = open();
    await cache.set("k", "old");
    const reason = new Error("the source broke");
    for (const [at, compress] of [
      [3, false],
      [30, false],
      [30, true],
    ] as const) {
      const failing = pieces(40, (index) => {
        if (index === at) throw reason;
      });
      await expect(cache.set("k", failing, { compress })).rejects.toBe(reason);
      await expect(
        cache.set(
          "none",
          pieces(40, (i) => i === at && Promise.reject(reason)),
        ),
      ).rejects.toBe(reason);
      expect(await openUploads()).toEqual([]);
      expect(await open().get("k")).toBe("old");
      expect(await cache.get("k")).toBe("old");
      expect(await exists("none")).toBe(false);
    }
  });

  test.each([
    ["while the source has more", 20],
    ["while the first part is being made", 3],
    ["before it began", -1],
  ])("is left as it was by an abort %s, and the source is told", async (_, at) => {
    const cache = open();
    await cache.set("k", "old");
    const controller = new AbortController();
    const reason = new Error("enough");
    if (at === -1) controller.abort(reason);
    let isReturned = at === -1;
    const source: Body = {
      async *[Symbol.asyncIterator]() {
        try {
          yield* pieces(40, (index) => index === at && controller.abort(reason));
        } finally {
          isReturned = true;
        }
      },
    };
    await expect(cache.set("k", source, { signal: controller.signal })).rejects.toBe(reason);
    await expect.poll(() => isReturned).toBe(true);
    expect(await openUploads()).toEqual([]);
    expect(await open().get("k")).toBe("old");
    expect(await cache.get("k")).toBe("old");
  });

  test("is left as it was by an abort while parts are on their way", async () => {
    const cache = open();
    await cache.set("k", "old");
    const controller = new AbortController();
    const reason = new Error("enough");
    const never = deferred();
    fixture.proxy.hook = ({ query }) => {
      if (query.get("partNumber") !== "2") return undefined;
      return {
        before: () => {
          controller.abort(reason);
          return never.promise;
        },
      };
    };
    await expect(cache.set("k", pieces(40), { signal: controller.signal })).rejects.toBe(reason);
    never.resolve();
    expect(await openUploads()).toEqual([]);
    expect(await open().get("k")).toBe("old");
  });

  test("is left as it was by a store that refuses a part for good", async () => {
    const cache = open();
    await cache.set("k", "old");
    fixture.proxy.hook = ({ query }) =>
      query.get("partNumber") === "3"
        ? { answer: { status: 403, body: "<Error><Code>AccessDenied</Code></Error>" } }
        : undefined;
    await expect(cache.set("k", pieces(40))).rejects.toMatchObject({
      code: "ERR_FORBIDDEN",
      key: `${fixture.prefix}k`,
    });
    expect(await openUploads()).toEqual([]);
    expect(await open().get("k")).toBe("old");
  });

  test("of getOrSetStream is uploaded once for all who ask, and nothing is kept when it fails", async () => {
    const cache = open();
    let calls = 0;
    const load = () => {
      calls++;
      return pieces(20);
    };
    const sizes = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const stream = await cache.getOrSetStream("k", load);
        return (await new Response(stream).arrayBuffer()).byteLength;
      }),
    );
    expect(sizes).toEqual(Array(5).fill(20 * MIB));
    expect(calls).toBe(1);
    expect(fixture.proxy.count("POST")).toBe(2);
    const reason = new Error("broke");
    const failing = () => pieces(20, (index) => index === 12 && Promise.reject(reason));
    await expect(cache.getOrSetStream("none", failing)).rejects.toBe(reason);
    expect(await openUploads()).toEqual([]);
    expect(await exists("none")).toBe(false);
  });
});

describe("a slow side", () => {
  test("at the end of a download slows the store down: what nobody reads stays there", async () => {
    await open().set("k", pieces(64));
    fixture.proxy.reset();
    const stream = (await open().getStream("k"))!;
    const reader = stream.getReader();
    await reader.read();
    // Bytes that have left the store and were not read sit in the buffers of sockets, and only there.
    let last = -1;
    await expect
      .poll(
        () => {
          const { received } = fixture.proxy.requests[0]!;
          const isSettled = received === last;
          last = received;
          return isSettled;
        },
        { interval: 200, timeout: 20_000 },
      )
      .toBe(true);
    expect(last).toBeLessThan(32 * MIB);
    let size = 0;
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) size += chunk.value.byteLength;
    expect(size).toBeGreaterThan(63 * MIB);
  });

  test("at the end of an upload slows the source down: no more parts are made than are on their way", async () => {
    const gate = deferred();
    fixture.proxy.hook = ({ query }) => (query.has("partNumber") ? { before: () => gate.promise } : undefined);
    let made = 0;
    const setting = open().set(
      "k",
      pieces(100, () => made++),
    );
    await expect.poll(() => fixture.proxy.requests.filter(({ query }) => query.has("partNumber")).length).toBe(3);
    // Three parts of 8 MiB, and the piece that showed that there is more.
    expect(made).toBeLessThanOrEqual(26);
    gate.resolve();
    await setting;
    expect(made).toBe(100);
  });

  test("that leaves a download half-way closes its connection", async () => {
    const cache = open();
    await cache.set("k", pieces(64));
    await cache.close();
    fixture.proxy.reset();
    await expect.poll(() => fixture.proxy.connections).toBe(0);
    const other = open();
    for await (const _ of (await other.getStream("k"))!) break;
    const response = await other.getResponse("k");
    await response?.body?.cancel();
    await expect.poll(() => fixture.proxy.connections).toBe(0);
    expect(fixture.proxy.requests.every(({ received }) => received < 64 * MIB)).toBe(true);
  });
});
