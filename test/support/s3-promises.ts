import {
  CreateMultipartUploadCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import type { FoundObject } from "bucketcache";
import { s3Store, type S3StoreOptions } from "bucketcache/s3";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { startProxy, type FaultProxy } from "./proxy.js";

export interface Server {
  bucket: string;
  endpoint: string;
  region: string;
  forcePathStyle: true;
  credentials: { accessKeyId: string; secretAccessKey: string };
}

const MIB = 1 << 20;
const META = { entry: "v=1, created=1795310019, codec=bytes, nonce=:AAAAAAAAAAAAAAAAAAAAAA==:" };
const FIELDS = { contentType: "text/plain", metadata: META };
const bytes = (text: string) => new TextEncoder().encode(text);

type Store = ReturnType<typeof s3Store>;

/** Bytes that differ everywhere, so that parts in the wrong order show. */
function pattern(size: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(size / 4));
  for (let index = 0; index < words.length; index++) words[index] = Math.imul(index, 2_654_435_761);
  return new Uint8Array(words.buffer, 0, size);
}

function streamOf(data: Uint8Array, chunk = 700_000, end?: (controller: ReadableStreamDefaultController) => void) {
  let offset = 0;
  return new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (offset < data.byteLength) controller.enqueue(data.slice(offset, (offset += chunk)));
        else if (end !== undefined) end(controller);
        else controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}

export async function read(store: Store, key: string): Promise<string | undefined> {
  const result = await store.get(key);
  if (result === undefined || result === "not-modified") return undefined;
  return new TextDecoder().decode(await (result as FoundObject).bytes!(64 * MIB));
}

/** What `s3Store` promises on any server. */
export function s3Promises(start: () => Promise<Server & { stop(): Promise<void> }>): void {
  let server: Awaited<ReturnType<typeof start>>;
  let store: Store;
  let client: S3Client;
  let proxy: FaultProxy;

  const open = (options: Partial<S3StoreOptions> = {}) => s3Store({ ...server, ...options } as S3StoreOptions);
  const through = (options: Partial<S3StoreOptions> = {}) => open({ endpoint: proxy.endpoint, ...options });
  const uploads = async () =>
    (await client.send(new ListMultipartUploadsCommand({ Bucket: server.bucket }))).Uploads ?? [];

  beforeAll(async () => {
    server = await start();
    store = open();
    const { bucket: _, stop: __, ...config } = server;
    client = new S3Client(config);
    proxy = await startProxy(server.endpoint);
  });

  afterAll(async () => {
    await store.close?.();
    client.destroy();
    await proxy.close();
    await server.stop();
  });

  test.each([
    "plain",
    "a/b c/+&=?#%'!()*$@,;:~",
    "käse/日本語/😀",
    "x".repeat(200),
    `${"seg/".repeat(100)}end`,
    ".hidden/..b",
  ])("what is put under %s comes back with its type and metadata", async (key) => {
    const { etag } = await store.put(key, bytes("hello"), { ...FIELDS, metadata: { ...META, expires_at: "1.5" } });
    const head = {
      size: 5,
      etag,
      contentType: "text/plain",
      metadata: { ...META, expires_at: "1.5" },
      lastModified: expect.any(Date),
      now: expect.any(Date),
    };
    expect(await store.head(key)).toMatchObject(head);
    const object = await store.get(key);
    expect(object).toMatchObject(head);
    expect(await new Response((object as { body: ReadableStream }).body).text()).toBe("hello");
    const listed = [];
    for await (const entry of store.list(key)) listed.push(entry);
    expect(listed).toEqual([{ key, size: 5, etag, lastModified: expect.any(Date) }]);
    await store.delete(key);
    expect(await store.get(key)).toBeUndefined();
    expect(await store.head(key)).toBeUndefined();
  });

  test("an absent object is undefined, deleting it is no error, an absent bucket and wrong keys are errors", async () => {
    expect(await store.get("absent")).toBeUndefined();
    expect(await store.head("absent")).toBeUndefined();
    await store.delete("absent");
    await expect(open({ bucket: "no-such-bucket" }).get("k")).rejects.toMatchObject({ code: "ERR_NO_SUCH_BUCKET" });
    const wrong = { accessKeyId: server.credentials.accessKeyId, secretAccessKey: "wrong-secret-key" };
    await expect(open({ credentials: wrong }).get("k")).rejects.toMatchObject({ code: "ERR_CREDENTIALS", key: "k" });
    const unknown = { accessKeyId: "AKIAUNKNOWN", secretAccessKey: "wrong-secret-key" };
    await expect(open({ credentials: unknown }).put("k", bytes("x"), FIELDS)).rejects.toMatchObject({
      code: "ERR_CREDENTIALS",
    });
  });

  test("a range gives a part, and the size of the whole", async () => {
    await store.put("range", bytes("0123456789"), FIELDS);
    const part = (await store.get("range", { range: { offset: 2, length: 3 } })) as {
      body: ReadableStream;
      size: number;
    };
    expect(part.size).toBe(10);
    expect(await new Response(part.body).text()).toBe("234");
    const rest = (await store.get("range", { range: { offset: 7 } })) as { body: ReadableStream };
    expect(await new Response(rest.body).text()).toBe("789");
    await expect(store.get("range", { range: { offset: -1 } })).rejects.toThrow(TypeError);
  });

  test("conditions hold: only over this ETag, only where nothing is, not what I have", async () => {
    const { etag } = await store.put("condition", bytes("old"), FIELDS);
    await expect(store.put("condition", bytes("new"), { ...FIELDS, ifNoneMatch: "*" })).rejects.toMatchObject({
      code: "ERR_CONFLICT",
      key: "condition",
    });
    await expect(store.put("condition", bytes("new"), { ...FIELDS, ifMatch: '"other"' })).rejects.toMatchObject({
      code: "ERR_CONFLICT",
    });
    expect(await store.get("condition", { ifNoneMatch: etag })).toBe("not-modified");
    await expect(store.put("condition/absent", bytes("new"), { ...FIELDS, ifMatch: etag })).rejects.toMatchObject({
      code: "ERR_CONFLICT",
    });
    await store.put("condition", bytes("new"), { ...FIELDS, ifMatch: etag });
    expect(await read(store, "condition")).toBe("new");
    const first = await Promise.allSettled(
      Array.from({ length: 8 }, (_, index) => store.put("first", bytes(`${index}`), { ...FIELDS, ifNoneMatch: "*" })),
    );
    expect(first.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });

  test("a body that is not what its checksum says is refused", async () => {
    const sha256 = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="; // of "hello"
    await store.put("sum", bytes("hello"), { ...FIELDS, sha256 });
    await expect(store.put("sum", bytes("jello"), { ...FIELDS, sha256 })).rejects.toMatchObject({ key: "sum" });
    expect(await read(store, "sum")).toBe("hello");
  });

  test("lists are in order, over many pages, and of the prefix only", async () => {
    const keys = Array.from({ length: 1_005 }, (_, index) => `many/${String(index).padStart(5, "0")}`);
    for (let start = 0; start < keys.length; start += 50) {
      await Promise.all(keys.slice(start, start + 50).map((key) => store.put(key, bytes("x"), FIELDS)));
    }
    await store.put("manyX", bytes("x"), FIELDS);
    const listed = [];
    for await (const { key } of store.list("many/")) listed.push(key);
    expect(listed).toEqual(keys);
    await store.deleteMany!([...keys, "many/<absent>&"]);
    for await (const { key } of store.list("many/")) expect.unreachable(key);
    expect(await store.head("manyX")).toBeDefined();
  });

  describe("a large body", () => {
    const data = pattern(17 * MIB + 12_345);

    test.each([
      ["stream", () => streamOf(data)],
      ["stream in one chunk", () => streamOf(data, data.byteLength)],
      ["Blob", () => new Blob([data])],
    ])("as a %s goes in parts of one size, in parallel, and comes back whole", async (_, body) => {
      proxy.reset();
      const progress: number[] = [];
      const large = through({ partSize: 5 * MIB });
      const onProgress = ({ loaded }: { loaded: number }) => progress.push(loaded);
      const { etag } = await large.put("large", body(), { ...FIELDS, onProgress });
      expect(etag).toMatch(/-4"?$/);
      const parts = proxy.requests.filter(({ query }) => query.has("partNumber"));
      expect(parts.map(({ headers }) => Number(headers["content-length"])).sort()).toEqual([
        data.byteLength - 15 * MIB,
        5 * MIB,
        5 * MIB,
        5 * MIB,
      ]);
      expect(progress).toEqual([...progress].sort((a, b) => a - b));
      expect(progress.at(-1)).toBe(data.byteLength);
      const object = (await store.get("large")) as FoundObject;
      expect(object.metadata).toEqual(META);
      const back = await object.bytes!(64 * MIB);
      expect(Buffer.compare(back, data)).toBe(0);
      expect(await uploads()).toEqual([]);
    });

    test("is read in as slowly as it is stored: no more parts in memory than lanes", async () => {
      proxy.reset();
      let stored = 0;
      let pulled = 0;
      let ahead = 0;
      const source = new ReadableStream<Uint8Array>(
        {
          pull(controller) {
            if (pulled >= data.byteLength) return controller.close();
            const chunk = data.slice(pulled, (pulled += MIB));
            ahead = Math.max(ahead, pulled - stored);
            controller.enqueue(chunk);
          },
        },
        { highWaterMark: 0 },
      );
      await through({ partSize: 5 * MIB, concurrency: 1 }).put("slow", source, {
        ...FIELDS,
        onProgress: ({ loaded }) => (stored = loaded),
      });
      // The part that made it a large body, and the one on its way.
      expect(ahead).toBeLessThanOrEqual(11 * MIB);
    });

    test("whose source fails leaves the old value, no upload, and the source's own error", async () => {
      await store.put("kept", bytes("old"), FIELDS);
      const boom = new Error("boom");
      const body = streamOf(data, 700_000, (controller) => controller.error(boom));
      await expect(open({ partSize: 5 * MIB }).put("kept", body, FIELDS)).rejects.toBe(boom);
      expect(await read(store, "kept")).toBe("old");
      expect(await uploads()).toEqual([]);
    });

    test("that is aborted rejects with the reason, stops its source, and leaves no upload", async () => {
      proxy.reset();
      const reason = new Error("enough");
      const controller = new AbortController();
      let cancelled: unknown;
      const body = new ReadableStream<Uint8Array>({
        pull: (source) => source.enqueue(new Uint8Array(MIB)),
        cancel: (why) => void (cancelled = why),
      });
      const putting = through({ partSize: 5 * MIB }).put("endless", body, {
        ...FIELDS,
        signal: controller.signal,
        onProgress: ({ loaded }) => loaded > 20 * MIB && controller.abort(reason),
      });
      await expect(putting).rejects.toBe(reason);
      expect(cancelled).toBe(reason);
      expect(await uploads()).toEqual([]);
      expect(await store.head("endless")).toBeUndefined();
      expect(proxy.count("DELETE")).toBe(1);
    });

    test("that is aborted while it begins leaves no upload", async () => {
      proxy.reset();
      const reason = new Error("enough");
      const controller = new AbortController();
      proxy.hook = ({ query }) => {
        if (query.has("uploads")) controller.abort(reason);
        return undefined;
      };
      const body = streamOf(data.subarray(0, 6 * MIB));
      const putting = through({ partSize: 5 * MIB }).put("begun", body, { ...FIELDS, signal: controller.signal });
      await expect(putting).rejects.toBe(reason);
      proxy.reset();
      expect(await uploads()).toEqual([]);
    });

    test("that is aborted while its source says nothing does not wait for the source", async () => {
      const reason = new Error("enough");
      const controller = new AbortController();
      let pulled = 0;
      const body = new ReadableStream<Uint8Array>({
        pull(source) {
          if (++pulled < 12) return source.enqueue(new Uint8Array(MIB));
          setImmediate(() => controller.abort(reason));
          return new Promise(() => {});
        },
      });
      await expect(
        open({ partSize: 5 * MIB }).put("hanging", body, { ...FIELDS, signal: controller.signal }),
      ).rejects.toBe(reason);
      expect(await uploads()).toEqual([]);
    });

    test("keeps to its condition when it is complete, and leaves no upload when it fails", async () => {
      await store.put("taken", bytes("old"), FIELDS);
      const body = streamOf(data.subarray(0, 6 * MIB));
      await expect(
        open({ partSize: 5 * MIB }).put("taken", body, { ...FIELDS, ifNoneMatch: "*" }),
      ).rejects.toMatchObject({
        code: "ERR_CONFLICT",
        key: "taken",
      });
      expect(await read(store, "taken")).toBe("old");
      expect(await uploads()).toEqual([]);
    });

    test("survives a part that is refused, a part whose answer is lost, and a lost answer at the end", async () => {
      proxy.reset();
      const once = new Set<string>();
      proxy.hook = ({ method, query }) => {
        const step = query.get("partNumber") ?? (method === "POST" && query.has("uploadId") ? "complete" : "");
        if (step === "" || once.has(step)) return undefined;
        once.add(step);
        if (step === "1") return { answer: { status: 503, body: "<Error><Code>SlowDown</Code></Error>" } };
        if (step === "2" || step === "complete") return { drop: "after" };
        return undefined;
      };
      await through({ partSize: 5 * MIB }).put("stormy", streamOf(data), { ...FIELDS, ifNoneMatch: "*" });
      expect(once).toContain("complete");
      expect((await store.head("stormy"))?.size).toBe(data.byteLength);
      expect(await uploads()).toEqual([]);
    });
  });

  test("a single PUT whose answer is lost is found to be its own", async () => {
    proxy.reset();
    let lost = false;
    proxy.hook = ({ method }) => {
      if (method !== "PUT" || lost) return undefined;
      lost = true;
      return { drop: "after" };
    };
    const metadata = { entry: META.entry.replace("AAAA", "CCCC") };
    const { etag } = await through().put("lost", bytes("mine"), { ...FIELDS, metadata, ifNoneMatch: "*" });
    expect(await store.head("lost")).toMatchObject({ etag, metadata });
  });

  describe("a grant", () => {
    const send = (
      grant: { method: string; url: string; headers: Record<string, string> },
      body?: string,
      extra = {},
    ) => {
      const { "content-length": _, ...headers } = grant.headers;
      return fetch(grant.url, {
        method: grant.method,
        headers: { ...headers, ...extra },
        ...(body !== undefined && { body }),
      });
    };

    test("to read gives anybody the plain content, under a file name", async () => {
      const { gzipSync } = await import("node:zlib");
      await store.put("zipped", gzipSync("hello"), { ...FIELDS, metadata: { ...META, compressed: "true" } });
      const grant = await store.presign("zipped", {
        filename: 'Käse "1".txt',
        contentType: "text/csv",
        expiresIn: "1m",
      });
      expect(grant).toMatchObject({ key: "zipped", operation: "read", method: "GET" });
      expect(JSON.parse(JSON.stringify(grant))).toEqual(grant);
      expect(Math.abs(grant.expiresAt - Date.now() / 1_000 - 60)).toBeLessThan(5);
      const response = await send(grant);
      expect(response.headers.get("content-disposition")).toBe(
        `attachment; filename="K_se _1_.txt"; filename*=UTF-8''K%C3%A4se%20%221%22.txt`,
      );
      expect(response.headers.get("content-type")).toBe("text/csv");
      expect(await response.text()).toBe("hello");
      await store.put("plain", bytes("plain"), FIELDS);
      expect(await (await send(await store.presign("plain", {}))).text()).toBe("plain");
      // A name is no path; MinIO takes such a query for one that climbs.
      const climbing = await send(await store.presign("plain", { filename: "../a\\..\\b.txt" }));
      expect(climbing.headers.get("content-disposition")).toBe(
        `attachment; filename=".._a_.._b.txt"; filename*=UTF-8''.._a_.._b.txt`,
      );
    });

    test("to write stores an entry, of exactly this size, type, life and key", async () => {
      const grant = await store.presign("granted", {
        operation: "write",
        size: 5,
        contentType: "application/json",
        ttl: "1h",
      });
      const refused = async (change: Partial<typeof grant>, body = "12345", extra = {}) => {
        const response = await send({ ...grant, ...change }, body, extra);
        await response.text();
        expect(response.status).toBeGreaterThanOrEqual(400);
        expect(await store.head("granted")).toBeUndefined();
      };
      const { headers } = grant;
      await refused({}, "123456");
      await refused({ url: grant.url.replace("/granted?", "/another?") });
      await refused({ url: grant.url.replace("Expires=300", "Expires=3000") });
      await refused({ headers: { ...headers, "content-type": "text/html" } });
      await refused({ headers: { ...headers, "x-amz-meta-expires_at": "9999999999" } });
      await refused({ headers: { ...headers, "x-amz-meta-entry": "" } });
      await refused({ headers: { ...headers, "content-encoding": "gzip" } });
      await refused({ method: "DELETE" });
      const { "x-amz-meta-entry": _, ...without } = headers;
      await refused({ headers: without });
      await store.put("secret", bytes("12345"), FIELDS);
      await send(grant, "", { "x-amz-copy-source": `/${server.bucket}/secret` });
      expect(await store.head("granted")).toBeUndefined();
      expect((await send(grant, "12345")).status).toBe(200);
      const head = await store.head("granted");
      expect(head).toMatchObject({ size: 5, contentType: "application/json" });
      expect(head?.metadata["entry"]).toMatch(/codec=json/);
      expect(Math.abs(Number(head?.metadata["expires_at"]) - Date.now() / 1_000 - 3_600)).toBeLessThan(10);
    });

    test("to delete deletes, once it was asked for", async () => {
      await store.put("gone", bytes("x"), FIELDS);
      expect((await send(await store.presign("gone", { operation: "delete" }))).status).toBe(204);
      expect(await store.head("gone")).toBeUndefined();
    });

    test("ends when the credentials do that signed it", async () => {
      const expiration = new Date(Date.now() + 20_000);
      const grant = await open({ credentials: async () => ({ ...server.credentials, expiration }) }).presign("k", {
        expiresIn: "1h",
      });
      expect(grant.expiresAt).toBeCloseTo(expiration.getTime() / 1_000, 3);
      await expect(store.presign("k", { expiresIn: "8d" })).rejects.toThrow(TypeError);
      await expect(store.presign("k", { expiresIn: 0 })).rejects.toThrow(TypeError);
    });

    test("for a part lets nobody copy another object, and takes the part", async () => {
      const { signer } = store;
      const id = await signer!.createUpload("parts", { "content-type": "text/plain" });
      const query = { partNumber: "1", uploadId: id };
      const part = await signer!.sign({ method: "PUT", key: "parts", query, headers: { "content-length": "5" } }, 60);
      await (await send(part, "", { "x-amz-copy-source": `/${server.bucket}/secret` })).text();
      expect(await signer!.listParts("parts", id)).toEqual([]);
      const response = await send(part, "12345");
      expect(response.status).toBe(200);
      const etag = response.headers.get("etag")!;
      expect(await signer!.listParts("parts", id)).toEqual([{ partNumber: 1, etag, size: 5 }]);
      await signer!.completeUpload("parts", id, [{ partNumber: 1, etag }], { ifNoneMatch: "*" });
      expect(await read(store, "parts")).toBe("12345");
      await signer!.abortUpload("parts", id);
    });
  });

  test("a client's own request handler, credentials and endpoint are used", async () => {
    const { bucket, stop: _, ...config } = server;
    const own = new S3Client(config);
    const handle = vi.spyOn(own.config.requestHandler, "handle");
    const store = s3Store({ bucket, client: own, partSize: 5 * MIB });
    await store.put("client/ä b", bytes("hello"), FIELDS);
    expect(await read(store, "client/ä b")).toBe("hello");
    const { body } = (await store.get("client/ä b")) as { body: ReadableStream };
    expect(await new Response(body).text()).toBe("hello");
    expect(await store.head("absent")).toBeUndefined();
    await store.put("client/large", streamOf(pattern(6 * MIB)), FIELDS);
    const listed = [];
    for await (const { key } of store.list("client/")) listed.push(key);
    expect(listed).toEqual(["client/large", "client/ä b"]);
    expect(handle.mock.calls.length).toBeGreaterThan(7);
    const controller = new AbortController();
    const reading = (await store.get("client/large", { signal: controller.signal })) as { body: ReadableStream };
    const reader = reading.body.getReader();
    await reader.read();
    controller.abort(new Error("enough"));
    await expect(reader.read()).rejects.toThrow("enough");
    own.destroy();
  });

  test("a fetch of one's own is used", async () => {
    const calls: string[] = [];
    const store = open({
      fetch: (input, init) => {
        calls.push(init.method);
        return fetch(input, init);
      },
    });
    await store.put("fetched", bytes("hello"), FIELDS);
    expect(await read(store, "fetched")).toBe("hello");
    expect(calls).toEqual(["PUT", "GET"]);
  });

  test("an upload that somebody else began is none of ours to list as an object", async () => {
    const begun = await client.send(new CreateMultipartUploadCommand({ Bucket: server.bucket, Key: "begun" }));
    expect(await store.get("begun")).toBeUndefined();
    const { signer } = store;
    await signer!.abortUpload("begun", begun.UploadId!);
    await signer!.abortUpload("begun", begun.UploadId!);
    expect(await uploads()).toEqual([]);
  });

  test("what is read does not change on its way: the SDK sees the same bytes", async () => {
    await store.put("same", pattern(300_000), FIELDS);
    const { Body, CacheControl } = await client.send(new GetObjectCommand({ Bucket: server.bucket, Key: "same" }));
    expect(Buffer.compare((await Body!.transformToByteArray())!, pattern(300_000))).toBe(0);
    expect(CacheControl).toBe("no-store, bucketcache=1");
  });
}
