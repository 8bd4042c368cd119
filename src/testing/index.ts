/**
 * Tools for authors of stores, and for tests that use one: the promises of an `ObjectStore` as tests for any runner, and a
 * store that fails on demand.
 *
 * @module bucketcache/testing
 */
export { storeConformance, type Runner } from "./conformance.js";
export { faultyStore, type Fault, type FaultyStore } from "./faulty.js";
