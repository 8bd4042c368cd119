import { ListMultipartUploadsCommand, S3Client } from "@aws-sdk/client-s3";
import { createCache } from "bucketcache";
import { s3Store } from "bucketcache/s3";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
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

const pageCache = () => createCache({ store: server.store() });
const serverCache = () => createCache({ store: s3Store(bucket) });
const requestsSent = (method: string) => server.sent.filter((each) => each === method).length;

describe("uploads", () => {
  let client: S3Client;
  beforeAll(() => {
    const { bucket: _, stop: __, ...config } = bucket;
    client = new S3Client(config);
  });
  afterAll(() => client.destroy());
  const openUploads = async () => {
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: "test" }));
    const records = [];
    for await (const { key } of s3Store(bucket).list(".bucketcache/")) records.push(key);
    return [Uploads.length, records.length];
  };
  const content = (size: number) => {
    const words = new Uint32Array(size / 4);
    for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 2_654_435_761);
    return new Uint8Array(words.buffer);
  };
  // A deep comparison of so many bytes takes seconds.
  const holds = async (key: string, data: Uint8Array) => {
    const value = await serverCache().get<Uint8Array>(key);
    expect(value?.length).toBe(data.length);
    expect(Buffer.compare(value as Uint8Array, data)).toBe(0);
  };
  const streamOf = (data: Uint8Array<ArrayBuffer>, end?: () => unknown) => {
    let at = 0;
    return new ReadableStream<Uint8Array<ArrayBuffer>>({
      async pull(controller) {
        if (at < data.length) return controller.enqueue(data.slice(at, (at += 700_000)));
        await end?.();
        controller.close();
      },
    });
  };
  const bodies = {
    bytes: (data: Uint8Array<ArrayBuffer>) => data,
    Blob: (data: Uint8Array<ArrayBuffer>) => new Blob([data], { type: "image/png" }),
    stream: (data: Uint8Array<ArrayBuffer>) => streamOf(data),
  };

  test("what a recorder made is stored under its type, without the codecs that it names with a comma", async () => {
    const recorded = new Blob(["webm"], { type: "video/webm;codecs=vp8,opus" });
    await pageCache().set("recorded", recorded);
    expect(await serverCache().getEntry("recorded")).toMatchObject({ contentType: "video/webm" });
    await pageCache().set("recorded", new Blob(["webm"], { type: "audio/webm;codecs=opus" }));
    expect(await serverCache().getEntry("recorded")).toMatchObject({ contentType: "audio/webm;codecs=opus" });
  });

  test.each(Object.entries(bodies))("%s up to a part is one PUT", async (_, make) => {
    await pageCache().set("upload", make(content(5 * MIB)), { compress: false });
    expect(server.sent).toEqual(["PUT"]);
    await holds("upload", content(5 * MIB));
  });

  test.each(Object.entries(bodies))("%s beyond a part goes up in parts, each signed as it starts", async (_, make) => {
    const size = 11 * MIB;
    const progress: number[] = [];
    await pageCache().set("upload", make(content(size)), {
      compress: false,
      ttl: "1h",
      onProgress: ({ loaded }) => progress.push(loaded),
    });
    expect(server.sent).toEqual(["PUT", "PUT", "PUT"]);
    const asked = server.batches.flat().map(({ op }) => op);
    expect(asked).toEqual(["create", "part", "part", "part", "complete"]);
    expect(progress.at(-1)).toBe(size);
    await holds("upload", content(size));
    expect(await openUploads()).toEqual([0, 0]);
  });

  test("a stream is gzipped on its way, in parts", async () => {
    // Noise in bytes of 64 values shrinks by a quarter.
    const data = new Uint8Array(8 * MIB);
    for (let at = 0; at < data.length; at += 65_536) crypto.getRandomValues(data.subarray(at, at + 65_536));
    for (let at = 0; at < data.length; at++) data[at] = (data[at] as number) & 63;
    await pageCache().set("upload", streamOf(data), { compress: true, contentType: "text/csv" });
    expect(requestsSent("PUT")).toBe(2);
    expect((await s3Store(bucket).head("cache/upload"))?.size).toBeLessThan(7 * MIB);
    await holds("upload", data);
  });

  test("an abort half-way leaves no object, no upload and no record", async () => {
    const controller = new AbortController();
    const stuck = streamOf(content(12 * MIB), () => {
      controller.abort(new Error("enough"));
      return new Promise(() => {});
    });
    const upload = pageCache().set("aborted", stuck, { compress: false, signal: controller.signal });
    await expect(upload).rejects.toThrow("enough");
    expect(await serverCache().get("aborted")).toBeUndefined();
    expect(await openUploads()).toEqual([0, 0]);
    expect(server.batches.flat().map(({ op }) => op)).toContain("abort");
  });

  test("an abort while the upload begins leaves none behind, and does not wait long for an answer", async () => {
    for (const answers of [true, false]) {
      const controller = new AbortController();
      server.intercept = async (url, init) => {
        if (url.href !== server.url || server.batches.at(-1)?.[0]?.op !== "create") return undefined as never;
        if (!answers) {
          controller.abort(new Error("enough"));
          return new Promise((_, reject) => init.signal?.addEventListener("abort", () => reject(new Error("aborted"))));
        }
        // The handler does what it was asked, whoever waits for the answer.
        const answer = await fetch(url, { ...init, signal: null });
        controller.abort(new Error("enough"));
        await new Promise((resolve) => setTimeout(resolve, 50));
        init.signal?.throwIfAborted();
        return answer;
      };
      const startedAt = performance.now();
      const upload = pageCache().set("aborted", content(6 * MIB), { compress: false, signal: controller.signal });
      await expect(upload).rejects.toThrow("enough");
      expect(performance.now() - startedAt).toBeLessThan(5_000);
      expect(await openUploads()).toEqual([0, 0]);
    }
  });

  test("a part that fails for a moment is sent again", async () => {
    let failures = 2;
    server.intercept = (_, init) =>
      init.method === "PUT" && failures-- > 0
        ? new Response("<Error><Code>SlowDown</Code></Error>", { status: 503 })
        : undefined;
    await pageCache().set("upload", content(11 * MIB));
    expect(requestsSent("PUT")).toBe(5);
    await holds("upload", content(11 * MIB));
  });

  test("a complete whose answer is lost has succeeded", async () => {
    let lost = 0;
    server.intercept = async (url, init) => {
      if (url.href !== server.url || server.batches.at(-1)?.[0]?.op !== "complete" || lost++ > 0)
        return undefined as never;
      await (await fetch(url, init)).text();
      throw new TypeError("fetch failed");
    };
    await pageCache().set("upload", content(6 * MIB));
    expect(lost).toBe(2);
    await holds("upload", content(6 * MIB));
  });

  test("what a handler would not pass on is refused, not dropped", async () => {
    const cache = pageCache();
    const error = await rejectionOf(cache.set("k", 1, { cacheControl: "max-age=60" }));
    expect(error).toMatchObject({ code: "ERR_UNSUPPORTED" });
    const put = server.store().put("cache/k", new Uint8Array(1), { contentType: "a/b", metadata: { mine: "1" } });
    expect(await rejectionOf(put)).toMatchObject({ code: "ERR_UNSUPPORTED" });
    expect(server.batches).toEqual([]);
  });
});
