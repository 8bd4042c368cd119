/**
 * The library as it was built: what Node and Bun get by the package's `exports`. Another build may be named to compare
 * two of them.
 */
const dist = `${process.env.BENCH_DIST ?? new URL("../dist", import.meta.url).href}/node`;

export const { createCache, cacheKey } = await import(`${dist}/index.js`);

export const memoryStore = async () => (await import(`${dist}/memory.js`)).memoryStore();

/** @param {import("./harness.mjs").Place} place @param {object} [options] */
export async function s3Store({ bucket, endpoint, accessKeyId, secretAccessKey }, options) {
  const { s3Store } = await import(`${dist}/s3.js`);
  return s3Store({ bucket, endpoint, credentials: { accessKeyId, secretAccessKey }, ...options });
}
