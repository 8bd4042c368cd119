import { BucketCacheError, type ObjectStore } from "bucketcache";
import { memoryStore } from "bucketcache/memory";
import { type Fault, type Runner, type StoreLimit, faultyStore, storeConformance } from "bucketcache/testing";
import { s3Store } from "bucketcache/s3";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { readAll } from "../src/base/body.js";
import { utf8 } from "../src/base/bytes.js";
import type { Bytes, BucketSigner, FoundObject, WrittenObject } from "../src/types.js";
import { devBucket, type Bucket } from "./support/handler.js";
import { startPresignServer, type PresignServer } from "./support/presign-server.js";

const PLAIN = { contentType: "text/plain", metadata: {} };

let bucket: Bucket & { stop(): Promise<void> };
let presignServer: PresignServer;
beforeAll(async () => {
  bucket = await devBucket();
  presignServer = await startPresignServer(bucket);
});
afterAll(async () => {
  await presignServer.stop();
  await bucket.stop();
});

/** A store in memory of which some methods are replaced. */
function mutant(change: (good: ObjectStore) => Partial<ObjectStore>): () => Promise<ObjectStore> {
  return async () => {
    const good = memoryStore();
    return { ...good, ...change(good) };
  };
}

/** A store that changes what get returns. */
const reading = (change: (found: FoundObject) => Partial<FoundObject>): (() => Promise<ObjectStore>) =>
  mutant((good) => ({
    async get(key, options) {
      const found = await good.get(key, options);
      return typeof found === "object" ? { ...found, ...change(found) } : found;
    },
  }));

/** A store that tells more, or something else, of a write. */
const writing = (
  change: (written: WrittenObject, key: string) => Partial<WrittenObject>,
): (() => Promise<ObjectStore>) =>
  mutant((good) => ({
    async put(key, body, options) {
      const written = await good.put(key, body, options);
      return { ...written, ...change(written, key) };
    },
  }));

/** A store with credentials whose signer does some things in another way. */
function signing(change: (good: BucketSigner) => Partial<BucketSigner>): () => Promise<ObjectStore> {
  return async () => {
    const { signer, ...store } = s3Store(bucket);
    if (signer === undefined) throw new Error("s3Store has no signer");
    return { ...store, signer: { ...signer, ...change(signer) } };
  };
}

/** A store behind a presign handler of which some methods are replaced. */
function presigned(change: (good: ObjectStore) => Partial<ObjectStore>): () => Promise<ObjectStore> {
  return async () => {
    const good = presignServer.store();
    return { ...good, ...change(good) };
  };
}

/** Adds `bytes` to what a store in memory finds; `read` gets all bytes, and may return others. */
const inOnePiece = (read: (all: Bytes, maxBytes: number) => Bytes): (() => Promise<ObjectStore>) =>
  reading(({ body }) => ({ bytes: async (maxBytes) => read(await readAll(body, 1e9), maxBytes) }));

function withinLimit(all: Bytes, maxBytes: number): Bytes {
  if (all.byteLength > maxBytes) throw new BucketCacheError("ERR_TOO_LARGE", "too large");
  return all;
}

async function bytesOf(body: unknown): Promise<Uint8Array> {
  return new Uint8Array(await new Response(body as ReadableStream).arrayBuffer());
}

/** Runs the suite, and returns the names of the selected promises that a store breaks. */
async function brokenPromises(makeStore: () => Promise<ObjectStore>, selected = /./): Promise<string[]> {
  const tests: [name: string, body: () => Promise<void> | void][] = [];
  storeConformance({ describe: (_, body) => body(), test: (name, body) => void tests.push([name, body]) }, makeStore);
  const names: string[] = [];
  for (const [name, body] of tests) {
    if (!selected.test(name)) continue;
    try {
      await body();
    } catch {
      names.push(name);
    }
  }
  return names;
}

const brokenStores: Record<string, [makeStore: () => Promise<ObjectStore>, promise: RegExp]> = {
  "loses metadata": [
    mutant((good) => ({ put: (k, b, o) => good.put(k, b, { ...o, metadata: {} }) })),
    /content type and metadata/,
  ],
  "forgets the content type": [reading(() => ({ contentType: "binary/octet-stream" })), /content type and metadata/],
  "tells the size of the part instead of the whole": [
    mutant((good) => ({
      async get(key, options) {
        const found = await good.get(key, options);
        if (typeof found !== "object" || options?.range === undefined) return found;
        return { ...found, size: options.range.length ?? 1 };
      },
    })),
    /reads a part/,
  ],
  "ignores ranges": [
    mutant((good) => ({ get: (key, { range: _, ...rest } = {}) => good.get(key, rest) })),
    /reads a part/,
  ],
  "fails for an absent object": [
    mutant((good) => ({
      async get(key, options) {
        const found = await good.get(key, options);
        if (found === undefined) throw new BucketCacheError("ERR_STORE", "404");
        return found;
      },
    })),
    /finds nothing/,
  ],
  "decodes keys once too often": [
    mutant((good) => ({
      put: (key, b, o) => good.put(key.replaceAll("%20", " "), b, o),
      get: (key, o) => good.get(key.replaceAll("%20", " "), o),
      head: (key, o) => good.head(key.replaceAll("%20", " "), o),
    })),
    /deletes|odd keys|begins with the prefix/,
  ],
  "takes a backslash for a slash": [
    mutant((good) => ({
      put: (key, b, o) => good.put(key.replaceAll("\\", "/"), b, o),
      get: (key, o) => good.get(key.replaceAll("\\", "/"), o),
      head: (key, o) => good.head(key.replaceAll("\\", "/"), o),
    })),
    /backslash/,
  ],
  "forgets the condition of a large body": [
    mutant((good) => ({
      put: (key, b, { ifMatch: _, ifNoneMatch: _none, ...o }) => good.put(key, b, o),
    })),
    /uploaded in parts to its condition/,
  ],
  "deletes what lies below a key": [
    mutant((good) => ({
      async deleteMany(keys, o) {
        for (const key of keys) {
          for await (const below of good.list(`${key}/`)) await good.delete(below.key);
          await good.delete(key, o);
        }
      },
    })),
    /others below its key/,
  ],
  "ignores case": [
    mutant((good) => ({
      put: (key, b, o) => good.put(key.toLowerCase(), b, o),
      get: (key, o) => good.get(key.toLowerCase(), o),
      head: (key, o) => good.head(key.toLowerCase(), o),
      delete: (key, o) => good.delete(key.toLowerCase(), o),
    })),
    /odd keys/,
  ],
  "never answers not-modified": [
    mutant((good) => ({ get: (key, { ifNoneMatch: _, ...rest } = {}) => good.get(key, rest) })),
    /not-modified/,
  ],
  "always answers not-modified": [
    mutant((good) => ({ get: async (key, o) => (o?.ifNoneMatch ? "not-modified" : good.get(key, o)) })),
    /not-modified/,
  ],
  "hands out its own metadata": [
    () => {
      const good = memoryStore();
      const shared = new Map<string, Record<string, string>>();
      return Promise.resolve({
        ...good,
        async head(key, options) {
          const found = await good.head(key, options);
          if (found === undefined) return undefined;
          if (!shared.has(key)) shared.set(key, found.metadata);
          return { ...found, metadata: shared.get(key) ?? {} };
        },
      } satisfies ObjectStore);
    },
    /reader's to change/,
  ],
  "hands out its own bytes": [
    () => {
      const good = memoryStore();
      const shared = new Map<string, Uint8Array<ArrayBuffer>>();
      return Promise.resolve({
        ...good,
        async get(key, options) {
          const found = await good.get(key, options);
          if (typeof found !== "object" || options?.range) return found;
          const bytes = shared.get(key + found.etag) ?? new Uint8Array(await bytesOf(found.body));
          shared.set(key + found.etag, bytes);
          return {
            ...found,
            body: new Blob([]).stream().pipeThrough(new TransformStream({ start: (c) => c.enqueue(bytes) })),
          };
        },
      } satisfies ObjectStore);
    },
    /Uint8Array, which are the reader's/,
  ],
  "keeps a part of a failed write": [
    mutant((good) => ({
      async put(key, body, options) {
        if (!("getReader" in body)) return good.put(key, body, options);
        const chunks: Uint8Array[] = [];
        try {
          for await (const chunk of body) chunks.push(chunk);
        } catch (error) {
          await good.put(key, new Blob(chunks as BlobPart[]), options);
          throw error;
        }
        return good.put(key, new Blob(chunks as BlobPart[]), options);
      },
    })),
    /when a stream fails/,
  ],
  "swallows the failure of a stream": [
    mutant((good) => ({
      put: (key, body, options) =>
        good.put(key, body, options).catch((error: unknown) => {
          if ((error as Error).message === "the source broke") return { etag: '"x"' };
          throw error;
        }),
    })),
    /when a stream fails/,
  ],
  "deletes before it writes": [
    mutant((good) => ({
      async put(key, body, options) {
        if (!options.ifMatch && !options.ifNoneMatch) await good.delete(key);
        return good.put(key, body, options);
      },
    })),
    /leaves what was there when/,
  ],
  "wraps the reason of an abort": [
    mutant((good) => ({
      head: (key, o) =>
        good.head(key, o).catch((cause: unknown) => {
          throw new Error("aborted", { cause });
        }),
    })),
    /reason of a signal/,
  ],
  "ignores the signal of a delete": [mutant((good) => ({ delete: (key) => good.delete(key) })), /reason of a signal/],
  "ignores the signal of a list": [mutant((good) => ({ list: (prefix) => good.list(prefix) })), /reason of a signal/],
  "ignores ifNoneMatch": [
    mutant((good) => ({ put: (key, b, { ifNoneMatch: _, ...o }) => good.put(key, b, o) })),
    /ifNoneMatch only|eight writers/,
  ],
  "checks ifNoneMatch too early": [
    mutant((good) => ({
      async put(key, body, { ifNoneMatch, ...options }) {
        if (ifNoneMatch && (await good.head(key))) throw new BucketCacheError("ERR_CONFLICT", "exists");
        await Promise.resolve();
        return good.put(key, body, options);
      },
    })),
    /eight writers/,
  ],
  "ignores ifMatch": [
    mutant((good) => ({ put: (key, b, { ifMatch: _, ...o }) => good.put(key, b, o) })),
    /ifMatch only/,
  ],
  "calls a conflict by another code": [
    mutant((good) => ({
      put: (key, b, o) =>
        good.put(key, b, o).catch((cause: unknown) => {
          throw new BucketCacheError("ERR_STORE", "412", { cause });
        }),
    })),
    /ifMatch only/,
  ],
  "ignores the digest": [mutant((good) => ({ put: (key, b, { sha256: _, ...o }) => good.put(key, b, o) })), /SHA-256/],
  "tells no progress": [
    mutant((good) => ({ put: (key, b, { onProgress: _, ...o }) => good.put(key, b, o) })),
    /progress/,
  ],
  "writes the whole buffer of a view": [
    mutant((good) => ({
      put: (key, b, o) => good.put(key, ArrayBuffer.isView(b) ? new Uint8Array(b.buffer.slice(0)) : b, o),
    })),
    /that a view shows/,
  ],
  "merges metadata": [
    mutant((good) => ({
      async put(key, b, o) {
        return good.put(key, b, { ...o, metadata: { ...(await good.head(key))?.metadata, ...o.metadata } });
      },
    })),
    /replaces an object whole/,
  ],
  "has one ETag for all": [
    mutant((good) => ({
      put: async (key, b, o) => (await good.put(key, b, o)) && { etag: '"x"' },
      head: async (key, o) => {
        const head = await good.head(key, o);
        return head && { ...head, etag: '"x"' };
      },
    })),
    /replaces an object whole/,
  ],
  "deletes nothing": [mutant(() => ({ delete: async (_, o) => o?.signal?.throwIfAborted() })), /deletes an object/],
  "deletes nothing when asked with an ETag": [
    mutant((good) => ({ delete: async (key, o) => (o?.ifMatch ? undefined : good.delete(key, o)) })),
    /never claims a deletion/,
  ],
  "fails to delete what is absent": [
    mutant((good) => ({
      async delete(key, options) {
        if ((await good.head(key)) === undefined) throw new BucketCacheError("ERR_STORE", "404");
        return good.delete(key, options);
      },
    })),
    /absent one for deleted/,
  ],
  "deletes many by prefix": [
    mutant((good) => ({
      async deleteMany(keys, options) {
        options?.signal?.throwIfAborted();
        for (const prefix of keys) for await (const { key } of good.list(prefix)) await good.delete(key);
      },
    })),
    /deletes many/,
  ],
  "lists one page": [
    mutant((good) => ({
      async *list(prefix, options) {
        let left = 1_000;
        for await (const object of good.list(prefix, options)) if (left-- > 0) yield object;
      },
    })),
    /more than a thousand/,
  ],
  "lists in UTF-16 order": [
    mutant((good) => ({
      async *list(prefix, options) {
        const all = [];
        for await (const object of good.list(prefix, options)) all.push(object);
        yield* all.sort((a, b) => (a.key < b.key ? -1 : 1));
      },
    })),
    /order of the keys/,
  ],
  "lists whole folders": [
    mutant((good) => ({ list: (prefix, options) => good.list(prefix.slice(0, prefix.lastIndexOf("/") + 1), options) })),
    /begins with the prefix/,
  ],
  "hangs after some bodies that were cancelled": [
    () => {
      const good = memoryStore();
      let open = 0;
      return Promise.resolve({
        ...good,
        get: async (key, options) =>
          ++open > 50 ? Promise.reject(new Error("no socket is free")) : good.get(key, options),
      } satisfies ObjectStore);
    },
    /cancelled/,
  ],
  "reads other bytes by bytes than by body": [
    inOnePiece((all, maxBytes) => withinLimit(all, maxBytes).map((byte) => byte ^ 1)),
    /in one piece/,
  ],
  "reads less by bytes than was asked for": [
    inOnePiece((all, maxBytes) => withinLimit(all, maxBytes).slice(0, 100)),
    /in one piece/,
  ],
  "reads the whole object by bytes where a part was asked for": [
    mutant((good) => ({
      async get(key, options) {
        const found = await good.get(key, options);
        if (typeof found !== "object") return found;
        return { ...found, bytes: async () => readAll(((await good.get(key)) as FoundObject).body, 1e9) };
      },
    })),
    /in one piece/,
  ],
  "hands out its own bytes by bytes": [
    () => {
      const good = memoryStore();
      const shared = new Map<string, Promise<Bytes>>();
      return Promise.resolve({
        ...good,
        async get(key, options) {
          const found = await good.get(key, options);
          if (typeof found !== "object" || options?.range) return found;
          if (!shared.has(found.etag)) shared.set(found.etag, readAll(found.body, 1e9));
          return { ...found, bytes: () => shared.get(found.etag) as Promise<Bytes> };
        },
      } satisfies ObjectStore);
    },
    /in one piece/,
  ],
  "knows no limit of bytes": [inOnePiece((all) => all), /beyond the limit/],
  "cuts bytes off at the limit": [inOnePiece((all, maxBytes) => all.slice(0, maxBytes)), /beyond the limit/],
  "calls a body beyond the limit by another code": [
    inOnePiece((all, maxBytes) => {
      if (all.byteLength > maxBytes) throw new BucketCacheError("ERR_STORE", "too large");
      return all;
    }),
    /beyond the limit/,
  ],
  "tells another time of a write than head": [
    writing(() => ({ lastModified: new Date(Date.now() - 3_600_000) })),
    /time of the write/,
  ],
  "tells no valid time of a write": [writing(() => ({ lastModified: new Date(NaN) })), /time of the write/],
  "tells the time of a write as a number": [
    writing(() => ({ lastModified: Date.now() as unknown as Date })),
    /time of the write/,
  ],
  "tells another end of an entry than head": [
    writing(() => ({ expiresAt: Date.now() / 1_000 + 60 })),
    /end of the entry/,
  ],
  "tells the end of an entry in milliseconds": [
    writing(() => ({ expiresAt: Date.now() + 3_600_000 })),
    /end of the entry/,
  ],
  "says that it makes metadata of entries, and does not": [mutant(() => ({ stampsEntries: true })), /stampsEntries/],
  "says by a word that it makes metadata of entries": [
    mutant(() => ({ stampsEntries: "yes" as unknown as boolean })),
    /stampsEntries/,
  ],
  "makes entries that do not end as was asked": [
    presigned((good) => ({
      put: (key, body, { metadata: { expires_at: _, ...metadata }, ...options }) =>
        good.put(key, body, { ...options, metadata }),
    })),
    /stampsEntries/,
  ],
  "makes entries of another codec": [
    presigned((good) => ({
      put: (key, body, { metadata, ...options }) =>
        good.put(key, body, {
          ...options,
          metadata: { ...metadata, entry: (metadata["entry"] ?? "").replace("codec=json", "codec=text") },
        }),
    })),
    /stampsEntries/,
  ],
  "fails to prepare": [
    mutant(() => ({
      prepare() {
        throw new Error("not now");
      },
    })),
    /prepares/,
  ],
  "deletes by prepare": [
    mutant((good) => ({
      prepare(keys) {
        for (const key of keys) void good.delete(key);
      },
    })),
    /prepares/,
  ],
  "remembers by prepare what is absent": [
    mutant((good) => {
      const absent = new Set<string>();
      return {
        prepare: (keys) => keys.forEach((key) => key.endsWith("absent") && absent.add(key)),
        get: async (key, options) => (absent.has(key) ? undefined : good.get(key, options)),
      };
    }),
    /prepares/,
  ],
  "makes its caller wait for prepare": [
    mutant(() => ({ prepare: (() => Promise.resolve()) as unknown as () => void })),
    /prepares/,
  ],
  "tells its time in seconds": [mutant(() => ({ now: () => Date.now() / 1_000 })), /time by now/],
  "tells another time than its answers": [mutant(() => ({ now: () => Date.now() + 3_600_000 })), /time by now/],
  "tells a time that is none": [mutant(() => ({ now: () => NaN })), /time by now/],
  "tells its time as a Date": [mutant(() => ({ now: () => new Date() as unknown as number })), /time by now/],
  "signs requests for another object": [
    signing((good) => ({ sign: (request, life) => good.sign({ ...request, key: `${request.key}x` }, life) })),
    /a GET that reads/,
  ],
  "encodes keys twice before it signs": [
    signing((good) => ({
      sign: (request, life) => good.sign({ ...request, key: encodeURI(request.key) }, life),
    })),
    /a GET that reads/,
  ],
  "signs for another time than was asked": [
    signing((good) => ({ sign: (request) => good.sign(request, 3_600) })),
    /a GET that reads/,
  ],
  "tells the end of a signature in milliseconds": [
    signing((good) => ({
      async sign(request, life) {
        const signed = await good.sign(request, life);
        return { ...signed, expiresAt: signed.expiresAt * 1_000 };
      },
    })),
    /a GET that reads/,
  ],
  "begins uploads without their headers": [
    signing((good) => ({ createUpload: (key) => good.createUpload(key, {}) })),
    /upload in parts/,
  ],
  "lists no parts": [signing(() => ({ listParts: async () => [] })), /upload in parts/],
  "writes an object before its upload is completed": [
    signing((good) => ({
      async listParts(key, uploadId) {
        const parts = await good.listParts(key, uploadId);
        if (parts.length > 0) await good.completeUpload(key, uploadId, parts, {});
        return parts;
      },
    })),
    /upload in parts/,
  ],
  "lists the parts of an upload that was aborted": [
    signing(() => ({ listParts: async () => [] })),
    /abort of an upload/,
  ],
  "leaves uploads that are aborted": [signing(() => ({ abortUpload: async () => {} })), /abort of an upload/],
  "fails to abort an upload that has ended": [
    signing((good) => ({
      async abortUpload(key, uploadId) {
        await good.listParts(key, uploadId);
        await good.abortUpload(key, uploadId);
      },
    })),
    /abort of an upload/,
  ],
  "lists pages of the whole bucket": [
    signing((good) => ({ listPage: (_prefix, cursor) => good.listPage("", cursor) })),
    /a page of the objects/,
  ],
  "lists sizes as text": [
    signing((good) => ({
      async listPage(prefix, cursor) {
        const page = await good.listPage(prefix, cursor);
        return { ...page, objects: page.objects.map((object) => ({ ...object, size: `${object.size}` as never })) };
      },
    })),
    /a page of the objects/,
  ],
  "tells of no second page": [
    signing((good) => ({
      listPage: async (prefix, cursor) => ({ ...(await good.listPage(prefix, cursor)), cursor: undefined }),
    })),
    /more than a thousand/,
  ],
};

describe("storeConformance", () => {
  test("passes a store that keeps every promise, one with fewer methods, and one that ignores ifMatch on delete", async () => {
    expect(await brokenPromises(async () => memoryStore())).toEqual([]);
    const lenient = mutant((good) => ({ delete: (key, { ifMatch: _, ...o } = {}) => good.delete(key, o) }));
    expect(await brokenPromises(lenient, /delete/)).toEqual([]);
    const minimal = async (): Promise<ObjectStore> => {
      const { deleteMany: _, ...rest } = memoryStore();
      return rest;
    };
    expect(await brokenPromises(minimal, /delete/)).toEqual([]);
    const maximal = mutant((good) => ({
      async get(key, options) {
        const found = await good.get(key, options);
        if (typeof found !== "object") return found;
        const { body } = found;
        return { ...found, bytes: async (maxBytes) => readAll(body, maxBytes) };
      },
      prepare() {},
      now: () => Date.now(),
      stampsEntries: false,
    }));
    expect(await brokenPromises(maximal)).toEqual([]);
  }, 60_000);

  test("may be given the same store each time, and leaves it as it was", async () => {
    const store = memoryStore();
    await store.put("conformance/mine", utf8("x"), PLAIN);
    expect(await brokenPromises(async () => store)).toEqual([]);
    const keys: string[] = [];
    for await (const { key } of store.list("")) keys.push(key);
    expect(keys).toEqual(["conformance/mine"]);
  }, 60_000);

  for (const [name, [makeStore, promise]] of Object.entries(brokenStores)) {
    test(`catches a store that ${name}`, async () => {
      expect(await brokenPromises(makeStore, promise)).not.toEqual([]);
    }, 60_000);
  }
});

describe("faultyStore", () => {
  const filled = async (faults?: Fault[], seed?: number): Promise<ReturnType<typeof faultyStore>> => {
    const inner = memoryStore();
    for (const key of ["a", "b", "folder/c"]) await inner.put(key, utf8("0123456789"), PLAIN);
    return faultyStore(inner, { ...(faults && { faults }), ...(seed !== undefined && { seed }) });
  };
  const bodyOf = async (store: ObjectStore, key: string): Promise<string> => {
    const found = await store.get(key);
    return Buffer.from(await bytesOf((found as FoundObject).body)).toString();
  };

  test("keeps every promise of the store while there is no fault", async () => {
    expect(await brokenPromises(async () => faultyStore(memoryStore()))).toEqual([]);
  }, 60_000);

  test("fails each operation that a fault names, as a store that is down, and no other", async () => {
    const calls: Record<NonNullable<Fault["operation"]>, (store: ObjectStore) => Promise<unknown>> = {
      get: (store) => store.get("a"),
      head: (store) => store.head("a"),
      put: (store) => store.put("a", utf8("x"), PLAIN),
      delete: (store) => store.delete("a"),
      list: async (store) => {
        for await (const _ of store.list("")) return;
      },
    };
    for (const operation of Object.keys(calls) as (keyof typeof calls)[]) {
      const store = await filled([{ operation }]);
      for (const [name, call] of Object.entries(calls)) {
        if (name === operation) await expect(call(store)).rejects.toMatchObject({ code: "ERR_UNAVAILABLE" });
        else await call(store);
      }
    }
    await expect((await filled([{ operation: "delete" }])).deleteMany?.(["a"])).rejects.toMatchObject({
      code: "ERR_UNAVAILABLE",
    });
  });

  test("picks keys by pattern, also with the flag g, and rejects with the error given", async () => {
    const error = new Error("mine");
    const store = await filled([{ key: /^folder\//g, error }]);
    for (let i = 0; i < 3; i++) await expect(store.get("folder/c")).rejects.toBe(error);
    await expect(store.deleteMany?.(["a", "folder/c"])).rejects.toBe(error);
    expect(await bodyOf(store, "a")).toBe("0123456789");
  });

  test("takes faults away and adds them while it works", async () => {
    const given: Fault[] = [{ operation: "get" }];
    const store = await filled(given);
    await expect(store.get("a")).rejects.toThrow();
    store.faults.length = 0;
    expect(await bodyOf(store, "a")).toBe("0123456789");
    store.faults.push({ operation: "put" });
    await expect(store.put("a", utf8("x"), PLAIN)).rejects.toThrow();
    expect(given).toHaveLength(1);
    store.faults = [{ operation: "get" }];
    await expect(store.get("a")).rejects.toThrow();
    await store.put("a", utf8("y"), PLAIN);
    store.faults = [];
    expect(await bodyOf(store, "a")).toBe("y");
  });

  test("repeats its random faults by the seed", async () => {
    const outcomes = async (seed: number): Promise<string> => {
      const store = await filled([{ probability: 0.5 }], seed);
      let text = "";
      for (let i = 0; i < 64; i++)
        text += await store.head("a").then(
          () => ".",
          () => "x",
        );
      return text;
    };
    await fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const once = await outcomes(seed);
        expect(await outcomes(seed)).toBe(once);
        // Half of 64; that it is never outside these has odds of one in ten million.
        const failed = [...once].filter((one) => one === "x").length;
        expect(failed).toBeGreaterThan(10);
        expect(failed).toBeLessThan(54);
      }),
      { numRuns: 20 },
    );
    expect(await outcomes(1)).not.toBe(await outcomes(2));
    const never = await filled([{ probability: 0 }]);
    for (let i = 0; i < 50; i++) await never.head("a");
  });

  test("waits before it answers, and an abort ends the wait", async () => {
    vi.useFakeTimers();
    try {
      const store = await filled([{ delayMs: 5_000 }]);
      let answered = false;
      const head = store.head("a").then(() => (answered = true));
      await vi.advanceTimersByTimeAsync(4_999);
      expect(answered).toBe(false);
      await vi.advanceTimersByTimeAsync(1);
      expect(await head).toBe(true);
      const controller = new AbortController();
      const get = store.get("a", { signal: controller.signal });
      controller.abort("enough");
      await expect(get).rejects.toBe("enough");
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  test("breaks a body off after so many bytes, which arrive, with an error", async () => {
    const store = await filled([{ operation: "get", truncateAfterBytes: 4 }]);
    const reader = ((await store.get("a")) as FoundObject).body.getReader();
    const first = await reader.read();
    expect(Buffer.from(first.value as Uint8Array).toString()).toBe("0123");
    await expect(reader.read()).rejects.toMatchObject({ code: "ERR_UNAVAILABLE", key: "a" });

    const error = new Error("mine");
    store.faults.splice(0, 1, { truncateAfterBytes: 0, error });
    await expect(bodyOf(store, "a")).rejects.toBe(error);
    // Only a longer body is broken, and only that of a get.
    store.faults.splice(0, 1, { truncateAfterBytes: 10 });
    expect(await bodyOf(store, "a")).toBe("0123456789");
    await store.put("a", utf8("x"), PLAIN);
  });

  test("leaves no way around a body that breaks off", async () => {
    const inner = memoryStore();
    await inner.put("a", utf8("0123456789"), PLAIN);
    const fast: ObjectStore = {
      ...inner,
      get: async (key, options) => ({
        ...((await inner.get(key, options)) as FoundObject),
        bytes: async () => utf8("0123456789"),
      }),
    };
    const store = faultyStore(fast);
    expect("bytes" in ((await store.get("a")) as object)).toBe(true);
    store.faults.push({ truncateAfterBytes: 1 });
    expect("bytes" in ((await store.get("a")) as object)).toBe(false);
    await expect(bodyOf(store, "a")).rejects.toThrow();
  });

  test("passes on what our own stores know, and can do only what the store can", async () => {
    const signer = {} as NonNullable<ObjectStore["signer"]>;
    const { deleteMany: _, ...inner } = memoryStore();
    const prepared: string[] = [];
    const prepare = (keys: readonly string[]) => void prepared.push(...keys);
    const store = faultyStore({ ...inner, now: () => 5, stampsEntries: true, signer, prepare });
    expect(store).toMatchObject({ stampsEntries: true, signer });
    expect(store.now?.()).toBe(5);
    store.prepare?.(["a"]);
    expect(prepared).toEqual(["a"]);
    expect(store.deleteMany).toBeUndefined();
    expect(store.presign).toBeUndefined();
    const able = faultyStore({ ...inner, presign: async (key) => ({ key }) as never, close: async () => {} });
    expect(await able.presign?.("k", {})).toEqual({ key: "k" });
    await able.close?.();
  });

  test("cancels the source of a put that it refuses", async () => {
    const store = await filled([{ operation: "put" }]);
    let reason: unknown;
    const source = new ReadableStream<Uint8Array>({ cancel: (why) => void (reason = why) });
    const error: unknown = await store.put("a", source, PLAIN).catch((e: unknown) => e);
    expect(reason).toBe(error);
  });
});

test("storeConformance leaves out the promise that a declared limit breaks, and no other", () => {
  const namesWith = (limits: StoreLimit[]): string[] => {
    const names: string[] = [];
    const runner: Runner = { describe: (_, body) => body(), test: (name) => void names.push(name) };
    storeConformance(runner, async () => memoryStore(), { limits });
    return names;
  };
  const all = namesWith([]);
  for (const limit of ["keys below keys", "backslashes"] as const) {
    const rest = namesWith([limit]);
    expect(rest).toHaveLength(all.length - 1);
    expect(all).toEqual(expect.arrayContaining(rest));
  }
});
