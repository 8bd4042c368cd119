// app/api/reports/[month]/route.js
import { createCache } from "bucketcache";
import { s3Store } from "bucketcache/s3";

// With its region: `next build` imports this module, too, and there the environment may name none.
const cache = createCache({ store: s3Store({ bucket: "my-results", region: "us-east-1" }), ttl: "1d" });
// `replace`: in development this module is loaded again after every change.
const report = cache.wrap(async (month) => ({ month, rows: 3 }), { name: "report", replace: true });

export async function GET(request, { params }) {
  const { month } = await params;
  return Response.json(await report(month));
}
