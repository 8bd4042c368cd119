/**
 * The five lines of the README, on your bucket when S3_BUCKET names one (S3_ENDPOINT too, when it is not on AWS), else
 * on a local S3 server for development that forgets everything when this script ends.
 *
 * Run it with: node examples/node-script.mjs
 */
import { createCache } from "bucketcache";
import { startDevServer } from "bucketcache/dev";
import { s3Store } from "bucketcache/s3";

const { S3_BUCKET, S3_ENDPOINT } = process.env;
const server = S3_BUCKET ? undefined : await startDevServer({ buckets: ["demo"] });
const store = s3Store({ bucket: S3_BUCKET || "demo", ...(server ?? (S3_ENDPOINT ? { endpoint: S3_ENDPOINT } : {})) });

const cache = createCache({ store });
const primesBelow = cache.wrap(
  (/** @type {number} */ limit) => {
    /** @type {number[]} */
    const primes = [];
    for (let n = 2; n < limit; n++) if (primes.every((p) => n % p !== 0)) primes.push(n);
    return primes;
  },
  { name: "primes-below", ttl: "1h" },
);

for (const label of ["first call", "second call"]) {
  const start = performance.now();
  const primes = await primesBelow(50_000);
  console.log(`${label}: ${primes.length} primes in ${(performance.now() - start).toFixed(2)} ms`);
}
console.log(`stored as ${primesBelow.keyOf(50_000)}`);

await cache.close();
await server?.close();
