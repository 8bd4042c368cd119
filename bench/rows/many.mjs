/** A thousand entries at once. */
import { PREFIX, sdkClient, seed } from "../clients.mjs";
import { figure, judge, randomBytes } from "../harness.mjs";

const SIZE = 4096;
const COUNT = 1000;
const keys = Array.from({ length: COUNT }, (_, index) => `many/object-${index}`);

/** @type {Record<string, (place: import("../harness.mjs").Place) => Promise<import("../harness.mjs").Side>>} */
export const sides = {
  async getMany(place) {
    const { createCache, s3Store } = await import("../ours.mjs");
    const cache = createCache({ store: await s3Store(place), memory: false, prefix: PREFIX });
    return {
      async sample() {
        const values = await cache.getMany(keys);
        if (values.some((value) => /** @type {any} */ (value)?.byteLength !== SIZE))
          throw new Error("a value is missing");
      },
      close: () => cache.close(),
    };
  },

  async "Promise.all"(place) {
    const { GetObjectCommand } = await import("@aws-sdk/client-s3");
    const client = await sdkClient(place);
    return {
      async sample() {
        await Promise.all(
          keys.map(async (key) => {
            const { Body } = await client.send(new GetObjectCommand({ Bucket: place.bucket, Key: PREFIX + key }));
            return /** @type {any} */ (Body).transformToByteArray();
          }),
        );
      },
    };
  },
};

/** @type {import("../harness.mjs").Row[]} */
export const rows = [
  {
    name: "get-many",
    title: "getMany of 1,000 × 4 KiB",
    store: true,
    async run(bench) {
      await seed(bench.place, keys, (index) => randomBytes(SIZE, index + 1));
      const found = await bench.compare({
        module: import.meta.url,
        sides: { getMany: { params: bench.place }, "Promise.all": { params: bench.place } },
        rounds: bench.rounds(11),
      });
      const common = { work: this.title, against: "Promise.all on client-s3", unit: "ms", atMost: 0.4 };
      /** @param {string} metric @param {string} what */
      const goal = (metric, what) =>
        judge({
          ...common,
          id: `get-many/${metric}`,
          what,
          ours: figure(found, "getMany", metric),
          rival: figure(found, "Promise.all", metric),
        });
      return { sides: found, goals: [goal("wall", "time"), goal("cpu", "CPU")] };
    },
  },
];
