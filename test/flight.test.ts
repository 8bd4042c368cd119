import { describe, expect, test, vi } from "vitest";
import { deferred, type Deferred } from "./support/deferred.js";
import { recordEvents, openCaches } from "./support/stores.js";

function gated<T>() {
  const gates: Deferred<T>[] = [];
  const signals: AbortSignal[] = [];
  const started: Deferred<void>[] = [deferred(), deferred(), deferred()];
  const load = vi.fn(({ signal }: { signal: AbortSignal }) => {
    const gate = deferred<T>();
    gates.push(gate);
    signals.push(signal);
    started[gates.length - 1]?.resolve();
    return gate.promise;
  });
  return { gates, signals, started: started.map(({ promise }) => promise), load };
}

describe("one load for all who ask at the same time", () => {
  test("getOrSet", async () => {
    const { cache, store } = openCaches();
    const { load, gates, started } = gated<string>();
    const calls = [cache.getOrSet("k", load), cache.getOrSet("k", load)];
    await started[0];
    calls.push(cache.getOrSet("k", load));
    gates[0]!.resolve("v");
    expect(await Promise.all(calls)).toEqual(["v", "v", "v"]);
    expect(load).toHaveBeenCalledTimes(1);
    expect(store.operations()).toEqual(["get", "put"]);
  });

  test("wrap and getOrSet share, in either order", async () => {
    for (const first of ["wrap", "getOrSet"]) {
      const { cache, store } = openCaches();
      const gate = deferred<string>();
      const fn = vi.fn(() => gate.promise);
      const wrapped = cache.wrap(fn, { name: "f" });
      const ways = [() => wrapped(), () => cache.getOrSet(wrapped.keyOf(), fn)];
      if (first === "getOrSet") ways.reverse();
      const calls = ways.map((way) => way());
      await expect.poll(() => fn.mock.calls.length).toBe(1);
      gate.resolve("v");
      expect(await Promise.all(calls)).toEqual(["v", "v"]);
      expect(fn).toHaveBeenCalledTimes(1);
      expect(store.operations()).toEqual(["get", "put"]);
    }
  });

  test("a plain get shares only the read: it does not wait for the function", async () => {
    const { cache, store } = openCaches();
    const { load, gates, started } = gated<string>();
    const gate = store.hold("get");
    const loading = cache.getOrSet("k", load);
    const reading = cache.get("k");
    await gate.reached;
    gate.open();
    expect(await reading).toBeUndefined();
    expect(store.operations()).toEqual(["get"]);
    await started[0];
    expect(await cache.get("k")).toBeUndefined();
    gates[0]!.resolve("v");
    expect(await loading).toBe("v");
  });

  test("concurrent gets of one key are one GET", async () => {
    const { cache, other, store } = openCaches();
    await other.set("k", "v");
    store.calls.length = 0;
    expect(await Promise.all([cache.get("k"), cache.get("k"), cache.getMany(["k", "k"])])).toEqual([
      "v",
      "v",
      ["v", "v"],
    ]);
    expect(store.operations()).toEqual(["get"]);
  });

  test("different keys never wait for each other", async () => {
    const { cache } = openCaches();
    const { load, started, gates } = gated<string>();
    const stuck = cache.getOrSet("a", load);
    await started[0];
    expect(await cache.getOrSet("b", () => "b")).toBe("b");
    gates[0]!.resolve("a");
    expect(await stuck).toBe("a");
  });

  test("refresh runs the function although there is a value, once for all who ask", async () => {
    const { cache, other } = openCaches();
    let calls = 0;
    const fn = async () => ++calls;
    const wrapped = cache.wrap(fn, { name: "f" });
    expect(await wrapped()).toBe(1);
    expect(await Promise.all([wrapped.refresh(), wrapped.refresh()])).toEqual([2, 2]);
    expect(await wrapped()).toBe(2);
    expect(await other.wrap(fn, { name: "f" })()).toBe(2);
  });
});

describe("the function's own error", () => {
  const reasons = [
    ["an Error", new Error("no luck")],
    ["what is no Error", "no luck"],
    ["undefined", undefined],
    [
      "what looks like an outage of the store",
      Object.assign(new Error("x"), { name: "BucketCacheError", code: "ERR_UNAVAILABLE" }),
    ],
    ["what looks like a lost race", Object.assign(new Error("x"), { name: "BucketCacheError", code: "ERR_CONFLICT" })],
    ["what looks too large", Object.assign(new Error("x"), { name: "BucketCacheError", code: "ERR_TOO_LARGE" })],
  ] as const;

  test.each(reasons)(
    "%s reaches every waiter unchanged, is not stored, and the next call tries again",
    async (_n, reason) => {
      for (const sync of [false, true]) {
        const { cache, store } = openCaches();
        const errors = recordEvents(cache, "error");
        let fails = true;
        const fn = vi.fn((): string | Promise<string> => {
          if (!fails) return "fine";
          if (sync) throw reason;
          return Promise.reject(reason as Error);
        });
        const wrapped = cache.wrap(fn, { name: "f" });
        for (const call of [() => wrapped(), () => cache.getOrSet("k", fn), () => wrapped.refresh()]) {
          fails = true;
          fn.mockClear();
          const results = await Promise.allSettled([call(), call(), call()]);
          expect(results).toEqual(Array(3).fill({ status: "rejected", reason }));
          expect(fn).toHaveBeenCalledTimes(1);
          expect(store.operations()).not.toContain("put");
          fails = false;
          expect(await call()).toBe("fine");
          await cache.clear({ all: true });
          store.calls.length = 0;
        }
        expect(errors).toEqual([]);
      }
    },
  );

  test("leaves an old value alone", async () => {
    const { cache } = openCaches();
    let calls = 0;
    const wrapped = cache.wrap(
      async () => {
        if (++calls > 1) throw new Error("no luck");
        return calls;
      },
      { name: "f" },
    );
    expect(await wrapped()).toBe(1);
    await expect(wrapped.refresh()).rejects.toThrow("no luck");
    expect(await wrapped()).toBe(1);
  });
});

describe("abort", () => {
  test("of one caller leaves the others", async () => {
    const { cache } = openCaches();
    const { load, gates, signals, started } = gated<string>();
    const controller = new AbortController();
    const leaving = cache.getOrSet("k", load, { signal: controller.signal });
    const staying = cache.getOrSet("k", load, { signal: new AbortController().signal });
    const without = cache.getOrSet("k", load);
    await started[0];
    const reason = { why: "left" };
    controller.abort(reason);
    await expect(leaving).rejects.toBe(reason);
    expect(signals[0]!.aborted).toBe(false);
    gates[0]!.resolve("v");
    expect(await Promise.all([staying, without])).toEqual(["v", "v"]);
    expect(load).toHaveBeenCalledTimes(1);
  });

  test("of the last caller aborts the load with that reason; nothing is stored, and the next call starts anew", async () => {
    const { cache, store } = openCaches();
    const { load, gates, signals, started } = gated<string>();
    const controllers = [new AbortController(), new AbortController()];
    const calls = controllers.map(({ signal }) => cache.getOrSet("k", load, { signal }));
    const results = Promise.allSettled(calls);
    await started[0];
    controllers[0]!.abort("first");
    controllers[1]!.abort("second");
    expect(await results).toEqual([
      { status: "rejected", reason: "first" },
      { status: "rejected", reason: "second" },
    ]);
    expect(signals[0]!.aborted).toBe(true);
    expect(signals[0]!.reason).toBe("second");
    const again = cache.getOrSet("k", load);
    await started[1];
    gates[0]!.resolve("of nobody");
    gates[1]!.resolve("v");
    expect(await again).toBe("v");
    expect(await cache.get("k")).toBe("v");
    expect(store.operations().filter((operation) => operation === "put")).toHaveLength(1);
  });

  test("without a caller left, a load that goes on anyway does not store what it finds", async () => {
    const { cache, store } = openCaches();
    const { load, gates, started } = gated<string>();
    const controller = new AbortController();
    const call = cache.getOrSet("k", load, { signal: controller.signal });
    await started[0];
    controller.abort("left");
    await expect(call).rejects.toBe("left");
    gates[0]!.resolve("of nobody");
    await gates[0]!.promise;
    expect(await cache.get("k")).toBeUndefined();
    expect(store.operations()).not.toContain("put");
  });

  test("of a wrapped function goes through with()", async () => {
    const { cache } = openCaches();
    const gate = deferred<string>();
    const fn = vi.fn(() => gate.promise);
    const wrapped = cache.wrap(fn, { name: "f" });
    const controller = new AbortController();
    const leaving = wrapped.with({ signal: controller.signal })();
    const staying = wrapped();
    await expect.poll(() => fn.mock.calls.length).toBe(1);
    controller.abort();
    await expect(leaving).rejects.toBe(controller.signal.reason);
    gate.resolve("v");
    expect(await staying).toBe("v");
    expect(fn).toHaveBeenCalledTimes(1);
    await expect(wrapped.with({ signal: controller.signal })()).rejects.toBe(controller.signal.reason);
  });

  test("reaches the store, and rejects with the signal's own reason", async () => {
    const { cache, other, store } = openCaches();
    await other.set("k", "v");
    for (const [operation, call] of [
      ["get", (signal: AbortSignal) => cache.get("k", { signal })],
      ["get", (signal: AbortSignal) => cache.getStream("k", { signal })],
      ["get", (signal: AbortSignal) => cache.getOrSet("k", () => 1, { signal })],
      ["head", (signal: AbortSignal) => cache.has("k", { signal })],
      ["put", (signal: AbortSignal) => cache.set("k", 1, { signal })],
      ["put", (signal: AbortSignal) => cache.getOrSet("new", () => 1, { signal })],
      ["delete", (signal: AbortSignal) => cache.delete("k", { signal })],
      ["deleteMany", (signal: AbortSignal) => cache.deleteMany(["k"], { signal })],
      ["list", (signal: AbortSignal) => cache.list({ signal }).next()],
      ["list", (signal: AbortSignal) => cache.clear({ all: true, signal })],
    ] as const) {
      const controller = new AbortController();
      const gate = store.hold(operation);
      const calling = call(controller.signal);
      const result = expect(calling).rejects.toBe(controller.signal);
      await gate.reached;
      controller.abort(controller.signal);
      await result;
    }
    expect(await cache.get("k")).toBe("v");
  });

  test("before the call rejects it, and the store is not asked", async () => {
    const { cache, store } = openCaches();
    const reason = new Error("too late");
    const signal = AbortSignal.abort(reason);
    const never = vi.fn(() => 1);
    const wrapped = cache.wrap(never, { name: "f" }).with({ signal });
    for (const call of [
      () => cache.get("k", { signal }),
      () => cache.getEntry("k", { signal }),
      () => cache.getStream("k", { signal }),
      () => cache.getResponse("k", { signal }),
      () => cache.set("k", 1, { signal }),
      () => cache.set("k", new Blob(["a"]), { signal }),
      () => cache.getOrSet("k", never, { signal }),
      () => cache.getOrSetStream("k", never as never, { signal }),
      () => cache.has("k", { signal }),
      () => cache.delete("k", { signal }),
      () => cache.getMany(["k"], { signal }),
      () => cache.setMany([{ key: "k", value: 1 }], { signal }),
      () => cache.deleteMany(["k"], { signal }),
      () => cache.clear({ all: true, signal }),
      () => cache.list({ signal }).next(),
      () => cache.presign("k", { signal }),
      () => cache.flush({ signal }),
      () => wrapped(),
      () => wrapped.refresh(),
      () => wrapped.peek(),
      () => wrapped.invalidate(),
      () => wrapped.presign(),
    ]) {
      await expect(call()).rejects.toBe(reason);
    }
    expect(never).not.toHaveBeenCalled();
    expect(store.operations()).toEqual([]);
  });

  test("of flush leaves the background work alone", async () => {
    const { cache, other, store } = openCaches({ write: "background" });
    const gate = store.hold("put");
    await cache.set("k", 1);
    const controller = new AbortController();
    const flushing = cache.flush({ signal: controller.signal });
    controller.abort("left");
    await expect(flushing).rejects.toBe("left");
    gate.open();
    await cache.flush({ signal: new AbortController().signal });
    expect(await other.get("k")).toBe(1);
  });

  test("of a write or read that waits for its turn takes effect at once, and its turn comes to nothing", async () => {
    const { cache, other, store } = openCaches();
    const gate = store.hold("put");
    const first = cache.set("k", "first");
    await gate.reached;
    const controller = new AbortController();
    const { signal } = controller;
    const waiting = [
      cache.set("k", "second", { signal }),
      cache.set("k", new Blob(["second"]), { signal }),
      cache.delete("k", { signal }),
      cache.get("k", { signal }),
      cache.has("k", { signal }),
      cache.getStream("k", { signal }),
      cache.getOrSet("k", () => "second", { signal }),
      cache.clear({ all: true, signal }),
    ];
    const results = Promise.allSettled(waiting);
    controller.abort("left");
    for (const result of await results) expect(result).toEqual({ status: "rejected", reason: "left" });
    gate.open();
    await first;
    await cache.set("l", 1);
    expect(await other.get("k")).toBe("first");
    expect(store.operations().filter((operation) => operation !== "get")).toEqual(["put", "put"]);
  });

  test("of many callers by one signal has one listener", async () => {
    const { cache } = openCaches();
    const controller = new AbortController();
    const add = vi.spyOn(controller.signal, "addEventListener");
    const calls = Array.from({ length: 100 }, (_, i) =>
      cache.getOrSet(`k${i % 10}`, () => deferred<number>().promise, { signal: controller.signal }),
    );
    const results = Promise.allSettled(calls);
    await expect.poll(() => cache.stats().calls).toBe(10);
    expect(add).toHaveBeenCalledTimes(1);
    controller.abort("left");
    expect(new Set((await results).map((result) => (result as PromiseRejectedResult).reason))).toEqual(
      new Set(["left"]),
    );
  });

  test("adds no listener for each call to a signal that lives long", async () => {
    const { cache } = openCaches();
    const { signal } = new AbortController();
    const add = vi.spyOn(signal, "addEventListener");
    for (let i = 0; i < 10; i++) {
      await cache.getOrSet(`k${i}`, () => i, { signal });
      await cache.get(`k${i}`, { signal });
      await cache.get("nothing", { signal });
      await cache.flush({ signal });
    }
    expect(add).toHaveBeenCalledTimes(1);
  });
});

describe("on workerd", () => {
  test("a flight older than the overall time-out is not joined: its request may have ended", async () => {
    vi.useFakeTimers({ toFake: ["Date", "performance"] });
    vi.stubGlobal("navigator", { userAgent: "Cloudflare-Workers" });
    try {
      const { cache } = openCaches();
      const { load, gates, started } = gated<string>();
      const dead = cache.getOrSet("k", load);
      await started[0];
      vi.advanceTimersByTime(29_000);
      const joined = cache.getOrSet("k", load);
      vi.advanceTimersByTime(2_000);
      const own = cache.getOrSet("k", load);
      await started[1];
      gates[1]!.resolve("own");
      expect(await own).toBe("own");
      expect(await cache.get("k")).toBe("own");
      gates[0]!.resolve("late");
      expect(await Promise.all([dead, joined])).toEqual(["late", "late"]);
      expect(await cache.get("k")).toBe("own");
    } finally {
      vi.unstubAllGlobals();
      vi.useRealTimers();
    }
  });
});

describe("waitUntil", () => {
  test("is given every shared load by the call that began it", async () => {
    const { cache } = openCaches();
    const { load, gates, started } = gated<string>();
    const given: [number, Promise<unknown>][] = [];
    const calls = [1, 2].map((n) => cache.getOrSet("k", load, { waitUntil: (promise) => given.push([n, promise]) }));
    await started[0];
    expect(new Set(given.map(([n]) => n))).toEqual(new Set([1]));
    gates[0]!.reject(new Error("no luck"));
    // What is given never rejects: that would be the end of a worker.
    await Promise.all(given.map(([, promise]) => promise));
    await Promise.allSettled(calls);
  });

  test("of the cache is used where a call has none, and with() sets it for one request", async () => {
    const ofCache = vi.fn();
    const ofCall = vi.fn();
    const { cache } = openCaches({ waitUntil: ofCache });
    const wrapped = cache.wrap((n: number) => n, { name: "f", write: "background" });
    await wrapped(1);
    expect(ofCache).toHaveBeenCalled();
    ofCache.mockClear();
    await wrapped.with({ waitUntil: ofCall })(2);
    expect(ofCall).toHaveBeenCalled();
    expect(ofCache).not.toHaveBeenCalled();
    await cache.flush();
  });
});
