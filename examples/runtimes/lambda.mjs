import { createCache } from "bucketcache";
import { s3Store } from "bucketcache/s3";

// Outside of the handler: memory and connections live as long as the instance.
const cache = createCache({ store: s3Store({ bucket: "my-results" }), ttl: "1d" });
const report = cache.wrap(async (month) => ({ month, rows: 3 }), { name: "report" });

export async function handler(event) {
  // Writes are awaited: Lambda freezes the instance as soon as there is an answer.
  const value = await report(event.pathParameters.month);
  return { statusCode: 200, headers: { "content-type": "application/json" }, body: JSON.stringify(value) };
}
