import type { Cache } from "bucketcache";
import { describe, expect, test } from "vitest";
import { cacheBucket } from "../support/cache-bucket.js";
import { deferred } from "../support/deferred.js";
import { recordEvents } from "../support/stores.js";

const MIB = 1 << 20;

const here = cacheBucket();
const { open } = here;

describe("an abort in flight", () => {
  test.each<[string, (cache: Cache, signal: AbortSignal) => Promise<unknown>]>([
    ["get", (cache, signal) => cache.get("k", { signal })],
    ["getEntry", (cache, signal) => cache.getEntry("k", { signal })],
    ["getStream", (cache, signal) => cache.getStream("k", { signal })],
    ["has", (cache, signal) => cache.has("k", { signal })],
    ["set", (cache, signal) => cache.set("k", 1, { signal })],
    ["delete", (cache, signal) => cache.delete("k", { signal })],
    ["getMany", (cache, signal) => cache.getMany(["k", "l"], { signal })],
    ["setMany", (cache, signal) => cache.setMany([{ key: "k", value: 1 }], { signal })],
    ["deleteMany", (cache, signal) => cache.deleteMany(["k", "l"], { signal })],
    ["list", async (cache, signal) => cache.list({ signal }).next()],
    ["clear", (cache, signal) => cache.clear({ all: true, signal })],
    ["getOrSet", (cache, signal) => cache.getOrSet("k", () => 1, { signal })],
    ["getOrSetStream", (cache, signal) => cache.getOrSetStream("k", () => new Blob(["x"]), { signal })],
    ["wrap", (cache, signal) => cache.wrap(() => 1, { name: "f" }).with({ signal })()],
  ])("of %s rejects with the signal's own reason, and gives its connection up", async (_, call) => {
    const cache = open();
    const errors = recordEvents(cache, "error");
    const controller = new AbortController();
    const reason = new Error("enough");
    const never = deferred();
    here.proxy.hook = () => ({
      before: () => {
        controller.abort(reason);
        return never.promise;
      },
    });
    await expect(call(cache, controller.signal)).rejects.toBe(reason);
    await expect.poll(() => here.proxy.connections).toBe(0);
    never.resolve();
    expect(errors).toEqual([]);
  });

  test("in the middle of a body ends the stream with the reason", async () => {
    await open().set("k", new Blob([new Uint8Array(32 * MIB)]));
    const controller = new AbortController();
    const reason = new Error("enough");
    const stream = (await open().getStream("k", { signal: controller.signal }))!;
    const reader = stream.getReader();
    await reader.read();
    controller.abort(reason);
    await expect(
      (async () => {
        while (!(await reader.read()).done);
      })(),
    ).rejects.toBe(reason);
  });

  test("of one caller leaves the others their load; of the last one ends it", async () => {
    const cache = open();
    const seen = deferred<AbortSignal>();
    const gate = deferred<string>();
    const load = ({ signal }: { signal: AbortSignal }) => {
      seen.resolve(signal);
      return gate.promise;
    };
    const [one, two] = [new AbortController(), new AbortController()];
    const first = cache.getOrSet("k", load, { signal: one.signal });
    const second = cache.getOrSet("k", load, { signal: two.signal });
    const signal = await seen.promise;
    one.abort(new Error("one"));
    await expect(first).rejects.toThrow("one");
    expect(signal.aborted).toBe(false);
    gate.resolve("value");
    expect(await second).toBe("value");

    const third = new AbortController();
    const seen2 = deferred<AbortSignal>();
    const pending = cache.getOrSet("l", ({ signal }) => (seen2.resolve(signal), new Promise(() => {})), {
      signal: third.signal,
    });
    const loadSignal = await seen2.promise;
    third.abort(new Error("three"));
    await expect(pending).rejects.toThrow("three");
    expect(loadSignal.aborted).toBe(true);
    here.proxy.reset();
    expect(await cache.getOrSet("l", () => "anew")).toBe("anew");
  });
});
