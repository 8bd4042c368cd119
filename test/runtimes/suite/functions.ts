// wrap, getOrSet, single flight, order, background work.
import { pattern, type Bench } from "./bench.js";
import { deferred } from "../../support/deferred.js";
import { check, equal, rejection, until } from "./expect.js";

export function functions({ runner: { describe, test }, cache }: Bench): void {
  describe("functions", () => {
    test("are computed once, then come from memory, then from the store elsewhere", async () => {
      const square = (n: number) => ({ n, square: n * n });
      const one = cache("wrap");
      const cached = one.wrap(square, { name: "square", ttl: "1h" });
      equal([await cached(3), await cached(3), await cached(4)], [square(3), square(3), square(4)], "results");
      equal([one.stats().calls, one.stats().memory.hits], [2, 1], "calls and hits in memory");
      const other = cache("wrap");
      equal(await other.wrap(square, { name: "square" })(3), square(3), "the result elsewhere");
      equal([other.stats().calls, other.stats().store.hits], [0, 1], "calls and hits in the store elsewhere");
    });

    test("have peek, refresh, invalidate and keyOf", async () => {
      const one = cache("methods");
      let count = 0;
      const next = one.wrap(async (_: string) => ++count, { name: "next" });
      equal(await next.peek("a"), undefined, "before");
      equal([await next("a"), await next("a"), await next.refresh("a"), await next.peek("a")], [1, 1, 2, 2], "calls");
      equal(await cache("methods").get(next.keyOf("a")), 2, "by its key");
      await next.invalidate("a");
      equal(await cache("methods").has(next.keyOf("a")), false, "after invalidate");
      equal(await next("a"), 3, "after invalidate");
    });

    test("called by many at once on a cold key are one read, one call and one write", async () => {
      const one = cache("herd");
      const gate = deferred<string>();
      const slow = one.wrap((_: object) => gate.promise, { name: "slow" });
      const calls = Array.from({ length: 200 }, (_, i) => slow(i % 2 ? { a: 1, b: 2 } : { b: 2, a: 1 }));
      await until(() => one.stats().calls === 1, "the call");
      gate.resolve("done");
      equal(new Set(await Promise.all(calls)), new Set(["done"]), "results");
      const { calls: count, store } = one.stats();
      equal([count, store.reads, store.writes], [1, 1, 1], "calls, reads, writes");
      const other = cache("herd");
      const warm = other.wrap((_: object) => gate.promise, { name: "slow" });
      await Promise.all(Array.from({ length: 200 }, () => warm({ a: 1, b: 2 })));
      equal([other.stats().calls, other.stats().store.reads], [0, 1], "calls and reads on a warm key");
    });

    test("that fail reach every waiter unchanged, are not stored, and are tried again", async () => {
      const one = cache("failing");
      const boom = new RangeError("boom");
      let healthy = false;
      const fn = one.wrap(async () => (healthy ? "well" : Promise.reject(boom)), { name: "fn" });
      const thrown = await Promise.all([1, 2, 3].map(() => rejection(fn(), "a failing function")));
      check(
        thrown.every((error) => error === boom),
        "should be the function's own error",
      );
      equal(one.stats().calls, 1, "calls");
      healthy = true;
      equal(await fn(), "well", "the next call");
    });

    test("go on for those who stay when one leaves, and are aborted when the last one leaves", async () => {
      const one = cache("leaving");
      const gate = deferred<string>();
      let seen: AbortSignal | undefined;
      const load = ({ signal }: { signal: AbortSignal }) => ((seen = signal), gate.promise);
      const [first, second] = [new AbortController(), new AbortController()];
      const leaving = one.getOrSet("key", load, { signal: first.signal });
      const staying = one.getOrSet("key", load, { signal: second.signal });
      await until(() => seen !== undefined, "the load");
      const reason = new Error("no time");
      first.abort(reason);
      check((await rejection(leaving, "who leaves")) === reason, "should reject with the signal's reason");
      equal(seen?.aborted, false, "the load, while one stays");
      const stayed = rejection(staying, "the last one");
      second.abort(reason);
      check((await stayed) === reason, "should reject with the signal's reason");
      equal(seen?.aborted, true, "the load, when nobody is left");
      gate.resolve("late");
      equal(await one.getOrSet("key", () => "anew"), "anew", "the next call");
    });

    test("never overwrite what was set or deleted meanwhile", async () => {
      const one = cache("order");
      const gate = deferred<string>();
      const loading = one.getOrSet("key", () => gate.promise);
      await until(() => one.stats().calls === 1, "the call");
      await one.set("key", "newer");
      gate.resolve("older");
      equal(await loading, "older", "what the caller gets");
      equal([await one.get("key"), await cache("order").get("key")], ["newer", "newer"], "what is kept");
    });

    test("take their TTL and whether to be kept from the result", async () => {
      const one = cache("options");
      await one.getOrSet("short", () => 60, { ttl: (seconds) => seconds });
      const { createdAt, expiresAt } = (await cache("options").getEntry("short"))!;
      equal(Math.round((expiresAt!.getTime() - createdAt!.getTime()) / 2_000), 30, "half of its life");
      equal(await one.getOrSet("dropped", () => 0, { shouldCache: (value) => value > 0 }), 0, "the result");
      equal(await cache("options").has("dropped"), false, "whether it was kept");
    });

    test("see the object they are called on", async () => {
      const one = cache("this");
      class Shop {
        readonly factor = 3;
        readonly price = one.wrap(
          function (this: Shop, n: number) {
            return this.factor * n;
          },
          { name: "price" },
        );
      }
      equal(await new Shop().price(4), 12, "the result");
    });

    test("are written in the background when asked, told to waitUntil, and over after flush", async () => {
      const told: Promise<unknown>[] = [];
      const one = cache("background", { write: "background", waitUntil: (promise) => void told.push(promise) });
      await one.set("explicit", 1);
      equal(await one.getOrSet("loaded", () => 2), 2, "the result");
      check(told.length >= 2, `waitUntil was told ${told.length} times`);
      await one.flush();
      equal(await cache("background").getMany(["explicit", "loaded"]), [1, 2], "elsewhere");
    });

    test("tell what they did by events", async () => {
      const one = cache("events");
      const seen: string[] = [];
      one.on("miss", ({ key }) => seen.push(`miss ${key}`));
      one.on("set", ({ key }) => seen.push(`set ${key}`));
      const stop = one.on("hit", ({ key, source }) => seen.push(`hit ${key} ${source}`));
      await one.getOrSet("a", () => 1);
      await one.getOrSet("a", () => 1);
      stop();
      await one.get("a");
      equal(seen, ["miss a", "set a", "hit a memory"], "events");
    });

    test("and values of other instances are seen after revalidateAfter, at the cost of a question", async () => {
      const one = cache("revalidate", { memory: { revalidateAfter: "1ms" } });
      const other = cache("revalidate", { memory: false });
      const old = pattern(100_000);
      await other.set("key", old);
      equal(await one.get("key"), old, "at first");
      // Caches of one page tell each other, so that the first of them may be a read.
      await until(async () => {
        const before = one.stats().store;
        equal(await one.get("key"), old, "confirmed by the store");
        const { reads, bytesRead } = one.stats().store;
        return reads > before.reads && bytesRead === before.bytesRead;
      }, "a question that costs no bytes");
      await other.set("key", "new");
      await until(async () => (await one.get("key")) === "new", "the new value");
      await other.delete("key");
      await until(async () => (await one.get("key")) === undefined, "the deletion");
    });
  });
}
