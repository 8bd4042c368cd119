/** How soon a new process has a value: what a function on demand, a cron job or a command line waits for. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { seed } from "../clients.mjs";
import { figure, judge, randomBytes } from "../harness.mjs";

const run = promisify(execFile);
const KEY = "first/value";

/** @param {{ script: string, place: import("../harness.mjs").Place }} params @returns {import("../harness.mjs").Side} */
const processSide = ({ script, place }) => ({
  // The time that counts is that within the new process, from its start to the value in hand.
  async sample() {
    const file = fileURLToPath(new URL(`../scripts/${script}.mjs`, import.meta.url));
    const env = { ...process.env, BENCH_PLACE: JSON.stringify(place) };
    return JSON.parse((await run(process.execPath, [file, KEY], { env })).stdout);
  },
});

/** @type {Record<string, (params: any) => import("../harness.mjs").Side>} */
export const sides = { process: processSide };

/** @type {import("../harness.mjs").Row[]} */
export const rows = [
  {
    name: "first-value",
    title: "First value in a fresh process",
    store: true,
    async run(bench) {
      await seed(bench.place, [KEY], () => randomBytes(4096));
      /** @param {string} script */
      const side = (script) => ({ name: "process", params: { script, place: bench.place } });
      const found = await bench.compare({
        module: import.meta.url,
        sides: { bucketcache: side("first-value"), "client-s3": side("first-value-sdk") },
        rounds: bench.rounds(15),
        warmUp: 2,
      });
      const common = { work: this.title, against: "client-s3", unit: "ms", atMost: 0.5 };
      /** @param {string} metric @param {string} what */
      const goal = (metric, what) =>
        judge({
          ...common,
          id: `first-value/${metric}`,
          what,
          ours: figure(found, "bucketcache", metric),
          rival: figure(found, "client-s3", metric),
        });
      return { sides: found, goals: [goal("wall", "time"), goal("cpu", "CPU")] };
    },
  },
];
