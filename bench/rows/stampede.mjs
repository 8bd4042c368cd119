/** A thousand callers who ask at once for what nobody has computed. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { figure, judge, statOf } from "../harness.mjs";

const REPEATS = 10;
let keys = 0;

/** @type {Record<string, (params: any) => Promise<import("../harness.mjs").Side>>} */
export const sides = {
  async callers({ place, count }) {
    const { createCache, s3Store } = await import("../ours.mjs");
    const cache = createCache({ store: await s3Store(place) });
    let calls = 0;
    const wrapped = cache.wrap(
      async (/** @type {string} */ key) => {
        calls++;
        return { key, text: "x".repeat(1000) };
      },
      { name: `stampede-${process.pid}` },
    );
    /** @type {Record<string, number>} */
    const requests = { GET: 0, PUT: 0 };
    const tally = (/** @type {any} */ message) =>
      void (requests[message.request.method] = (requests[message.request.method] ?? 0) + 1);
    return {
      async sample() {
        Object.assign(requests, { GET: 0, PUT: 0 });
        calls = 0;
        subscribe("http.client.request.start", tally);
        const cpu = process.cpuUsage();
        const startedAt = performance.now();
        for (let index = 0; index < REPEATS; index++) {
          const key = `cold-${keys++}`;
          await Promise.all(Array.from({ length: count }, () => wrapped(key)));
        }
        const wall = (performance.now() - startedAt) / REPEATS;
        const { user, system } = process.cpuUsage(cpu);
        unsubscribe("http.client.request.start", tally);
        return {
          wall,
          cpu: (user + system) / 1000 / REPEATS,
          calls: calls / REPEATS,
          gets: (requests.GET ?? 0) / REPEATS,
          puts: (requests.PUT ?? 0) / REPEATS,
        };
      },
      close: () => cache.close(),
    };
  },
};

/** @type {import("../harness.mjs").Row[]} */
export const rows = [
  {
    name: "stampede",
    title: "1,000 callers on a cold key",
    store: true,
    async run(bench) {
      const one = "one caller";
      const many = "1,000 callers";
      const found = await bench.compare({
        module: import.meta.url,
        sides: {
          [one]: { name: "callers", params: { place: bench.place, count: 1 } },
          [many]: { name: "callers", params: { place: bench.place, count: 1000 } },
        },
        rounds: bench.rounds(15),
        warmUp: 2,
      });
      const traffic = figure(found, many, "gets").samples.map((gets, index) =>
        Math.max(
          gets,
          figure(found, many, "puts").samples[index] ?? NaN,
          figure(found, many, "calls").samples[index] ?? NaN,
        ),
      );
      return {
        sides: found,
        goals: [
          judge({
            id: "stampede/traffic",
            work: this.title,
            against: "",
            what: "the most of GETs, calls and PUTs",
            unit: "",
            ours: statOf(traffic),
            rival: undefined,
            atMost: 1,
          }),
          judge({
            id: "stampede/time",
            work: this.title,
            against: "one caller",
            what: "time",
            unit: "ms",
            ours: figure(found, many, "wall"),
            rival: figure(found, one, "wall"),
            atMost: 3,
          }),
        ],
      };
    },
  },
];
