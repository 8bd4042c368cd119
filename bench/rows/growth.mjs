/** Whether a call costs the same with a hundred entries and with a million, alone and with a thousand others. */
import { convert, figure, judge, pooled, randomBytes, randomNumbers } from "../harness.mjs";
import { clients, seed } from "../clients.mjs";
import { linePlot } from "../plot.mjs";

const ENTRIES = [100, 1_000, 10_000, 100_000, 1_000_000];
const IN_FLIGHT = [1, 10, 100, 1_000];
const CALLS = 100_000;
const REQUESTS = 1_000;

/** One after the other takes long, and needs fewer to be told. @param {number} inFlight */
const requestsOf = (inFlight) => (inFlight < 100 ? REQUESTS / 4 : REQUESTS);

const nowhere = {
  name: "nowhere",
  get: async () => undefined,
  head: async () => undefined,
  put: async () => ({ etag: '"e"' }),
  delete: async () => {},
  async *list() {},
};

/** @param {number} entries */
const namesOf = (entries) => Array.from({ length: entries }, (_, index) => `place-${index}`);

/** Every name as often as the others, in an order without rhyme. @param {string[]} names @param {(name: string) => unknown} call */
async function perCall(names, call) {
  const next = randomNumbers(5);
  const order = Array.from({ length: CALLS }, () => /** @type {string} */ (names[Math.floor(next() * names.length)]));
  const startedAt = performance.now();
  for (const name of order) await call(name);
  return ((performance.now() - startedAt) * 1e6) / CALLS;
}

/** µs of CPU. @param {number} inFlight @param {(index: number) => Promise<unknown>} work */
async function perRequest(inFlight, work) {
  const count = requestsOf(inFlight);
  const before = process.cpuUsage();
  await pooled(count, inFlight, work);
  const { user, system } = process.cpuUsage(before);
  return { cpu: (user + system) / count };
}

/** @type {Record<string, (params: any) => Promise<import("../harness.mjs").Side>>} */
export const sides = {
  async entries({ entries }) {
    const { createCache } = await import("../ours.mjs");
    const memory = { maxEntries: entries, maxBytes: 1 << 30 };
    const cache = createCache({ store: nowhere, memory });
    const wrapped = cache.wrap(async (/** @type {string} */ name) => name.length, { name: "growth" });
    const names = namesOf(entries);
    for (const name of names) await wrapped(name);
    let fresh = 0;
    return {
      async sample() {
        const hit = await perCall(names, wrapped);
        // New entries, each of which drives an old one out.
        const count = 2_000;
        const startedAt = performance.now();
        for (let index = 0; index < count; index++) await wrapped(`fresh-${fresh + index}`);
        const insert = ((performance.now() - startedAt) * 1e6) / count;
        // In their places what they drove out, so that the next round hits again.
        for (let index = 0; index < count; index++) await wrapped.invalidate(`fresh-${fresh++}`);
        for (const name of names) await wrapped(name);
        return { hit, insert };
      },
    };
  },

  async map({ entries }) {
    const names = namesOf(entries);
    const map = new Map(names.map((name) => [name, name.length]));
    return { sample: async () => ({ hit: await perCall(names, (name) => map.get(name)) }) };
  },

  async flights({ place, inFlight, operation }) {
    const make = clients.bucketcache;
    if (make === undefined) throw new Error("no client");
    const client = await make(place);
    const body = randomBytes(4096);
    const keys = Array.from({ length: REQUESTS }, (_, index) => `flight/object-${index}`);
    /** @param {number} index */
    const work = (index) => {
      const key = /** @type {string} */ (keys[index % REQUESTS]);
      return operation === "get" ? client.get(key) : client.put(key, body);
    };
    await pooled(3 * REQUESTS, Math.max(inFlight, 32), work);
    return { sample: () => perRequest(inFlight, work), close: () => void client.close?.() };
  },

  // The same without a network, so that nothing but the library is counted.
  async waiting({ inFlight }) {
    const { createCache } = await import("../ours.mjs");
    const pause = () => new Promise((resolve) => setTimeout(resolve, 5));
    const slow = {
      ...nowhere,
      get: () => pause().then(() => undefined),
      put: () => pause().then(() => ({ etag: '"e"' })),
    };
    const cache = createCache({ store: slow, memory: { maxEntries: 100 } });
    const wrapped = cache.wrap(async (/** @type {string} */ name) => name.length, { name: "growth" });
    let fresh = 0;
    const work = () => wrapped(`name-${fresh++}`);
    await pooled(10 * REQUESTS, Math.max(inFlight, 100), work);
    return { sample: () => perRequest(inFlight, work) };
  },
};

/** @param {readonly number[]} sizes @param {(size: number) => number} value */
const points = (sizes, value) => sizes.map((size) => /** @type {[number, number]} */ ([size, value(size)]));

/** @type {import("../harness.mjs").Row[]} */
export const rows = [
  {
    name: "growth-entries",
    title: "A hit in memory among 100 to 1,000,000 entries",
    async run(bench) {
      const flags = ["--max-old-space-size=8192"];
      const sizes = ENTRIES.filter((entries) => entries <= bench.scale(1_000_000, 10_000));
      const found = await bench.compare({
        module: import.meta.url,
        sides: Object.fromEntries(
          sizes.flatMap((entries) => [
            [`bucketcache, ${entries}`, { name: "entries", params: { entries }, flags }],
            [`Map.get, ${entries}`, { name: "map", params: { entries }, flags }],
          ]),
        ),
        rounds: bench.rounds(4),
      });
      const last = /** @type {number} */ (sizes.at(-1));
      // A larger map is slower by the processor's caches alone, so hits are compared with `Map.get` of the same size.
      const ours = convert(
        figure(found, `bucketcache, ${last}`, "hit"),
        (ns) => ns / figure(found, `Map.get, ${last}`, "hit").median,
      );
      const rival = convert(
        figure(found, "bucketcache, 100", "hit"),
        (ns) => ns / figure(found, "Map.get, 100", "hit").median,
      );
      return {
        sides: found,
        goals: [
          judge({
            id: "growth-entries",
            work: `A hit among ${last.toLocaleString("en")} entries, as multiple of Map.get`,
            against: "the same among 100",
            what: "multiple",
            unit: "",
            ours,
            rival,
            atMost: 2,
          }),
        ],
        plots: [
          {
            name: "growth-entries",
            svg: linePlot({
              title: "Cost of a call by number of entries in memory",
              x: "entries",
              y: "ns per call",
              series: [
                {
                  name: "bucketcache, hit",
                  points: points(sizes, (n) => figure(found, `bucketcache, ${n}`, "hit").median),
                },
                {
                  name: "bucketcache, new entry",
                  points: points(sizes, (n) => figure(found, `bucketcache, ${n}`, "insert").median),
                },
                {
                  name: "bare awaited Map.get",
                  points: points(sizes, (n) => figure(found, `Map.get, ${n}`, "hit").median),
                },
              ],
            }),
          },
        ],
      };
    },
  },
  {
    name: "growth-flight",
    title: "A request with 1 to 1,000 in flight",
    store: true,
    async run(bench) {
      const keys = Array.from({ length: REQUESTS }, (_, index) => `flight/object-${index}`);
      await seed(bench.place, keys, (index) => randomBytes(4096, index + 1));
      /** @param {string} name @param {object} [params] */
      const side = (name, params) =>
        Object.fromEntries(IN_FLIGHT.map((inFlight) => [String(inFlight), { name, params: { inFlight, ...params } }]));
      /** @type {Record<string, Record<string, import("../harness.mjs").Stats>>} */
      const found = {};
      for (const operation of ["get", "set"]) {
        found[operation] = await bench.compare({
          module: import.meta.url,
          sides: side("flights", { place: bench.place, operation }),
          rounds: bench.rounds(4),
        });
      }
      found.load = await bench.compare({ module: import.meta.url, sides: side("waiting"), rounds: bench.rounds(4) });
      /** @param {string} kind @param {number} inFlight */
      const cost = (kind, inFlight) => figure(found[kind] ?? {}, String(inFlight), "cpu");
      const sides = Object.fromEntries(
        Object.entries(found).flatMap(([kind, stats]) =>
          Object.keys(stats).map((inFlight) => [
            `${kind}, ${inFlight} in flight`,
            { cpu: cost(kind, Number(inFlight)) },
          ]),
        ),
      );
      return {
        sides,
        goals: ["get", "set", "load"].map((kind) =>
          judge({
            id: `growth-flight/${kind}`,
            work: `${kind === "load" ? "A load without a network" : kind}, 1,000 in flight`,
            against: "10 in flight",
            what: "CPU",
            unit: "µs",
            ours: cost(kind, 1000),
            rival: cost(kind, 10),
            atMost: 1.5,
          }),
        ),
        plots: [
          {
            name: "growth-flight",
            svg: linePlot({
              title: "CPU of a request by number in flight",
              x: "in flight",
              y: "µs of CPU per request",
              series: [
                { name: "get, MinIO", points: points(IN_FLIGHT, (n) => cost("get", n).median) },
                { name: "set, MinIO", points: points(IN_FLIGHT, (n) => cost("set", n).median) },
                { name: "load and store, no network", points: points(IN_FLIGHT, (n) => cost("load", n).median) },
              ],
            }),
          },
        ],
      };
    },
  },
];
