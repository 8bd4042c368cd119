import { createCache, type ObjectStore } from "bucketcache";
import { memoryStore } from "bucketcache/memory";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { deferred } from "./support/deferred.js";

beforeEach(() => {
  vi.stubGlobal("document", {});
  vi.stubGlobal("process", { ...process, versions: {} });
});
afterEach(() => vi.unstubAllGlobals());

test("a tab without memory tells the others what it writes", async () => {
  const store = memoryStore();
  const [one, two] = [createCache({ store, memory: false }), createCache({ store })];
  await one.set("k", 1);
  expect(await two.get("k")).toBe(1);
  await one.set("k", 2);
  await vi.waitFor(async () => expect(await two.get("k")).toBe(2));
  await one.delete("k");
  await vi.waitFor(async () => expect(await two.get("k")).toBeUndefined());
  await Promise.all([one.close(), two.close()]);
});

test("a function run anew in one tab is told to the other when the store has its result, also in the background", async () => {
  const inner = memoryStore();
  let newestWrite = deferred();
  const store: ObjectStore = {
    ...inner,
    async put(...args) {
      newestWrite = deferred();
      await newestWrite.promise;
      return inner.put(...args);
    },
  };
  let runs = 0;
  const one = createCache({ store, write: "background" });
  const two = createCache({ store: inner });
  const runHere = one.wrap(() => ++runs, { name: "shared" });
  const runThere = two.wrap(() => -1, { name: "shared" });

  await runHere();
  const settle = async () => {
    const flushed = one.flush();
    await vi.waitUntil(async () => {
      newestWrite.resolve();
      return Promise.race([flushed.then(() => true), new Promise((resolve) => setTimeout(() => resolve(false), 5))]);
    });
  };
  await settle();
  expect(await runThere()).toBe(1);

  expect(await runHere.refresh()).toBe(2);
  // The other tab asks while the write is under way, and keeps what it gets: until it is told.
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(await runThere()).toBe(1);
  await settle();
  await vi.waitFor(async () => expect(await runThere()).toBe(2));
  await one.close();
  await two.close();
});
