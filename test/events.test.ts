import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { BucketCacheError, type CacheEvents } from "bucketcache";
import { memoryStore } from "bucketcache/memory";
import { faultyStore } from "bucketcache/testing";
import { deferred } from "./support/deferred.js";
import { recordEvents, openCaches, putForeign } from "./support/stores.js";

const KINDS = ["hit", "miss", "set", "delete", "expire", "evict", "error"] as const;

/** The kinds and keys of all events, in order. */
function log(cache: ReturnType<typeof openCaches>["cache"]): string[] {
  const lines: string[] = [];
  for (const kind of KINDS) {
    cache.on(kind, (event: CacheEvents[typeof kind]) => {
      const source = "source" in event ? ` ${event.source}` : "";
      lines.push(`${kind} ${event.key}${source}`);
    });
  }
  return lines;
}

describe("events", () => {
  test("tell what happens, by the keys that callers use", async () => {
    const { cache, other } = openCaches();
    const lines = log(cache);
    const others = log(other);
    await cache.get("k");
    await cache.set("k", "v");
    await cache.get("k");
    await other.get("k");
    await other.get("k");
    await cache.delete("k");
    expect(lines).toEqual(["miss k", "set k", "hit k memory", "delete k"]);
    expect(others).toEqual(["hit k store", "hit k memory"]);
  });

  test("of a wrapped function, once for each call that memory answers and once for each request", async () => {
    const { cache } = openCaches();
    const lines = log(cache);
    const wrapped = cache.wrap((n: number) => n, { name: "f" });
    const key = wrapped.keyOf(1);
    await Promise.all([wrapped(1), wrapped(1)]);
    await wrapped(1);
    await wrapped.peek(1);
    expect(lines).toEqual([`miss ${key}`, `set ${key}`, `hit ${key} memory`, `hit ${key} memory`]);
  });

  test("carry sizes in stored bytes, and durations in milliseconds", async () => {
    vi.useFakeTimers();
    const { cache, other, store } = openCaches();
    const sets = recordEvents(cache, "set");
    const hits = recordEvents(other, "hit");
    const misses = recordEvents(other, "miss");
    const put = store.hold("put");
    const setting = cache.set("k", "x".repeat(100), { compress: false });
    await put.reached;
    vi.advanceTimersByTime(40);
    put.open();
    await setting;
    const get = store.hold("get");
    const getting = other.get("k");
    await get.reached;
    vi.advanceTimersByTime(30);
    get.open();
    await getting;
    await other.get("nothing");
    vi.useRealTimers();
    expect(sets).toEqual([{ key: "k", size: 100, duration: 40 }]);
    expect(hits).toEqual([{ key: "k", source: "store", duration: 30 }]);
    expect(misses).toEqual([{ key: "nothing", duration: 0 }]);
  });

  test("of expiry tell of both layers", async () => {
    vi.useFakeTimers();
    const { cache, other } = openCaches();
    const lines = log(cache);
    const others = log(other);
    await cache.set("k", "v", { ttl: 1 });
    vi.advanceTimersByTime(1_000);
    await other.get("k");
    await other.flush();
    await cache.get("k");
    vi.useRealTimers();
    expect(others).toEqual(["expire k", "miss k", "delete k"]);
    expect(lines).toEqual(["set k", "expire k", "miss k"]);
  });

  test("stop for a listener that has left, one registration at a time", async () => {
    const { cache } = openCaches();
    const listener = vi.fn();
    const off = [cache.on("miss", listener), cache.on("miss", listener)];
    await cache.get("k");
    expect(listener).toHaveBeenCalledTimes(2);
    off[0]!();
    off[0]!();
    await cache.get("k");
    expect(listener).toHaveBeenCalledTimes(3);
    off[1]!();
    await cache.get("k");
    expect(listener).toHaveBeenCalledTimes(3);
  });

  test("of unknown kinds, and listeners that are none, are a TypeError", () => {
    const { cache } = openCaches();
    expect(() => cache.on("hits" as never, () => undefined)).toThrow(/there is no event "hits"/);
    expect(() => cache.on("hit", undefined as never)).toThrow(TypeError);
  });

  test("error is never thrown when nobody listens", async () => {
    const { cache, store } = openCaches();
    await putForeign(store, "cache/k", "v", { expires_at: "soon" });
    expect(await cache.get("k")).toBeUndefined();
  });
});

describe("a listener that throws", () => {
  const warned: unknown[] = [];
  const note = (warning: unknown) => void warned.push(warning);
  beforeEach(() => {
    vi.spyOn(process, "emitWarning").mockImplementation(note);
  });
  afterEach(() => void vi.restoreAllMocks());

  test("disturbs neither the call nor other listeners, and is reported as a warning", async () => {
    const { cache } = openCaches();
    const bug = new Error("a bug of the listener");
    const fine = vi.fn();
    for (const kind of KINDS) {
      cache.on(kind, () => {
        throw bug;
      });
      cache.on(kind, fine);
    }
    expect(await cache.getOrSet("k", () => "v")).toBe("v");
    expect(await cache.get("k")).toBe("v");
    await cache.delete("k");
    expect(fine).toHaveBeenCalledTimes(4);
    expect(warned).toEqual(Array(4).fill(bug));
  });
});

describe("stats", () => {
  test("count calls, requests and bytes", async () => {
    const { cache, other } = openCaches();
    const wrapped = cache.wrap((n: number) => "x".repeat(n), { name: "f", compress: false });
    await wrapped(10);
    await wrapped(10);
    await cache.get("nothing");
    await cache.set("k", "12345");
    await cache.delete("k");
    expect(cache.stats()).toEqual({
      memory: { hits: 1, misses: 2, evictions: 0, entries: 1, bytes: expect.any(Number) },
      store: { hits: 0, misses: 2, reads: 2, writes: 2, deletes: 1, bytesRead: 0, bytesWritten: 15, errors: 0 },
      calls: 1,
    });
    await other.get(wrapped.keyOf(10));
    expect(other.stats().store).toMatchObject({ hits: 1, reads: 1, bytesRead: 10 });
    expect(other.stats()).not.toBe(other.stats());
    const before = cache.stats();
    before.calls = 99;
    before.store.hits = 99;
    expect(cache.stats()).toMatchObject({ calls: 1, store: { hits: 0 } });
  });

  test("count what the store failed at", async () => {
    const { cache } = openCaches({ store: faultyStore(memoryStore(), { faults: [{}] }) });
    await expect(cache.get("k")).rejects.toThrow(BucketCacheError);
    expect(cache.stats().store.errors).toBe(1);
  });
});

describe("close", () => {
  test("flushes, then closes the store", async () => {
    const { cache, store } = openCaches({ write: "background" });
    const closed = vi.fn(async () => expect(await store.head("cache/k")).toBeDefined());
    store.close = closed;
    const gate = store.hold("put");
    await cache.set("k", "v");
    await gate.reached;
    const done = deferred();
    const closing = cache.close().then(done.resolve);
    expect(closed).not.toHaveBeenCalled();
    gate.open();
    await closing;
    expect(closed).toHaveBeenCalledTimes(1);
  });

  test("may be called twice, and closes the store once", async () => {
    const { cache, store } = openCaches();
    store.close = vi.fn(async () => undefined);
    await Promise.all([cache.close(), cache.close()]);
    await cache.close();
    expect(store.close).toHaveBeenCalledTimes(1);
  });

  test("leaves nothing that keeps the process alive, and flush of nothing is done at once", async () => {
    const { cache } = openCaches();
    await cache.flush();
    await cache.close();
    await cache.flush();
  });
});
