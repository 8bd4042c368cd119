import { createCache, type ObjectStore } from "bucketcache";
import { memoryStore } from "bucketcache/memory";
import { afterEach, expect, test, vi } from "vitest";

afterEach(() => vi.unstubAllGlobals());

const inPage = () => {
  vi.stubGlobal("document", {});
  vi.stubGlobal("process", { ...process, versions: {} });
};

/** Whether the second read of an entry of so many bytes is conditional. */
async function isConditional(size: number): Promise<boolean> {
  const inner = memoryStore();
  const conditions: (string | undefined)[] = [];
  const store: ObjectStore = {
    ...inner,
    get: (key, options) => {
      conditions.push(options?.ifNoneMatch);
      return inner.get(key, options);
    },
  };
  const cache = createCache({ store, compress: false, memory: { revalidateAfter: "1ms" } });
  await cache.set("k", new Uint8Array(size));
  await vi.waitUntil(async () => {
    expect(await cache.get<Uint8Array>("k")).toHaveLength(size);
    return conditions.length > 0;
  });
  return conditions[0] !== undefined;
}

test("a page checks a small entry by a plain GET, since a condition would cost a preflight request", async () => {
  inPage();
  expect(await isConditional(65_535)).toBe(false);
  expect(await isConditional(65_536)).toBe(true);
});

test("elsewhere every check is conditional", async () => {
  expect(await isConditional(10)).toBe(true);
});
