import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import fc from "fast-check";
import { createCache, type Cache } from "bucketcache";
import { memoryStore } from "bucketcache/memory";
import { faultyStore } from "bucketcache/testing";

// Many runs, on machines that may be busy.
vi.setConfig({ testTimeout: 60_000 });
beforeEach(() => void vi.useFakeTimers({ now: 1_800_000_000_000, toFake: ["Date", "performance"] }));
afterEach(() => void vi.useRealTimers());

/** The model of a cache: a map whose entries end. */
class Model {
  readonly entries = new Map<string, { value: unknown; end: number }>();
  get(key: string): unknown {
    const entry = this.entries.get(key);
    if (entry !== undefined && Date.now() >= entry.end) this.entries.delete(key);
    return this.entries.get(key)?.value;
  }
  set(key: string, value: unknown, ttl: number): void {
    this.entries.set(key, { value, end: Date.now() + ttl * 1000 });
  }
}

type Real = { cache: Cache; wrapped: (n: number) => Promise<number>; calls: number };
type Step = fc.AsyncCommand<Model, Real>;

const KEYS = ["a/1", "a/2", "b", "ab"];
const key = fc.constantFrom(...KEYS);
const ttl = fc.constantFrom(1, 10, Infinity);
const value = fc.oneof(
  fc.integer(),
  fc.string(),
  fc.constant(null),
  fc.uint8Array({ maxLength: 5 }),
  fc.date({ noInvalidDate: true }),
);

function step(name: string, run: (model: Model, real: Real) => Promise<void>): Step {
  return { check: () => true, run, toString: () => name };
}

const steps: fc.Arbitrary<Step>[] = [
  fc.tuple(key, value, ttl).map(([k, v, t]) =>
    step(`set ${k} ${fc.stringify(v)} for ${t}`, async (model, { cache }) => {
      await cache.set(k, v, { ttl: t });
      model.set(k, v, t);
    }),
  ),
  key.map((k) =>
    step(`get ${k}`, async (model, { cache }) => {
      const expected = model.get(k);
      expect(await cache.get(k)).toEqual(expected);
      expect(await cache.has(k)).toBe(model.entries.has(k));
      expect((await cache.getEntry(k))?.value).toEqual(expected);
    }),
  ),
  fc.constant(
    step("getMany", async (model, { cache }) => {
      expect(await cache.getMany(KEYS)).toEqual(KEYS.map((k) => model.get(k)));
    }),
  ),
  fc.tuple(key, value, ttl).map(([k, v, t]) =>
    step(`getOrSet ${k} ${fc.stringify(v)} for ${t}`, async (model, { cache }) => {
      model.get(k);
      const got = await cache.getOrSet(k, () => v, { ttl: t });
      if (!model.entries.has(k)) model.set(k, v, t);
      expect(got).toEqual(model.get(k));
    }),
  ),
  fc.integer({ min: 1, max: 3 }).map((n) =>
    step(`call ${n}`, async (model, real) => {
      const k = `f ${n}`;
      if (model.get(k) === undefined) model.set(k, real.calls + 1, 10);
      expect(await real.wrapped(n)).toBe(model.get(k));
    }),
  ),
  key.map((k) =>
    step(`delete ${k}`, async (model, { cache }) => {
      await cache.delete(k);
      model.entries.delete(k);
    }),
  ),
  fc.subarray(KEYS).map((keys) =>
    step(`deleteMany ${keys.join()}`, async (model, { cache }) => {
      await cache.deleteMany(keys);
      for (const k of keys) model.entries.delete(k);
    }),
  ),
  fc.constantFrom("a", "a/", "b", undefined).map((prefix) =>
    step(`clear ${prefix ?? "all"}`, async (model, { cache }) => {
      await cache.clear(prefix === undefined ? { all: true } : { prefix });
      for (const k of model.entries.keys()) if (k.startsWith(prefix ?? "")) model.entries.delete(k);
    }),
  ),
  fc.constantFrom(0.5, 1, 9, 61).map((seconds) =>
    step(`${seconds} s pass`, async () => {
      vi.setSystemTime(Date.now() + seconds * 1000);
    }),
  ),
  fc.constant(
    step("flush, list", async (model, { cache }) => {
      await cache.flush();
      const listed: string[] = [];
      for await (const object of cache.list()) listed.push(object.key);
      // An entry that has ended is listed until it is read.
      for (const k of KEYS) if (model.get(k) !== undefined || model.entries.has(k)) expect(listed).toContain(k);
    }),
  ),
];

describe("a cache behaves as a map whose entries end", () => {
  const configurations = {
    "with its defaults": {},
    "without memory": { memory: false },
    "with hardly any memory": { memory: { maxEntries: 1 } },
    "with clones": { memory: { isolation: "clone", revalidateAfter: 5 } },
    "with frozen values": { memory: { isolation: "freeze" } },
    "writing in the background": { write: "background", compress: true },
    "that never deletes what expired": { deleteExpired: false },
  } as const;

  test.each(Object.entries(configurations))("%s", async (_name, options) => {
    await fc.assert(
      fc.asyncProperty(fc.commands(steps, { maxCommands: 40 }), async (commands) => {
        await fc.asyncModelRun(() => {
          const cache = createCache({ store: memoryStore(), ...options });
          const real = { cache, calls: 0 } as Real;
          real.wrapped = cache.wrap((_n: number) => ++real.calls, { name: "f", ttl: 10 });
          return { model: new Model(), real };
        }, commands);
      }),
      { numRuns: 40 },
    );
  });
});

describe("concurrent writers and readers of one cache", () => {
  test("memory and the store agree when all is quiet, whatever happened at once, and whatever failed", async () => {
    const action = fc.tuple(
      fc.constantFrom("set", "background", "stream", "delete", "deleteMany", "load", "get", "clear"),
      fc.integer(),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(action, { maxLength: 6 }), { maxLength: 6 }),
        fc.constantFrom(0, 0.2),
        fc.scheduler(),
        async (rounds, probability, scheduler) => {
          const inner = memoryStore();
          const faulty = faultyStore(inner, { seed: 5, faults: probability === 0 ? [] : [{ probability }] });
          // Every request waits for its turn, which the scheduler shuffles.
          const store = {
            ...faulty,
            get: scheduler.scheduleFunction(faulty.get),
            head: scheduler.scheduleFunction(faulty.head),
            put: scheduler.scheduleFunction(faulty.put),
            delete: scheduler.scheduleFunction(faulty.delete),
            deleteMany: scheduler.scheduleFunction(faulty.deleteMany!),
          };
          const cache = createCache({ store });
          const act = ([name, n]: [string, number]): Promise<unknown> => {
            // A result computed while the store was down is kept by memory alone.
            if (name === "load" && probability > 0) return cache.get("k");
            if (name === "set") return cache.set("k", n);
            if (name === "background") return cache.set("k", n, { write: "background" });
            if (name === "stream") return cache.set("k", new Blob([`${n}`]));
            if (name === "delete") return cache.delete("k");
            if (name === "deleteMany") return cache.deleteMany(["k", "l"]);
            if (name === "load") return cache.getOrSet("k", () => n);
            if (name === "clear") return cache.clear({ prefix: "k" });
            return cache.get("k");
          };
          const acting = (async () => {
            for (const actions of rounds) await Promise.allSettled(actions.map(act));
            await cache.flush();
          })();
          await scheduler.waitFor(acting);
          faulty.faults.length = 0;
          const seen = scheduler.waitFor(cache.get("k"));
          expect(await seen).toEqual(await createCache({ store: inner }).get("k"));
        },
      ),
      { numRuns: 150 },
    );
  });

  test("without failures, the last write that was asked for is what remains", async () => {
    const write = fc.constantFrom("set", "background", "stream", "delete", "deleteMany");
    await fc.assert(
      fc.asyncProperty(fc.array(write, { minLength: 1, maxLength: 8 }), fc.scheduler(), async (writes, scheduler) => {
        const inner = memoryStore();
        const store = {
          ...inner,
          put: scheduler.scheduleFunction(inner.put),
          delete: scheduler.scheduleFunction(inner.delete),
          deleteMany: scheduler.scheduleFunction(inner.deleteMany!),
        };
        const cache = createCache({ store });
        const all = writes.map((name, n) => {
          if (name === "set") return cache.set("k", `${n}`);
          if (name === "background") return cache.set("k", `${n}`, { write: "background" });
          if (name === "stream") return cache.set("k", new Blob([`${n}`]));
          return name === "delete" ? cache.delete("k") : cache.deleteMany(["k"]);
        });
        await scheduler.waitFor(Promise.all(all).then(() => cache.flush()));
        const expected = writes.at(-1)!.startsWith("delete") ? undefined : `${writes.length - 1}`;
        for (const reader of [cache, createCache({ store: inner })]) {
          const got = await reader.get("k");
          expect(got instanceof Uint8Array ? new TextDecoder().decode(got) : got).toBe(expected);
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe("any value that can be stored", () => {
  const bytes = fc.uint8Array({ maxLength: 20 }).map((array) => new Uint8Array(array));
  const plain = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.string({ unit: "binary" }),
      fc.double(),
      fc.bigInt(),
      fc.boolean(),
      fc.constantFrom(null, undefined),
      fc.date(),
      bytes,
      fc.constantFrom(new URL("https://example.org/a?b#c"), /a+/giu, new Float32Array([1.5, -0])),
      fc.array(tie("value"), { maxLength: 5 }),
      fc.dictionary(fc.string({ unit: "binary" }), tie("value"), { maxKeys: 5 }),
      fc.array(fc.tuple(tie("value"), tie("value")), { maxLength: 4 }).map((pairs) => new Map(pairs)),
      fc.array(tie("value"), { maxLength: 4 }).map((items) => new Set(items)),
    ),
  })).value;

  test("reads back equal from memory and from the store, and never changes through its copies", async () => {
    await fc.assert(
      fc.asyncProperty(plain, fc.constantFrom(true, false), async (value, compress) => {
        const store = memoryStore();
        const cache = createCache({ store, compress, memory: { isolation: "clone" } });
        await cache.set("k", value);
        expect(await cache.get("k")).toEqual(value);
        expect(await createCache({ store, memory: false }).get("k")).toEqual(value);
        const result = await cache.wrap(() => value, { name: "f" })();
        expect(result).toEqual(value);
        expect(
          await createCache({ store })
            .wrap(() => value, { name: "f" })
            .peek(),
        ).toEqual(value);
      }),
      { numRuns: 200 },
    );
  });
});
