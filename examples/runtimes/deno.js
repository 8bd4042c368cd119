import { createCache } from "bucketcache";
import { s3Store } from "bucketcache/s3";

// Region and credentials come from the environment: deno run --allow-net --allow-env
const cache = createCache({ store: s3Store({ bucket: "my-results" }), ttl: "1d" });
const report = cache.wrap(async (month) => ({ month, rows: 3 }), { name: "report" });

Deno.serve({ port: Number(Deno.env.get("PORT") ?? 8000) }, async (request) => {
  const month = new URL(request.url).searchParams.get("month");
  return Response.json(await report(month));
});
