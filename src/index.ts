/**
 * A two-level cache: a bounded LRU in memory in front of a bucket on S3 or any S3-compatible store. It works the same in
 * Node, edge runtimes and browsers.
 *
 * @module bucketcache
 */
export { createCache } from "./cache/cache.js";
export { cached } from "./cache/wrap.js";
export { cacheKey } from "./data/key.js";
export { BucketCacheError, type ErrorCode, type ErrorDetails, isBucketCacheError, type RetryHint } from "./errors.js";
export type * from "./types.js";
