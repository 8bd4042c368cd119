/** Entries of 4 KiB, read from and written to MinIO, one at a time and 32 at once. */
import { clients, seed } from "../clients.mjs";
import { convert, figure, judge, pooled, randomBytes } from "../harness.mjs";
import { barPlot } from "../plot.mjs";

const SIZE = 4096;
const OBJECTS = 200;
const keys = Array.from({ length: OBJECTS }, (_, index) => `bench/object-${index}`);

/** @typedef {{ place: import("../harness.mjs").Place, client: string, operation: "get" | "set", count: number }} Params */

/** @type {Record<string, (params: Params) => Promise<import("../harness.mjs").Side>>} */
export const sides = {
  async object({ place, client: name, operation, count }) {
    const make = clients[name];
    if (make === undefined) throw new Error(`no client ${name}`);
    const client = await make(place);
    const body = randomBytes(SIZE);
    /** @param {number} index */
    const get = async (index) => {
      const { byteLength } = await client.get(keys[index % OBJECTS] ?? "");
      if (byteLength !== SIZE) throw new Error(`${name} read ${byteLength} bytes`);
    };
    /** @param {number} index */
    const set = (index) => client.put(`bench/written/${name}-${index % OBJECTS}`, body);
    const work = operation === "get" ? get : set;
    // Connections and compiled code, for as many as will be at work at once.
    await pooled(operation === "get" ? 2_000 : 500, 32, work);
    return {
      sample: ({ atOnce }) => pooled(count, atOnce, work),
      close: () => void client.close?.(),
    };
  },
};

/**
 * @param {import("../harness.mjs").Bench} bench
 * @param {"get" | "set"} operation
 * @param {string[]} names
 * @param {number} atOnce
 * @param {string} [runtime]
 */
async function measure(bench, operation, names, atOnce, runtime) {
  const count = bench.scale(atOnce === 1 ? 200 : 640, 64);
  const found = await bench.compare({
    module: import.meta.url,
    sides: Object.fromEntries(
      names.map((client) => [
        client,
        { name: "object", params: { place: bench.place, client, operation, count }, ...(runtime && { runtime }) },
      ]),
    ),
    rounds: bench.rounds(11),
    options: { atOnce },
  });
  // A request's share.
  return Object.fromEntries(
    Object.entries(found).map(([name, stats]) => [
      name,
      Object.fromEntries(Object.entries(stats).map(([metric, stat]) => [metric, convert(stat, (ms) => ms / count)])),
    ]),
  );
}

/** @param {Record<string, import("../harness.mjs").Stats>} found @param {string} suffix */
const labelled = (found, suffix) =>
  Object.fromEntries(Object.entries(found).map(([name, stats]) => [name + suffix, stats]));

const OURS = "bucketcache";
/** Names of the bare transports below us and the rivals: no client can cost less. */
const FLOOR = "node:http, signed before";
const FLOOR_ON_BUN = "fetch, signed before";

/** @type {import("../harness.mjs").Row[]} */
export const rows = [
  {
    name: "store-get",
    title: "A hit in the store, 4 KiB",
    store: true,
    async run(bench) {
      await seed(bench.place, keys, (index) => randomBytes(SIZE, index + 1));
      const names = [OURS, "client-s3", "s3mini", "aws4fetch", FLOOR];
      const alone = await measure(bench, "get", names, 1);
      const many = await measure(bench, "get", names, 32);
      /** @param {typeof alone} found @param {string} rival @param {string} metric @param {string} how @param {number} atMost */
      const goal = (found, rival, metric, how, atMost) =>
        judge({
          id: `store-get/${rival}/${metric}/${how}`,
          work: `${this.title}, ${how}`,
          against: rival,
          what: metric === "cpu" ? "CPU" : "time",
          unit: "ms",
          ours: figure(found, OURS, metric),
          rival: figure(found, rival, metric),
          atMost,
        });
      const goals = [
        goal(alone, "client-s3", "cpu", "one at a time", 0.35),
        goal(many, "client-s3", "cpu", "32 at once", 0.35),
        goal(many, "client-s3", "wall", "32 at once", 0.5),
        goal(alone, "s3mini", "cpu", "one at a time", 1),
        goal(many, "s3mini", "cpu", "32 at once", 1),
        goal(alone, "aws4fetch", "cpu", "one at a time", 1),
        goal(many, "aws4fetch", "cpu", "32 at once", 1),
      ];
      const found = { ...labelled(alone, ", one at a time"), ...labelled(many, ", 32 at once") };
      const plots = [
        {
          name: "store-get",
          svg: barPlot({
            title: "CPU of reading 4 KiB from MinIO, 32 at once",
            unit: "ms",
            bars: names.map((name) => ({ name, value: figure(many, name, "cpu").median, ours: name === OURS })),
          }),
        },
      ];
      const bun = bench.bun();
      if (bun === undefined)
        return { sides: found, goals, plots, notes: ["Bun is not installed: its own client was not measured."] };
      const aloneOnBun = await measure(bench, "get", [OURS, "bun", FLOOR_ON_BUN], 1, bun);
      const manyOnBun = await measure(bench, "get", [OURS, "bun", FLOOR_ON_BUN], 32, bun);
      for (const [onBun, how] of /** @type {const} */ ([
        [aloneOnBun, "one at a time"],
        [manyOnBun, "32 at once"],
      ])) {
        goals.push(goal(onBun, "bun", "cpu", `${how}, on Bun`, 1));
        Object.assign(found, labelled(onBun, `, ${how}, on Bun`));
      }
      return { sides: found, goals, plots };
    },
  },
  {
    name: "store-set",
    title: "A write, 4 KiB",
    store: true,
    async run(bench) {
      const names = [OURS, "client-s3", "s3mini"];
      const alone = await measure(bench, "set", names, 1);
      const many = await measure(bench, "set", names, 32);
      const goals = [];
      for (const [found, how] of /** @type {const} */ ([
        [alone, "one at a time"],
        [many, "32 at once"],
      ])) {
        for (const [rival, atMost] of /** @type {const} */ ([
          ["client-s3", 0.5],
          ["s3mini", 1],
        ])) {
          goals.push(
            judge({
              id: `store-set/${rival}/cpu/${how}`,
              work: `${this.title}, ${how}`,
              against: rival,
              what: "CPU",
              unit: "ms",
              ours: figure(found, OURS, "cpu"),
              rival: figure(found, rival, "cpu"),
              atMost,
            }),
          );
        }
      }
      return { sides: { ...labelled(alone, ", one at a time"), ...labelled(many, ", 32 at once") }, goals };
    },
  },
];
