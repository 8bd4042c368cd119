/**
 * For those who write a store, or test against one: the promises of an `ObjectStore` as tests for any runner, and a
 * store that fails on demand.
 *
 * @module bucketcache/testing
 */
export { storeConformance, type Runner } from "./conformance.js";
export { faultyStore, type Fault, type FaultyStore } from "./faulty.js";
