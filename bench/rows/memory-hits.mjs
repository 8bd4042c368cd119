/** Cost of a call whose result is in memory. */
import { fastest, figure, judge, randomNumbers } from "../harness.mjs";
import { barPlot } from "../plot.mjs";

const KEYS = 1000;
const CALLS = 500;
const BATCHES = 60;
const RIVALS = ["async-cache-dedupe", "cache-manager", "cachified", "cacheable", "bentocache", "ocache"];
const HOUR = 3_600_000;

/** @param {string} key */
const compute = async (key) => ({ key, places: [1, 2, 3] });

/** @typedef {(argument: any) => unknown} Call */

/** A batch is short enough to be seldom interrupted; the median batch tells what a call costs. @param {Call} call @param {unknown[]} args */
async function timed(call, args) {
  const next = randomNumbers(7);
  const order = Array.from({ length: CALLS }, () => args[Math.floor(next() * args.length)]);
  const times = [];
  for (let batch = 0; batch < BATCHES; batch++) {
    const startedAt = performance.now();
    for (let index = 0; index < CALLS; index++) await call(order[index]);
    times.push(((performance.now() - startedAt) * 1e6) / CALLS);
  }
  times.sort((a, b) => a - b);
  return { ns: /** @type {number} */ (times[BATCHES >> 1]) };
}

/** @param {unknown[]} args @param {Call} call @returns {Promise<import("../harness.mjs").Side>} */
async function side(args, call) {
  for (const arg of args) await call(arg);
  return { sample: () => timed(call, args) };
}

const strings = Array.from({ length: KEYS }, (_, index) => `place-${index}`);
const objects = Array.from({ length: KEYS }, (_, index) => ({
  lat: 52.52 + index / 1000,
  lon: 13.405,
  limit: 10,
  country: "DE",
}));

/** @param {{ ttl?: string }} [options] */
async function bucketcache(options) {
  const { createCache, memoryStore } = await import("../ours.mjs");
  const cache = createCache({ store: await memoryStore() });
  return cache.wrap(compute, { name: "compute", ...options });
}

/** @type {Record<string, () => Promise<import("../harness.mjs").Side>>} */
export const sides = {
  bucketcache: async () => side(strings, await bucketcache({ ttl: "1h" })),

  // A hit that can end looks at the clock, which a Map does not.
  "bucketcache, without ttl": async () => side(strings, await bucketcache()),

  async "Map.get"() {
    const map = new Map();
    for (const key of strings) map.set(key, await compute(key));
    return side(strings, (key) => map.get(key));
  },

  async "async-cache-dedupe"() {
    const { createCache } = await import("async-cache-dedupe");
    const cache = /** @type {any} */ (
      createCache({ ttl: 3600, storage: { type: "memory", options: { size: 10_000 } } })
    );
    cache.define("compute", compute);
    return side(strings, (key) => cache.compute(key));
  },

  // Its own in-memory store, without the copies that it makes by default: ours shares values, too.
  async "cache-manager"() {
    const { createCache } = await import("cache-manager");
    const { createKeyv } = await import("cacheable");
    const cache = createCache({ stores: [createKeyv({ lruSize: 10_000, useClone: false })], ttl: HOUR });
    return side(strings, (key) => cache.wrap(key, () => compute(key)));
  },

  async cachified() {
    const { cachified, totalTtl } = await import("@epic-web/cachified");
    const { LRUCache } = await import("lru-cache");
    const lru = new LRUCache({ max: 10_000 });
    /** @type {any} */
    const cache = {
      /** @param {string} key @param {any} value */
      set(key, value) {
        const ttl = totalTtl(value?.metadata);
        return lru.set(key, value, { ttl: ttl === Infinity ? undefined : ttl, start: value?.metadata?.createdTime });
      },
      get: (/** @type {string} */ key) => lru.get(key),
      delete: (/** @type {string} */ key) => lru.delete(key),
    };
    return side(strings, (key) => cachified({ key, cache, ttl: HOUR, getFreshValue: () => compute(key) }));
  },

  async cacheable() {
    const { Cacheable, createKeyv } = await import("cacheable");
    const cache = new Cacheable({ primary: createKeyv({ lruSize: 10_000, useClone: false }), ttl: HOUR });
    return side(strings, (key) => cache.getOrSet(key, () => compute(key)));
  },

  async bentocache() {
    const { BentoCache, bentostore } = await import("bentocache");
    const { memoryDriver } = await import("bentocache/drivers/memory");
    const memory = memoryDriver({ maxItems: 10_000, serialize: false });
    const cache = new BentoCache({ default: "memory", stores: { memory: bentostore().useL1Layer(memory) } });
    return side(strings, (key) => cache.getOrSet({ key, ttl: "1h", factory: () => compute(key) }));
  },

  async ocache() {
    const { defineCachedFunction } = await import("ocache");
    const cached = defineCachedFunction(compute, { name: "compute", maxAge: 3600, getKey: (key) => key });
    return side(strings, cached);
  },

  "bucketcache, object": async () => side(objects, await bucketcache()),

  async "JSON.stringify and Map.get"() {
    const map = new Map();
    for (const object of objects) map.set(JSON.stringify(object), await compute("x"));
    return side(objects, (object) => map.get(JSON.stringify(object)));
  },
};

/** @type {import("../harness.mjs").Row[]} */
export const rows = [
  {
    name: "hit-string",
    title: "A hit in memory, one string argument",
    async run(bench) {
      const endless = "bucketcache, without ttl";
      const names = ["bucketcache", endless, "Map.get", ...RIVALS];
      const found = await bench.compare({
        module: import.meta.url,
        sides: Object.fromEntries(names.map((name) => [name, {}])),
        rounds: bench.rounds(15),
        warmUp: 3,
      });
      const rival = fastest(found, "ns", RIVALS);
      const ours = figure(found, "bucketcache", "ns");
      const bars = names.map((name) => ({
        name,
        value: figure(found, name, "ns").median,
        ours: name.startsWith("bucketcache"),
      }));
      const common = { work: this.title, what: "time", unit: "ns" };
      const map = { against: "a bare awaited Map.get", rival: figure(found, "Map.get", "ns"), atMost: 1.5 };
      return {
        sides: found,
        goals: [
          judge({
            ...common,
            id: "hit-string/rivals",
            against: `${rival}, the fastest of ${RIVALS.length}; all with a ttl`,
            ours,
            rival: figure(found, rival, "ns"),
            atMost: 0.35,
          }),
          judge({ ...common, ...map, id: "hit-string/map", ours: figure(found, endless, "ns") }),
          judge({ ...common, ...map, id: "hit-string/map-ttl", work: `${this.title}, with a ttl`, ours }),
        ],
        plots: [{ name: "hit-string", svg: barPlot({ title: this.title, unit: "ns", bars }) }],
      };
    },
  },
  {
    name: "hit-object",
    title: "A hit in memory, an object of 60 bytes",
    async run(bench) {
      const ours = "bucketcache, object";
      const rival = "JSON.stringify and Map.get";
      const found = await bench.compare({
        module: import.meta.url,
        sides: { [ours]: {}, [rival]: {} },
        rounds: bench.rounds(25),
        warmUp: 3,
      });
      return {
        sides: found,
        goals: [
          judge({
            id: "hit-object",
            work: this.title,
            against: `awaited ${rival}`,
            what: "time",
            unit: "ns",
            ours: figure(found, ours, "ns"),
            rival: figure(found, rival, "ns"),
            atMost: 1.5,
          }),
        ],
      };
    },
  },
];
