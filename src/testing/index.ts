/**
 * Tools for authors of stores, and for tests that use one: the promises of an `ObjectStore` as tests for any runner, a store
 * that fails on demand, and a `fetch` that gives any S3 endpoint the quirks of other stores.
 *
 * @module bucketcache/testing
 */
export { storeConformance, type ConformanceOptions, type Runner, type StoreLimit } from "./conformance.js";
export { faultyStore, type Fault, type FaultyStore } from "./faulty.js";
export { quirkyFetch, type QuirkyFetch, type QuirkyRequest, type Quirks } from "./quirky-fetch.js";
