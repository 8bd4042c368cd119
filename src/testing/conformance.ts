import type { ObjectStore } from "../types.js";
import { each } from "./expect.js";
import { listing } from "./listing.js";
import { optional } from "./optional.js";
import { reads } from "./reads.js";
import { writes } from "./writes.js";

/** The test functions of any runner: Vitest, node:test, Bun, Deno. */
export interface Runner {
  /** Groups the tests that `body` registers. */
  describe(name: string, body: () => void): void;
  /** Registers a test, which fails when it throws or rejects. */
  test(name: string, body: () => Promise<void> | void): void;
}

/**
 * A promise that a store cannot keep, and says so:
 *
 * - `"keys below keys"`: no object can lie below another (`a/b` below `a`), as on a file system.
 * - `"backslashes"`: a backslash in a key is a slash, or is refused.
 */
export type StoreLimit = "keys below keys" | "backslashes";

/** Options of {@link storeConformance}. */
export interface ConformanceOptions {
  /**
   * Limits of the store. The promise that each of them breaks is left out, and all others hold.
   *
   * @default []
   */
  limits?: readonly StoreLimit[];
}

/**
 * Registers one promise of a store: its name states it, and `body` shows it. `prefix` is the test's own. `limit` is the
 * one that excuses a store from it; no other promise may depend on what it breaks.
 */
export type Promised = (
  name: string,
  body: (store: ObjectStore, prefix: string) => Promise<void>,
  limit?: StoreLimit,
) => void;

/**
 * Registers, with your runner, every promise that a store must keep, each as one test. Members that a store may leave out
 * are checked where it has them. Requests that a `signer` signs are sent with the global `fetch`.
 *
 * `makeStore` is called once per test and may return the same store each time: every test keeps to keys of its own under
 * `conformance/`, and removes them. Closing the store is left to you. Allow 30 seconds a test for a store on a network.
 * One promise is left open: a store may ignore `ifMatch` on `delete`, as MinIO does.
 *
 * @example
 * ```ts
 * import { describe, test } from "node:test"; // or "vitest"
 * import { memoryStore } from "bucketcache/memory"; // or your own
 * import { storeConformance } from "bucketcache/testing";
 *
 * storeConformance({ describe, test }, async () => memoryStore());
 * ```
 */
export function storeConformance(
  runner: Runner,
  makeStore: () => Promise<ObjectStore>,
  { limits = [] }: ConformanceOptions = {},
): void {
  const promise: Promised = (name, body, limit) => {
    if (limit !== undefined && limits.includes(limit)) return;
    runner.test(name, async () => {
      const store = await makeStore();
      // Not randomUUID, which plain-http pages lack.
      const prefix = `conformance/${Date.now().toString(36)}${Math.random().toString(36).slice(2)}/`;
      try {
        await body(store, prefix);
      } finally {
        await tidy(store, prefix).catch(() => {});
      }
    });
  };
  runner.describe("an object store", () => {
    reads(promise);
    writes(promise);
    listing(promise);
    optional(promise);
  });
}

// An error here was told by a test already, or is none of its business.
async function tidy(store: ObjectStore, prefix: string): Promise<void> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) {
    // A store whose listing is wrong must not make us delete what is not ours, or go on for ever.
    if (key.startsWith(prefix)) keys.push(key);
    if (keys.length > 5_000) break;
  }
  await each(keys, (key) => store.delete(key));
}
