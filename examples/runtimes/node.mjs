import { createCache } from "bucketcache";
import { s3Store } from "bucketcache/s3";

// Region and credentials come from the environment, as for every tool of AWS.
const cache = createCache({ store: s3Store({ bucket: "my-results" }), ttl: "1d" });
const report = cache.wrap(async (month) => ({ month, rows: 3 }), { name: "report" });

console.log(await report("2026-11"));
await cache.close();
