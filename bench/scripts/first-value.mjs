/** A process that reads one value and ends: `node first-value.mjs KEY`, with the place in the environment. */
const place = JSON.parse(process.env.BENCH_PLACE ?? "{}");
const { createCache, s3Store } = await import("../ours.mjs");
const cache = createCache({ store: await s3Store(place) });
const value = await cache.get(process.argv[2]);
if (/** @type {any} */ (value)?.byteLength !== 4096) throw new Error("no value");
const { user, system } = process.cpuUsage();
process.stdout.write(JSON.stringify({ wall: performance.now(), cpu: (user + system) / 1000 }));
await cache.close();
