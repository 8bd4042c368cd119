/** Weight of 100,000 entries, and how many of a million calls find theirs. */
import { figure, judge, randomNumbers } from "../harness.mjs";

const ENTRIES = 100_000;
const CALLS = 1_000_000;
const DISTINCT = 150_000;
const MAX_BYTES = 1 << 30;

/** Some places are asked for far more often than others, as everywhere. */
function* asked() {
  const next = randomNumbers(11);
  for (let index = 0; index < CALLS; index++) yield `place-${Math.floor(DISTINCT * next() ** 3)}`;
}

/** Records of some 200 bytes, or with a text of 1 KiB. @type {Record<string, (key: string) => object>} */
const values = {
  "small records": (key) => record(key),
  "1 KiB each": (key) => ({ ...record(key), text: Buffer.alloc(1024, `${key} `).toString("latin1") }),
};

/** @param {string} key */
const record = (key) => ({
  key,
  name: `The place called ${key}`,
  lat: key.length / 7,
  lng: key.length / 3,
  country: "DE",
});

/** A store that keeps nothing: what is measured is memory alone. */
const nowhere = {
  name: "nowhere",
  get: async () => undefined,
  head: async () => undefined,
  put: async () => ({ etag: '"d41d8cd98f00b204e9800998ecf8427e"' }),
  delete: async () => {},
  async *list() {},
};

/** @param {(key: string) => unknown} call @param {() => number} misses */
function side(call, misses) {
  const { gc } = /** @type {any} */ (globalThis);
  return {
    async sample() {
      gc();
      const before = process.memoryUsage();
      for (const key of asked()) await call(key);
      await new Promise((resolve) => setTimeout(resolve, 50));
      gc();
      const after = process.memoryUsage();
      const size = after.heapUsed + after.external - before.heapUsed - before.external;
      return { size: size / (1 << 20), hits: 1 - misses() / CALLS };
    },
  };
}

/** @type {Record<string, (params: { value: string }) => Promise<import("../harness.mjs").Side>>} */
export const sides = {
  async bucketcache({ value }) {
    const compute = /** @type {(key: string) => object} */ (values[value]);
    const { createCache } = await import("../ours.mjs");
    const cache = createCache({
      store: nowhere,
      compress: false,
      memory: { maxEntries: ENTRIES, maxBytes: MAX_BYTES },
    });
    let misses = 0;
    const wrapped = cache.wrap(
      (/** @type {string} */ key) => {
        misses++;
        return compute(key);
      },
      { name: "places", ttl: "1h" },
    );
    return side(wrapped, () => misses);
  },

  async "lru-cache"({ value }) {
    const compute = /** @type {(key: string) => object} */ (values[value]);
    const { LRUCache } = await import("lru-cache");
    const cache = new LRUCache({
      max: ENTRIES,
      maxSize: MAX_BYTES,
      ttl: 3_600_000,
      sizeCalculation: (value, key) => JSON.stringify(value).length + key.length,
    });
    let misses = 0;
    return side(
      (key) => {
        const found = cache.get(key);
        if (found !== undefined) return found;
        misses++;
        const value = compute(key);
        cache.set(key, value);
        return value;
      },
      () => misses,
    );
  },
};

/** @type {import("../harness.mjs").Row[]} */
export const rows = [
  {
    name: "memory-size",
    title: "100,000 entries in memory, 1,000,000 mixed calls",
    async run(bench) {
      /** @type {Record<string, import("../harness.mjs").Stats>} */
      const all = {};
      const goals = [];
      for (const value of Object.keys(values)) {
        const side = { flags: ["--expose-gc"], params: { value } };
        const found = await bench.compare({
          module: import.meta.url,
          sides: { bucketcache: side, "lru-cache": side },
          rounds: bench.rounds(3),
          fresh: true,
        });
        const common = { work: `${this.title}, ${value}`, against: "lru-cache" };
        /** @param {string} metric */
        const pair = (metric) => ({
          ours: figure(found, "bucketcache", metric),
          rival: figure(found, "lru-cache", metric),
        });
        goals.push(
          judge({
            ...common,
            ...pair("hits"),
            id: `memory-size/hits/${value}`,
            what: "hit rate",
            unit: "",
            atLeast: 1,
          }),
          judge({
            ...common,
            ...pair("size"),
            id: `memory-size/size/${value}`,
            what: "memory",
            unit: "MiB",
            atMost: 1.5,
          }),
        );
        for (const [name, stats] of Object.entries(found)) all[`${name}, ${value}`] = stats;
      }
      return { sides: all, goals };
    },
  },
];
