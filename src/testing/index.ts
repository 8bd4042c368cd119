/**
 * For those who write a store, or test against one: the promises of an `ObjectStore` as tests for any runner, and a
 * store that fails on demand, and a `fetch` that makes any S3 endpoint as strange as some stores are.
 *
 * @module bucketcache/testing
 */
export { storeConformance, type Runner } from "./conformance.js";
export { faultyStore, type Fault, type FaultyStore } from "./faulty.js";
export { quirkyFetch, type QuirkyFetch, type QuirkyRequest, type Quirks } from "./quirky-fetch.js";
