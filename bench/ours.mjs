/** The library as it was built: what users get. Another build may be named to compare two of them. */
const dist = process.env.BENCH_DIST ?? new URL("../dist", import.meta.url).href;

export const { createCache, cacheKey } = await import(`${dist}/index.js`);

export const memoryStore = async () => (await import(`${dist}/stores/memory.js`)).memoryStore();

/** @param {import("./harness.mjs").Place} place @param {object} [options] */
export async function s3Store({ bucket, endpoint, accessKeyId, secretAccessKey }, options) {
  const { s3Store } = await import(`${dist}/stores/s3.js`);
  return s3Store({ bucket, endpoint, credentials: { accessKeyId, secretAccessKey }, ...options });
}
