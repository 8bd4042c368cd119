import { Readable } from "node:stream";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { faultyStore } from "bucketcache/testing";
import { memoryStore } from "bucketcache/memory";
import type { Body, Bytes, Progress } from "bucketcache";
import { deferred } from "./support/deferred.js";
import { recordEvents, openCaches, putForeign, readObject, textOf, type WatchedStore } from "./support/stores.js";

const TEXT = "größe;name\n".repeat(200);
const BYTES = new TextEncoder().encode(TEXT);

async function* halves<T>(whole: { length: number; slice(from: number, to?: number): T }): AsyncGenerator<T> {
  yield whole.slice(0, 7);
  yield whole.slice(7);
}

function streamOf(chunks: (string | Uint8Array)[]): ReadableStream<Uint8Array | string> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
}

const BODIES: [string, () => Body, string][] = [
  ["a ReadableStream of bytes", () => streamOf([BYTES.slice(0, 10), BYTES.slice(10)]), "application/octet-stream"],
  ["a ReadableStream of strings", () => streamOf([TEXT.slice(0, 10), TEXT.slice(10)]), "application/octet-stream"],
  ["an async generator of bytes", () => halves(BYTES), "application/octet-stream"],
  ["an async generator of strings", () => halves(TEXT), "application/octet-stream"],
  ["a stream of Node's", () => Readable.from([BYTES.slice(0, 9), BYTES.slice(9)]), "application/octet-stream"],
  ["a Blob", () => new Blob([TEXT], { type: "text/csv" }), "text/csv"],
  ["a File", () => new File([TEXT], "name.csv"), "application/octet-stream"],
  ["a Response", () => new Response(TEXT, { headers: { "content-type": "text/csv" } }), "text/csv"],
];

describe("set with a body", () => {
  for (const compress of ["auto", true, false] as const) {
    test.each(BODIES)(`stores %s, compress ${compress}`, async (_kind, body, contentType) => {
      const { cache, other, store } = openCaches();
      await cache.set("k", body(), { compress });
      const object = await readObject(store, "cache/k");
      const isCompressed = compress === true || (compress === "auto" && contentType === "text/csv");
      expect(object).toMatchObject({ contentType });
      expect(object?.metadata["compressed"]).toBe(isCompressed ? "true" : undefined);
      expect(isCompressed ? gunzipSync(object!.bytes) : object!.bytes).toEqual(
        isCompressed ? Buffer.from(BYTES) : BYTES,
      );
      expect(await textOf(await cache.getStream("k"))).toBe(TEXT);
      expect(await other.get("k")).toEqual(BYTES);
      expect((await other.get<Bytes>("k"))?.constructor).toBe(Uint8Array);
    });
  }

  test("takes the caller's content type, which also decides on gzip", async () => {
    const { cache, store } = openCaches();
    await cache.set("k", halves(TEXT), { contentType: "text/csv", ttl: "1h", cacheControl: "max-age=60" });
    const put = store.calls.find(({ operation }) => operation === "put");
    expect(put?.options).toMatchObject({
      contentType: "text/csv",
      cacheControl: "max-age=60, bucketcache=1",
      metadata: { compressed: "true", entry: expect.stringContaining("codec=bytes") },
    });
  });

  test("never holds it in memory, and drops the value that was there", async () => {
    const { cache } = openCaches();
    await cache.set("k", "value");
    await cache.set("k", new Blob(["blob"]));
    expect(cache.stats().memory).toMatchObject({ entries: 0, bytes: 0 });
    expect(await textOf(await cache.getStream("k"))).toBe("blob");
  });

  test("counts and reports what went over the wire", async () => {
    const { cache } = openCaches();
    const sets = recordEvents(cache, "set");
    const progress: Progress[] = [];
    await cache.set("k", new Blob([TEXT]), { onProgress: (now) => progress.push(now) });
    expect(progress.at(-1)).toEqual({ loaded: BYTES.length, total: BYTES.length });
    expect(sets).toMatchObject([{ key: "k", size: BYTES.length }]);
    expect(cache.stats().store).toMatchObject({ writes: 1, bytesWritten: BYTES.length });
  });

  test("an empty one is an entry of no bytes", async () => {
    const { cache, other } = openCaches();
    for (const body of [streamOf([]), new Blob([]), new Response(null)]) {
      for (const compress of [true, false]) {
        await cache.set("k", body === undefined ? "" : body instanceof Blob ? body : streamOf([]), { compress });
        expect(await textOf(await cache.getStream("k"))).toBe("");
        expect(await other.get("k")).toEqual(new Uint8Array());
        await other.delete("k");
      }
    }
  });

  test("a failing source leaves the old value, and its error reaches the caller unchanged", async () => {
    for (const compress of [true, false]) {
      const { cache, other, store } = openCaches();
      await cache.set("k", "old");
      const reason = new Error("the database went away");
      async function* failing() {
        yield "some ";
        throw reason;
      }
      await expect(cache.set("k", failing(), { compress })).rejects.toBe(reason);
      expect(await cache.get("k")).toBe("old");
      expect(await other.get("k")).toBe("old");
      expect(store.operations().filter((operation) => operation === "put")).toHaveLength(2);
    }
  });

  test("an abort leaves the old value, rejects with the signal's reason, and ends the source", async () => {
    const { cache, other } = openCaches();
    await cache.set("k", "old");
    const controller = new AbortController();
    const ended = deferred();
    const asked = deferred();
    const source = new ReadableStream<Uint8Array>({
      pull: () => {
        asked.resolve();
        return new Promise(() => {});
      },
      cancel: () => ended.resolve(),
    });
    const setting = cache.set("k", source, { signal: controller.signal });
    await asked.promise;
    const reason = new Error("the user left");
    controller.abort(reason);
    await expect(setting).rejects.toBe(reason);
    await ended.promise;
    expect(await other.get("k")).toBe("old");
  });

  test("a store that fails before it reads the source ends the source", async () => {
    const store = faultyStore(memoryStore(), { faults: [{ operation: "put" }] });
    const { cache } = openCaches({ store });
    const ended = deferred();
    const source = new ReadableStream<Uint8Array>({ pull: () => new Promise(() => {}), cancel: () => ended.resolve() });
    await expect(cache.set("k", source)).rejects.toMatchObject({ code: "ERR_UNAVAILABLE", key: "cache/k" });
    await ended.promise;
  });

  test("an error page is refused, and its body let go", async () => {
    const { cache, store } = openCaches();
    const ended = deferred();
    const body = new ReadableStream<Uint8Array>({ cancel: () => ended.resolve() });
    const response = new Response(body, { status: 500 });
    await expect(cache.set("k", response)).rejects.toThrow(/status 500.*response\.ok/);
    await ended.promise;
    expect(store.calls).toEqual([]);
  });

  test("what was read before, or is being read, is a TypeError and nothing is stored", async () => {
    const { cache, store } = openCaches();
    const response = new Response("text");
    await response.text();
    await expect(cache.set("k", response)).rejects.toThrow(TypeError);
    const locked = streamOf(["a"]);
    locked.getReader();
    await expect(cache.set("k", locked)).rejects.toThrow(TypeError);
    expect(store.calls).toEqual([]);
  });

  test("the source is asked only as fast as the store reads", async () => {
    const { cache, store } = openCaches();
    let pulled = 0;
    const source = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          if (++pulled > 100) controller.close();
          else controller.enqueue(new Uint8Array(10));
        },
      },
      { highWaterMark: 0 },
    );
    const gate = store.hold("put");
    const setting = cache.set("k", source);
    await gate.reached;
    expect(pulled).toBe(0);
    gate.open();
    await setting;
    expect(pulled).toBe(101);
  });
});

describe("getStream", () => {
  test("gunzips; with raw it does not", async () => {
    const { cache } = openCaches();
    await cache.set("k", { text: TEXT }, { compress: true });
    expect(await textOf(await cache.getStream("k"))).toBe(JSON.stringify({ text: TEXT }));
    const raw = new Uint8Array(await new Response(await cache.getStream("k", { raw: true })).arrayBuffer());
    expect(gunzipSync(raw).toString()).toBe(JSON.stringify({ text: TEXT }));
  });

  test("gives a range, clipped to the end", async () => {
    const { cache } = openCaches();
    await cache.set("k", "0123456789", { compress: false });
    expect(await textOf(await cache.getStream("k", { range: { offset: 2, length: 3 } }))).toBe("234");
    expect(await textOf(await cache.getStream("k", { range: { offset: 8 } }))).toBe("89");
    expect(await textOf(await cache.getStream("k", { range: { offset: 8, length: 100 } }))).toBe("89");
  });

  test.each([{ offset: -1 }, { offset: 1.5 }, { offset: 0, length: 0 }, { offset: 0, length: -1 }, { offset: NaN }])(
    "refuses the range %o",
    async (range) => {
      const { cache } = openCaches();
      await expect(cache.getStream("k", { range })).rejects.toThrow(TypeError);
    },
  );

  test("a range of a compressed entry is an error that says what to do, except of its raw bytes", async () => {
    const { cache, store } = openCaches();
    await cache.set("k", TEXT, { compress: true });
    await expect(cache.getStream("k", { range: { offset: 0, length: 2 } })).rejects.toMatchObject({
      code: "ERR_UNSUPPORTED",
      key: "cache/k",
      store: store.name,
      message: expect.stringContaining("raw: true"),
    });
    const raw = await cache.getStream("k", { range: { offset: 0, length: 2 }, raw: true });
    expect(new Uint8Array(await new Response(raw).arrayBuffer())).toEqual(new Uint8Array([0x1f, 0x8b]));
  });

  test("reports progress in bytes of the wire", async () => {
    const { cache, store } = openCaches();
    await cache.set("k", TEXT, { compress: true });
    const size = (await store.head("cache/k"))!.size;
    const progress: Progress[] = [];
    await textOf(await cache.getStream("k", { onProgress: (now) => progress.push(now) }));
    expect(progress.at(-1)).toEqual({ loaded: size, total: size });
  });

  test("asks the store only as fast as it is read, and a cancel reaches the store", async () => {
    const { cache, store } = openCaches();
    await cache.set("k", "text", { compress: false });
    let pulled = 0;
    const cancelled = deferred();
    const get = store.get;
    store.get = async (...args) => {
      const got = await get(...args);
      if (typeof got !== "object") return got;
      await got.body.cancel();
      const body = new ReadableStream<Bytes>(
        {
          pull(controller) {
            pulled++;
            controller.enqueue(new Uint8Array(1_000));
          },
          cancel: () => cancelled.resolve(),
        },
        { highWaterMark: 0 },
      );
      return { ...got, body };
    };
    const reader = (await cache.getStream("k"))!.getReader();
    expect(pulled).toBe(0);
    await reader.read();
    await reader.read();
    expect(pulled).toBe(2);
    await reader.cancel();
    await cancelled.promise;
  });

  test("damage met on the way ends the stream with ERR_DAMAGED", async () => {
    const { cache, store } = openCaches();
    const gzipped = gzipSync(TEXT);
    gzipped[gzipped.length - 6]! ^= 1;
    const { metadata } = await entryOf(store, true);
    await store.put("cache/k", new Uint8Array(gzipped), { contentType: "text/plain", metadata });
    await expect(textOf(await cache.getStream("k"))).rejects.toMatchObject({ code: "ERR_DAMAGED" });
  });

  test("an expired entry is a miss, and its body is let go", async () => {
    const { cache, store } = openCaches();
    await putForeign(store, "cache/k", "old", { expires_at: "1" });
    expect(await cache.getStream("k")).toBeUndefined();
    expect(await cache.getResponse("k")).toBeUndefined();
  });
});

/** The metadata of an entry as the cache writes it. */
async function entryOf(store: WatchedStore, compress: boolean) {
  const { cache } = openCaches({ store });
  await cache.set("template", "text", { compress });
  return (await store.head("cache/template"))!;
}

test("what comes in chunks has no length, not one of nothing, and without a time has none", async () => {
  const { cache, store } = openCaches();
  await cache.set("k", "hello");
  const get = store.get;
  store.get = async (...args) => {
    const found = await get(...args);
    return typeof found === "object" ? { ...found, size: NaN, lastModified: new Date(NaN) } : found;
  };
  const told: Progress[] = [];
  const response = (await cache.getResponse("k", { onProgress: (progress) => told.push(progress) }))!;
  expect([...response.headers]).toEqual([["content-type", "text/plain; charset=utf-8"]]);
  expect(await response.text()).toBe("hello");
  expect(told).toEqual([{ loaded: 5, total: undefined }]);
  expect(cache.stats().store.bytesRead).toBe(0);
});

describe("getResponse", () => {
  test("has the content type, and the length where it is known", async () => {
    const { cache } = openCaches();
    await cache.set("plain", "grün", { compress: false });
    const plain = (await cache.getResponse("plain"))!;
    expect(plain.status).toBe(200);
    expect(Object.fromEntries(plain.headers)).toMatchObject({
      "content-type": "text/plain; charset=utf-8",
      "content-length": "5",
    });
    expect(await plain.text()).toBe("grün");

    await cache.set("gzipped", { a: 1 }, { compress: true });
    const gzipped = (await cache.getResponse("gzipped"))!;
    expect(gzipped.headers.get("content-type")).toBe("application/json");
    expect(gzipped.headers.has("content-length")).toBe(false);
    expect(gzipped.headers.has("content-encoding")).toBe(false);
    expect(await gzipped.json()).toEqual({ a: 1 });
  });

  test("of a range is a 206 with its place", async () => {
    const { cache } = openCaches();
    await cache.set("k", "0123456789", { compress: false });
    const response = (await cache.getResponse("k", { range: { offset: 4, length: 3 } }))!;
    expect(response.status).toBe(206);
    expect(response.headers.get("content-range")).toBe("bytes 4-6/10");
    expect(response.headers.get("content-length")).toBe("3");
    expect(await response.text()).toBe("456");
  });

  test("of raw bytes says that they are gzip", async () => {
    const { cache } = openCaches();
    await cache.set("k", "text", { compress: true });
    const response = (await cache.getResponse("k", { raw: true }))!;
    expect(response.headers.get("content-type")).toBe("application/gzip");
    expect(gunzipSync(Buffer.from(await response.arrayBuffer())).toString()).toBe("text");
  });
});

describe("getOrSetStream", () => {
  test("runs the load once for all who wait, stores it, and gives everyone the stored content", async () => {
    const { cache, other } = openCaches();
    let loads = 0;
    const load = () => {
      loads++;
      return halves(TEXT);
    };
    const streams = await Promise.all(Array.from({ length: 20 }, () => cache.getOrSetStream("k", load, { ttl: "1h" })));
    for (const stream of streams) expect(await textOf(stream)).toBe(TEXT);
    expect(loads).toBe(1);
    expect(cache.stats().calls).toBe(1);
    expect(await textOf(await other.getOrSetStream("k", load))).toBe(TEXT);
    expect(loads).toBe(1);
  });

  test("who was answered late about a miss does not load again", async () => {
    const { cache, store } = openCaches();
    let loads = 0;
    const load = () => new Blob([`load ${++loads}`]);
    const gate = store.hold("get", "after");
    const late = cache.getOrSetStream("k", load);
    await gate.reached;
    expect(await textOf(await cache.getOrSetStream("k", load))).toBe("load 1");
    gate.open();
    expect(await textOf(await late)).toBe("load 1");
  });

  test("a load that fails rejects every waiter with its own error, and the next call tries again", async () => {
    for (const reason of [
      new Error("no luck"),
      Object.assign(new Error("elsewhere"), { name: "BucketCacheError", code: "ERR_UNAVAILABLE" }),
      Object.assign(new Error("elsewhere"), { name: "BucketCacheError", code: "ERR_CONFLICT" }),
    ]) {
      for (const inStream of [false, true]) {
        const { cache, store } = openCaches();
        let loads = 0;
        const failing = async () => {
          loads++;
          if (!inStream) throw reason;
          return (async function* () {
            yield "part";
            throw reason;
          })();
        };
        const results = await Promise.allSettled([
          cache.getOrSetStream("k", failing),
          cache.getOrSetStream("k", failing),
        ]);
        for (const result of results) expect(result).toEqual({ status: "rejected", reason });
        expect(loads).toBe(1);
        expect(await store.head("cache/k")).toBeUndefined();
        expect(await textOf(await cache.getOrSetStream("k", () => new Blob(["fine"])))).toBe("fine");
      }
    }
  });

  test("one caller's abort leaves the others; the last one's aborts the load", async () => {
    const { cache } = openCaches();
    const [first, last] = [new AbortController(), new AbortController()];
    const asked = deferred<AbortSignal>();
    const load = ({ signal }: { signal: AbortSignal }) => {
      asked.resolve(signal);
      return new ReadableStream<Uint8Array>({ pull: () => new Promise(() => {}) });
    };
    const calls = [first, last].map(({ signal }) => cache.getOrSetStream("k", load, { signal }));
    const settled = Promise.allSettled(calls);
    const signal = await asked.promise;
    first.abort(new Error("first"));
    await expect(calls[0]).rejects.toThrow("first");
    expect(signal.aborted).toBe(false);
    last.abort(new Error("last"));
    await settled;
    await expect(calls[1]).rejects.toThrow("last");
    expect(signal.aborted).toBe(true);
  });

  test("values and error pages are refused", async () => {
    const { cache } = openCaches();
    await expect(cache.getOrSetStream("k", () => "text" as never)).rejects.toThrow(/getOrSet/);
    await expect(cache.getOrSetStream("k", () => new Response("", { status: 404 }))).rejects.toThrow(/404/);
    await expect(cache.getOrSetStream("k", undefined as never)).rejects.toThrow(TypeError);
  });

  test("a newer set wins, and is what the callers get", async () => {
    const { cache, other } = openCaches();
    const gate = deferred<Blob>();
    const started = deferred();
    const loading = cache.getOrSetStream("k", () => {
      started.resolve();
      return gate.promise;
    });
    await started.promise;
    await cache.set("k", "newer");
    gate.resolve(new Blob(["older"]));
    expect(await textOf(await loading)).toBe("newer");
    expect(await other.get("k")).toBe("newer");
  });

  test("somebody else's newer object wins, and is what the callers get", async () => {
    const { cache, other } = openCaches();
    const gate = deferred<Blob>();
    const started = deferred();
    const loading = cache.getOrSetStream("k", () => {
      started.resolve();
      return gate.promise;
    });
    await started.promise;
    await other.set("k", "newer");
    gate.resolve(new Blob(["older"]));
    expect(await textOf(await loading)).toBe("newer");
  });

  test("without a store the load's own stream is passed on, with an event; or it throws", async () => {
    for (const operation of ["get", "put"] as const) {
      const store = faultyStore(memoryStore(), { faults: [{ operation }] });
      const { cache } = openCaches({ store });
      const errors = recordEvents(cache, "error");
      for (const body of [() => halves(TEXT), () => new Blob([TEXT])]) {
        expect(await textOf(await cache.getOrSetStream("k", body))).toBe(TEXT);
      }
      expect(errors[0]).toMatchObject({ key: "k", error: { code: "ERR_UNAVAILABLE" } });
      const { cache: strict } = openCaches({ store, whenUnavailable: "throw" });
      await expect(strict.getOrSetStream("k", () => halves(TEXT))).rejects.toMatchObject({ code: "ERR_UNAVAILABLE" });
    }
  });

  test("an expired entry is overwritten, not deleted", async () => {
    const { cache, store } = openCaches();
    await putForeign(store, "cache/k", "old", { expires_at: "1" });
    expect(await textOf(await cache.getOrSetStream("k", () => new Blob(["new"])))).toBe("new");
    await cache.flush();
    expect(store.operations()).not.toContain("delete");
    expect(
      store.calls.find(
        ({ operation, key, options }) => operation === "put" && key === "cache/k" && "ifMatch" in options,
      ),
    ).toBeDefined();
  });
});
