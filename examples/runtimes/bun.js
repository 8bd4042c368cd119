import { createCache } from "bucketcache";
import { s3Store } from "bucketcache/s3";

// Region and credentials come from the environment, as for every tool of AWS.
const cache = createCache({ store: s3Store({ bucket: "my-results" }), ttl: "1d" });
const report = cache.wrap(async (month) => ({ month, rows: 3 }), { name: "report" });

Bun.serve({
  port: process.env.PORT ?? 8000,
  async fetch(request) {
    const month = new URL(request.url).searchParams.get("month");
    return Response.json(await report(month));
  },
});
