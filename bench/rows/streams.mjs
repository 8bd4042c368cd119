/** Half a gibibyte up and down, and one large value. */
import { PREFIX, sdkClient } from "../clients.mjs";
import { convert, figure, judge, randomBytes } from "../harness.mjs";

const MIB = 1 << 20;
const PART = 8 * MIB;
const CHUNK = 64 * 1024;

/** @typedef {{ place: import("../harness.mjs").Place, size: number }} Params */

/** Every chunk is new, as those of a socket or a file are. @param {number} size */
function* chunks(size) {
  const pattern = randomBytes(CHUNK);
  for (let left = size; left > 0; left -= CHUNK) yield pattern.slice(0, Math.min(left, CHUNK));
}

/** @param {number} size */
function streamOf(size) {
  const iterator = chunks(size);
  return new ReadableStream({
    pull(controller) {
      const { done, value } = iterator.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });
}

/** How far the process grew at its peak. */
function growth() {
  const before = process.memoryUsage.rss();
  return () => ({ growth: process.resourceUsage().maxRSS / 1024 - before / MIB });
}

/** @param {Params} params */
async function ours({ place }) {
  const { createCache, s3Store } = await import("../ours.mjs");
  return createCache({ store: await s3Store(place), memory: false, prefix: PREFIX, compress: false });
}

/** @type {Record<string, (params: Params) => Promise<import("../harness.mjs").Side>>} */
export const sides = {
  async "set of a stream"(params) {
    const cache = await ours(params);
    return {
      async sample() {
        const grown = growth();
        await cache.set("stream/ours", streamOf(params.size));
        return grown();
      },
    };
  },

  async "lib-storage"({ place, size }) {
    const { Upload } = await import("@aws-sdk/lib-storage");
    const { Readable } = await import("node:stream");
    const client = await sdkClient(place);
    return {
      async sample() {
        const grown = growth();
        const params = { Bucket: place.bucket, Key: "stream/theirs", Body: Readable.from(chunks(size)) };
        await new Upload({ client, params, partSize: PART, queueSize: 4 }).done();
        return grown();
      },
    };
  },

  async getStream(params) {
    const cache = await ours(params);
    return {
      async sample() {
        const grown = growth();
        const stream = await cache.getStream("stream/down");
        if (stream === undefined) throw new Error("nothing to read");
        await drain(stream, params.size);
        return grown();
      },
    };
  },

  async "client-s3, web stream"({ place, size }) {
    const get = await getObject(place, "stream/down");
    return {
      async sample() {
        const grown = growth();
        await drain((await get()).transformToWebStream(), size);
        return grown();
      },
    };
  },

  async "client-s3, Node stream"({ place, size }) {
    const get = await getObject(place, "stream/down");
    return {
      async sample() {
        const grown = growth();
        let read = 0;
        for await (const chunk of await get()) read += chunk.byteLength;
        if (read !== size) throw new Error(`read ${read} bytes`);
        return grown();
      },
    };
  },

  async get(params) {
    const cache = await ours(params);
    return {
      async sample() {
        const value = /** @type {Uint8Array} */ (await cache.get("large"));
        if (value.byteLength !== params.size) throw new Error(`read ${value.byteLength} bytes`);
      },
    };
  },

  async GetObject({ place, size }) {
    const get = await getObject(place, "large");
    return {
      async sample() {
        const value = await (await get()).transformToByteArray();
        if (value.byteLength !== size) throw new Error(`read ${value.byteLength} bytes`);
      },
    };
  },
};

/** @param {import("../harness.mjs").Place} place @param {string} key @returns {Promise<() => Promise<any>>} */
async function getObject(place, key) {
  const { GetObjectCommand } = await import("@aws-sdk/client-s3");
  const client = await sdkClient(place);
  return async () => (await client.send(new GetObjectCommand({ Bucket: place.bucket, Key: PREFIX + key }))).Body;
}

/** @param {ReadableStream<Uint8Array>} stream @param {number} size */
async function drain(stream, size) {
  let read = 0;
  const reader = stream.getReader();
  for (let step; !(step = await reader.read()).done;) read += step.value.byteLength;
  if (read !== size) throw new Error(`read ${read} bytes`);
}

/** Puts the object that the downloads read. @param {Params} params @param {string} key */
async function fill(params, key) {
  const cache = await ours(params);
  await cache.set(key, streamOf(params.size));
  await cache.close();
}

/** Speeds beside times. @param {Record<string, import("../harness.mjs").Stats>} found @param {number} size */
function withSpeed(found, size) {
  for (const stats of Object.values(found)) {
    if (stats.wall) stats.speed = convert(stats.wall, (ms) => size / MIB / (ms / 1000));
  }
  return found;
}

/**
 * @param {import("../harness.mjs").Bench} bench
 * @param {string[]} names
 * @param {number} size
 * @param {{ rounds: number, fresh: boolean }} how
 */
async function measure(bench, names, size, { rounds, fresh }) {
  const params = { place: bench.place, size };
  const found = await bench.compare({
    module: import.meta.url,
    sides: Object.fromEntries(names.map((name) => [name, { params }])),
    rounds: bench.rounds(rounds),
    fresh,
  });
  return withSpeed(found, size);
}

/** @type {import("../harness.mjs").Row[]} */
export const rows = [
  {
    name: "stream-up",
    title: "512 MiB stream up",
    store: true,
    async run(bench) {
      const found = await measure(bench, ["set of a stream", "lib-storage"], bench.scale(512, 32) * MIB, {
        rounds: 5,
        fresh: true,
      });
      const ours = "set of a stream";
      return {
        sides: found,
        goals: [
          judge({
            id: "stream-up/speed",
            work: this.title,
            against: "lib-storage",
            what: "speed",
            unit: "MiB/s",
            ours: figure(found, ours, "speed"),
            rival: figure(found, "lib-storage", "speed"),
            atLeast: 1.5,
          }),
          judge({
            id: "stream-up/growth",
            work: this.title,
            against: "",
            what: "growth at its peak",
            unit: "MiB",
            ours: figure(found, ours, "growth"),
            rival: undefined,
            atMost: 96,
          }),
        ],
      };
    },
  },
  {
    name: "stream-down",
    title: "512 MiB stream down",
    store: true,
    async run(bench) {
      const size = bench.scale(512, 32) * MIB;
      await fill({ place: bench.place, size }, "stream/down");
      const web = "client-s3, web stream";
      const node = "client-s3, Node stream";
      const found = await measure(bench, ["getStream", web, node], size, { rounds: 5, fresh: true });
      const common = { work: this.title, what: "speed", unit: "MiB/s", ours: figure(found, "getStream", "speed") };
      return {
        sides: found,
        goals: [
          judge({ ...common, id: "stream-down/web", against: web, rival: figure(found, web, "speed"), atLeast: 1.5 }),
          judge({ ...common, id: "stream-down/node", against: node, rival: figure(found, node, "speed"), atLeast: 1 }),
        ],
      };
    },
  },
  {
    name: "get-large",
    title: "get of one 64 MiB object",
    store: true,
    async run(bench) {
      const size = 64 * MIB;
      await fill({ place: bench.place, size }, "large");
      const found = await measure(bench, ["get", "GetObject"], size, { rounds: 11, fresh: false });
      return {
        sides: found,
        goals: [
          judge({
            id: "get-large",
            work: this.title,
            against: "client-s3",
            what: "speed",
            unit: "MiB/s",
            ours: figure(found, "get", "speed"),
            rival: figure(found, "GetObject", "speed"),
            atLeast: 1.5,
          }),
        ],
      };
    },
  },
];
