import { describe, expect, test, vi } from "vitest";
import { cacheKey, cached } from "bucketcache";
import { recordEvents, openCaches, putForeign, schemaOf } from "./support/stores.js";

describe("the key of a call", () => {
  test("is cacheKey of name and arguments, and names the object", async () => {
    const { cache, store } = openCaches();
    const wrapped = cache.wrap((a: string, b?: { c: number }) => [a, b], { name: "dir/f" });
    await wrapped("x", { c: 1 });
    expect(wrapped.keyOf("x", { c: 1 })).toBe(cacheKey("dir/f", ["x", { c: 1 }]));
    expect(await store.head(`cache/${cacheKey("dir/f", ["x", { c: 1 }])}`)).toBeDefined();
    expect(await cache.get(wrapped.keyOf("x", { c: 1 }))).toEqual(["x", { c: 1 }]);
  });

  test("ignores trailing undefined, the order of properties, and `this`", async () => {
    const { cache } = openCaches();
    const fn = vi.fn(function (this: unknown, ..._args: unknown[]) {
      return fn.mock.calls.length;
    });
    const wrapped = cache.wrap(fn as (...args: unknown[]) => number, { name: "f" });
    for (const args of [["a"], ["a", undefined], ["a", undefined, undefined]]) expect(await wrapped(...args)).toBe(1);
    expect(await wrapped.call({ other: "this" }, "a")).toBe(1);
    for (const arg of [
      { a: 1, b: 2 },
      { b: 2, a: 1 },
      { a: 1, b: 2, c: undefined },
    ])
      expect(await wrapped(arg)).toBe(2);
    expect(await wrapped(undefined, "a")).toBe(3);
    expect(await wrapped()).toBe(4);
    expect(await wrapped(["a"])).toBe(5);
    expect(await wrapped('["a"]')).toBe(6);
    expect(await wrapped(1)).toBe(7);
    expect(await wrapped("1")).toBe(8);
  });

  test("is made of what `key` returns, which sees `this`, for every method", async () => {
    const { cache } = openCaches();
    const calls: string[] = [];
    type Called = (this: unknown, ...args: unknown[]) => unknown;
    const wrapped = cache.wrap(
      function (this: { tenant: string } | void, request: { id: number; log: () => void }) {
        calls.push(this ? this.tenant : "nobody");
        return request.id;
      },
      {
        name: "f",
        key(request) {
          return [this ? this.tenant : "nobody", request.id];
        },
      },
    );
    const request = { id: 7, log: () => undefined };
    expect(wrapped.keyOf(request)).toBe(cacheKey("f", ["nobody", 7]));
    expect(await wrapped(request)).toBe(7);
    expect(await wrapped.peek(request)).toBe(7);
    const a = { tenant: "a", wrapped };
    const b = { tenant: "b", wrapped };
    await a.wrapped(request);
    await b.wrapped(request);
    await a.wrapped({ ...request });
    await wrapped.refresh.call(a, request);
    await (wrapped.refresh as Called)(request);
    expect(calls).toEqual(["nobody", "a", "b", "a", "nobody"]);
    await wrapped.invalidate(request);
    expect(await wrapped.peek(request)).toBeUndefined();
    expect(await cache.get(cacheKey("f", ["a", 7]))).toBe(7);
    // The other methods see the object that they are called on, too.
    expect((wrapped.keyOf as Called).call(a, request)).toBe(cacheKey("f", ["a", 7]));
    expect(await (wrapped.peek as Called).call(a, request)).toBe(7);
    await (wrapped.invalidate as Called).call(a, request);
    expect(await cache.get(cacheKey("f", ["a", 7]))).toBeUndefined();
  });

  test("may be any data, and a `key` that returns none is a TypeError that names it", async () => {
    const { cache } = openCaches();
    let key: unknown = "text";
    const wrapped = cache.wrap(() => 1, { name: "f", key: () => key });
    const keys = ["text", 5, null, undefined, ["text"], { a: 1 }, new Date(5)].map((value) => {
      key = value;
      return wrapped.keyOf();
    });
    expect(new Set(keys).size).toBe(7);
    key = () => 1;
    await expect(wrapped()).rejects.toThrow(/key\(…\) is a function/);
  });

  test("refuses what is no data with a TypeError that names the path and the key option, without a call", async () => {
    const { cache } = openCaches();
    const fn = vi.fn((..._args: unknown[]) => 1);
    const wrapped = cache.wrap(fn, { name: "f" });
    for (const arg of [
      () => 1,
      Symbol("s"),
      {
        a: [
          new (class A {
            a = 1;
          })(),
        ],
      },
      "\ud800",
      new ReadableStream(),
    ]) {
      await expect(wrapped("fine", arg)).rejects.toThrow(/args\[1\].*key/);
      await expect(wrapped(arg)).rejects.toThrow(TypeError);
    }
    expect(fn).not.toHaveBeenCalled();
  });
});

describe("memory is reached by object key", () => {
  test("delete, deleteMany, clear and set by key reach what a function's memo holds", async () => {
    for (const args of [["one string"], [1, { two: 2 }]] as unknown[][]) {
      const { cache } = openCaches();
      let calls = 0;
      const wrapped = cache.wrap((..._args: unknown[]) => ++calls, { name: "f" });
      const key = cacheKey("f", args);
      const ways = [
        () => cache.delete(key),
        () => cache.deleteMany([key]),
        () => cache.clear({ name: "f" }),
        () => cache.clear({ prefix: "f" }),
        () => cache.clear({ all: true }),
        () => wrapped.invalidate(...args),
        () => cache.set(key, "not of this function"),
      ];
      for (const [index, way] of ways.entries()) {
        expect(await wrapped(...args)).toBe(index + 1);
        expect(await wrapped(...args)).toBe(index + 1);
        await way();
      }
      expect(await wrapped(...args)).toBe(ways.length + 1);
    }
  });

  test("a hit asks neither the store nor the function", async () => {
    const { cache, store } = openCaches();
    const fn = vi.fn((n: number) => ({ n }));
    const wrapped = cache.wrap(fn, { name: "f" });
    const first = await wrapped(1);
    store.calls.length = 0;
    for (let i = 0; i < 5; i++) expect(await wrapped(1)).toBe(first);
    expect(await wrapped.peek(1)).toBe(first);
    expect(await cache.get(wrapped.keyOf(1))).toBe(first);
    expect(store.calls).toEqual([]);
    expect(fn).toHaveBeenCalledTimes(1);
    expect(cache.stats().memory.hits).toBe(7);
  });
});

describe("two functions that share a name once it is made safe", () => {
  test("never see each other's values, in memory or in the store, at once or in turn", async () => {
    const names = ["f<a>", "f_a_"];
    expect(cacheKey(names[0]!, [1])).toBe(cacheKey(names[1]!, [1]));
    for (const memory of [{}, false] as const) {
      const { cache, other } = openCaches({ memory });
      const [angle, plain] = names.map((name) => cache.wrap((n: number) => `${name} ${n}`, { name, replace: true }));
      const results = await Promise.all([angle!(1), plain!(1), angle!(1), plain!(1)]);
      expect(results).toEqual(["f<a> 1", "f_a_ 1", "f<a> 1", "f_a_ 1"]);
      for (let i = 0; i < 3; i++) {
        expect(await angle!(1)).toBe("f<a> 1");
        expect([undefined, "f<a> 1"]).toContain(await angle!.peek(1));
        expect(await plain!(1)).toBe("f_a_ 1");
        expect([undefined, "f_a_ 1"]).toContain(await plain!.peek(1));
      }
      const [theirs, others] = names.map((name) => other.wrap((n: number) => `${name} ${n}`, { name, replace: true }));
      expect(await theirs!(1)).toBe("f<a> 1");
      expect(await others!(1)).toBe("f_a_ 1");
    }
  });
});

describe("a name", () => {
  test("is required", () => {
    const { cache } = openCaches();
    for (const options of [{}, { name: "" }, { name: 5 }, undefined]) {
      expect(() => cache.wrap(() => 1, options as never)).toThrow(/name/);
    }
    for (const name of ["/a", "a//b", "..", "a\n", "\ud800", "a".repeat(256)]) {
      expect(() => cache.wrap(() => 1, { name })).toThrow(TypeError);
    }
    expect(() => cache.wrap("f" as never, { name: "f" })).toThrow(/wrap needs a function/);
  });

  test("belongs to one function of a cache, unless its source is the same or it says replace", async () => {
    const { cache, other } = openCaches();
    const make1 = () => (n: number) => n;
    cache.wrap(make1(), { name: "f" });
    cache.wrap(make1(), { name: "f" });
    expect(() => cache.wrap((n: number) => n + 1, { name: "f" })).toThrow(
      /another function is wrapped as "f".*replace: true/,
    );
    const replaced = cache.wrap((n: number) => n + 2, { name: "f", replace: true });
    expect(await replaced(1)).toBe(3);
    expect(() => cache.wrap(make1(), { name: "f" })).toThrow(TypeError);
    other.wrap((n: number) => n + 1, { name: "f" });
  });

  test("copies of one source share what memory holds", async () => {
    const { cache } = openCaches();
    let calls = 0;
    const make1 = () => () => ++calls;
    expect(await cache.wrap(make1(), { name: "f" })()).toBe(1);
    expect(await cache.wrap(make1(), { name: "f" })()).toBe(1);
  });
});

describe("a wrapped function", () => {
  test("is asynchronous whatever the function is, and passes `this`, name, length and fn on", async () => {
    const { cache } = openCaches();
    function area(this: { scale: number } | void, a: number, b: number) {
      return a * b * (this ? this.scale : 1);
    }
    const wrapped = cache.wrap(area, { name: "area" });
    expect(wrapped(2, 3)).toBeInstanceOf(Promise);
    expect(await wrapped(2, 3)).toBe(6);
    expect([wrapped.name, wrapped.length, wrapped.fn]).toEqual(["area", 2, area]);
    expect(await wrapped.call({ scale: 10 }, 1, 1)).toBe(10);
    expect(await wrapped.refresh.call({ scale: 100 }, 1, 1)).toBe(100);
    expect(await (wrapped as { refresh(a: number, b: number): unknown }).refresh(1, 1)).toBe(1);
    const throwing = cache.wrap(
      () => {
        throw new RangeError("sync");
      },
      { name: "throwing" },
    );
    await expect(throwing()).rejects.toThrow(RangeError);
  });

  test("with() binds options for one request and keeps the rest", async () => {
    const { cache } = openCaches();
    const fn = vi.fn((n: number) => n);
    const wrapped = cache.wrap(fn, { name: "f" });
    const controller = new AbortController();
    const bound = wrapped.with({ signal: controller.signal }).with({ waitUntil: () => undefined });
    expect(await bound(1)).toBe(1);
    expect(await wrapped(1)).toBe(1);
    expect(fn).toHaveBeenCalledTimes(1);
    expect(bound.keyOf(1)).toBe(wrapped.keyOf(1));
    controller.abort("over");
    await expect(bound(1)).rejects.toBe("over");
    expect(() => wrapped.with({ expiresIn: 0 })).toThrow(/expiresIn/);
  });

  test("keeps null and undefined, and shouldCache decides otherwise", async () => {
    const { cache, other, store } = openCaches();
    for (const value of [null, undefined]) {
      const fn = vi.fn(() => value);
      const wrapped = cache.wrap(fn, { name: `returns ${value}` });
      expect([await wrapped(), await wrapped()]).toEqual([value, value]);
      expect(fn).toHaveBeenCalledTimes(1);
      const shy = vi.fn(() => value);
      const never = other.wrap(shy, { name: `never ${value}`, shouldCache: (result) => result !== value });
      expect([await never(), await never()]).toEqual([value, value]);
      expect(shy).toHaveBeenCalledTimes(2);
    }
    expect(store.operations().filter((operation) => operation === "put")).toHaveLength(2);
  });

  test("returns Uint8Array for a Buffer, at the first call already", async () => {
    const { cache, other } = openCaches();
    const fn = () => Buffer.from("abc") as Uint8Array;
    for (const c of [cache, cache, other]) {
      const result = await c.wrap(fn, { name: "f" })();
      expect(result.constructor).toBe(Uint8Array);
      expect(result).toEqual(new TextEncoder().encode("abc"));
    }
  });
});

describe("where the platform cannot hash", () => {
  test("entries are taken unchecked, with one warning; foreign ones are not", async () => {
    vi.stubGlobal("crypto", { getRandomValues: crypto.getRandomValues.bind(crypto) });
    const builtins = process.getBuiltinModule;
    process.getBuiltinModule = undefined as never;
    try {
      const { cache, other, store } = openCaches();
      const errors = recordEvents(other, "error");
      const fn = vi.fn((n: number) => n);
      await cache.wrap(fn, { name: "f" })(1);
      const elsewhere = other.wrap(fn, { name: "f" });
      expect(await elsewhere(1)).toBe(1);
      expect(await elsewhere.peek(1)).toBe(1);
      expect(fn).toHaveBeenCalledTimes(1);
      await putForeign(store, `cache/${elsewhere.keyOf(2)}`, "7");
      expect(await elsewhere(2)).toBe(2);
      expect(errors).toMatchObject([{ error: { code: "ERR_UNSUPPORTED", message: expect.stringContaining("https") } }]);
    } finally {
      process.getBuiltinModule = builtins;
      vi.unstubAllGlobals();
    }
  });
});

describe("a schema", () => {
  const person = schemaOf((value) => {
    const name = (value as { name?: unknown } | undefined)?.name;
    return typeof name === "string" ? { value: value as { name: string } } : { issues: [{ message: "no name" }] };
  });

  test("that rejects what was stored makes it a miss", async () => {
    const { cache, other } = openCaches();
    const fn = vi.fn(() => ({ name: "new" }));
    const wrapped = cache.wrap(fn, { name: "f", schema: person });
    const hits = heardHits(cache);
    await other.wrap(() => ({ nom: "old" }), { name: "f" })();
    expect(await wrapped.peek()).toBeUndefined();
    expect(await cache.get(wrapped.keyOf(), { schema: person })).toBeUndefined();
    expect(hits).toEqual([]);
    expect(await wrapped()).toEqual({ name: "new" });
    expect(await wrapped()).toEqual({ name: "new" });
    expect(fn).toHaveBeenCalledTimes(1);
    expect(await cache.getOrSet("k", () => ({ name: "x" }), { schema: person })).toEqual({ name: "x" });
  });

  test("sees what memory holds, too", async () => {
    const { cache } = openCaches();
    await cache.set("k", { nom: "old" });
    expect(await cache.get("k", { schema: person })).toBeUndefined();
    expect(await cache.get("k")).toEqual({ nom: "old" });
    expect(await cache.getOrSet("k", () => ({ name: "new" }), { schema: person })).toEqual({ name: "new" });
    expect(await cache.get("k", { schema: person })).toEqual({ name: "new" });
  });

  test("that transforms gives its output from both layers, and may be asynchronous", async () => {
    const { cache, other } = openCaches();
    const upper = schemaOf((async (value: unknown) => ({ value: String(value).toUpperCase() })) as never);
    await cache.set("k", "text");
    for (const reader of [cache, other, other]) expect(await reader.get("k", { schema: upper })).toBe("TEXT");
    expect(await other.get("k")).toBe("text");
  });

  test("that throws rejects the call", async () => {
    const { cache } = openCaches();
    await cache.set("k", "text");
    const broken = schemaOf(() => {
      throw new RangeError("broken");
    });
    await expect(cache.get("k", { schema: broken })).rejects.toThrow(RangeError);
  });

  function heardHits(cache: ReturnType<typeof openCaches>["cache"]) {
    const hits: unknown[] = [];
    cache.on("hit", (hit) => hits.push(hit));
    return hits;
  }
});

describe("the decorator, called without syntax", () => {
  const context = (kind: string, name = "price") => ({ kind, name }) as unknown as ClassMethodDecoratorContext;

  test("caches a method, and its key sees `this`", async () => {
    const { cache } = openCaches();
    const calls: string[] = [];
    class Shop {
      readonly country: string;
      constructor(country: string) {
        this.country = country;
      }
      async price(item: string): Promise<string> {
        calls.push(this.country);
        return `${item} in ${this.country}`;
      }
    }
    const key = function (this: Shop, item: string) {
      return [this.country, item];
    };
    Shop.prototype.price = cached(cache, { name: "price", key })(Shop.prototype.price, context("method") as never);
    const [swiss, french] = [new Shop("CH"), new Shop("FR")];
    for (let i = 0; i < 2; i++) {
      expect(await swiss.price("tea")).toBe("tea in CH");
      expect(await french.price("tea")).toBe("tea in FR");
    }
    expect(calls).toEqual(["CH", "FR"]);
    expect(await cache.get(cacheKey("price", ["CH", "tea"]))).toBe("tea in CH");
  });

  test("refuses anything but a method", () => {
    const { cache } = openCaches();
    for (const kind of ["getter", "field", "class"]) {
      expect(() => cached(cache, { name: "f" })(async () => 1, context(kind) as never)).toThrow(
        /cached decorates methods/,
      );
    }
    // TypeScript's older decorators pass a prototype, a name and a descriptor.
    expect(() => cached(cache, { name: "f" })({} as never, "price" as never)).toThrow(/experimentalDecorators/);
  });
});
