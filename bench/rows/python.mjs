/** The two Python systems that this library re-creates, on the same bucket. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { clients, PREFIX, seed } from "../clients.mjs";
import { convert, figure, judge, pooled, randomBytes } from "../harness.mjs";

const OBJECTS = 100;
const keys = Array.from({ length: OBJECTS }, (_, index) => `beside-python/object-${index}`);

/** @typedef {{ place: import("../harness.mjs").Place, python: string, job: "get" | "set" | "hit", count: number, atOnce: number }} Params */

/** @type {Record<string, (params: Params) => Promise<import("../harness.mjs").Side>>} */
export const sides = {
  async python({ place, python, job, count }) {
    const script = fileURLToPath(new URL("../scripts/peers.py", import.meta.url));
    const env = { ...process.env, BENCH_PLACE: JSON.stringify(place) };
    const child = spawn(python, [script], { env, stdio: ["pipe", "pipe", "inherit"] });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    return {
      async sample() {
        child.stdin.write(`${JSON.stringify({ job, count })}\n`);
        const { value, done } = await lines.next();
        if (done) throw new Error("the script ended");
        return JSON.parse(value);
      },
      close: () => void child.stdin.end(),
    };
  },

  async bucketcache({ place, job, count, atOnce }) {
    if (job === "hit") {
      const { createCache, s3Store } = await import("../ours.mjs");
      const cache = createCache({ store: await s3Store(place), prefix: PREFIX });
      const wrapped = cache.wrap(async (/** @type {string} */ key) => ({ key, places: [1, 2, 3] }), {
        name: "beside-python",
        ttl: "1h",
      });
      const names = Array.from({ length: 20 }, (_, index) => `place-${index}`);
      return {
        async sample() {
          for (let index = 0; index < count; index++) await wrapped(names[index % 20] ?? "");
        },
        close: () => cache.close(),
      };
    }
    const client = await /** @type {any} */ (clients).bucketcache(place, { ttl: "1h" });
    const body = randomBytes(4096);
    /** @param {number} index */
    const work = (index) =>
      job === "get" ? client.get(keys[index % OBJECTS]) : client.put(keys[index % OBJECTS], body);
    await pooled(job === "get" ? 2_000 : 500, 32, work);
    return { sample: () => pooled(count, atOnce, work), close: () => client.close() };
  },
};

/** @type {import("../harness.mjs").Row[]} */
export const rows = [
  {
    name: "python",
    title: "Beside the Python systems",
    store: true,
    async run(bench) {
      const python = await bench.python();
      await seed(bench.place, keys, (index) => randomBytes(4096, index + 1));
      const goals = [];
      /** @type {Record<string, import("../harness.mjs").Stats>} */
      const all = {};
      for (const { job, peer, count, atLeast } of /** @type {const} */ ([
        { job: "get", peer: "S3Cache.get", count: 200, atLeast: 5 },
        { job: "set", peer: "S3Cache.set", count: 200, atLeast: 5 },
        { job: "hit", peer: "cache_s3_based", count: 400_000, atLeast: 4 },
      ])) {
        const params = { place: bench.place, python, job, count: bench.scale(count, 50), atOnce: 1 };
        const many = { ...params, atOnce: 32 };
        const found = await bench.compare({
          module: import.meta.url,
          sides: {
            [peer]: { name: "python", params },
            [`bucketcache ${job}`]: { name: "bucketcache", params },
            ...(job !== "hit" && { [`bucketcache ${job}, 32 at once`]: { name: "bucketcache", params: many } }),
          },
          rounds: bench.rounds(9),
        });
        for (const [name, stats] of Object.entries(found)) {
          all[name] = Object.fromEntries(
            Object.entries(stats).map(([metric, stat]) => [metric, convert(stat, (ms) => ms / params.count)]),
          );
        }
        /** How many times as fast: the Python time over ours. @param {string} ours @param {string} metric @param {string} how */
        const goal = (ours, metric, how) =>
          judge({
            id: `python/${job}/${metric}${how}`,
            work: `${job === "hit" ? "A hit in memory" : `${job}, 4 KiB`}${how}`,
            against: `Python ${peer}, one process`,
            what: metric === "cpu" ? "times as fast, by CPU" : "times as fast",
            unit: "/s",
            ours: convert(figure(all, ours, metric), (ms) => 1000 / ms),
            rival: convert(figure(all, peer, metric), (ms) => 1000 / ms),
            atLeast,
          });
        goals.push(goal(`bucketcache ${job}`, "wall", ""), goal(`bucketcache ${job}`, "cpu", ""));
        if (job !== "hit") goals.push(goal(`bucketcache ${job}, 32 at once`, "wall", ", 32 at once"));
      }
      return { sides: all, goals };
    },
  },
];
