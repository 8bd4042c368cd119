import { createCache } from "bucketcache";
import { s3Store } from "bucketcache/s3";

let report; // shared by the requests of an isolate, and with it the memory

function open(env) {
  const cache = createCache({
    store: s3Store({
      bucket: "my-results",
      endpoint: `https://${env.ACCOUNT_ID}.r2.cloudflarestorage.com`,
      region: "auto",
      credentials: { accessKeyId: env.R2_ACCESS_KEY_ID, secretAccessKey: env.R2_SECRET_ACCESS_KEY },
    }),
    ttl: "1d",
  });
  return cache.wrap(async (month) => ({ month, rows: 3 }), { name: "report", write: "background" });
}

export default {
  async fetch(request, env, context) {
    report ??= open(env);
    // Without it, work that other requests wait for dies with the request that began it, and so do background writes.
    const waitUntil = (promise) => context.waitUntil(promise);
    const month = new URL(request.url).searchParams.get("month");
    return Response.json(await report.with({ waitUntil })(month));
  },
};
