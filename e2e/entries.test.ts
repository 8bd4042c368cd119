import { beforeAll, describe, expect, test } from "vitest";
import { kindsOfValues } from "../test/support/values.js";
import { show } from "./page/show.js";
import { inEachEngine } from "./support/engines.js";
import { sharedSite } from "./support/site.js";

const { site } = sharedSite();

const KINDS = Object.entries(kindsOfValues());

inEachEngine((engine) => {
  describe.each([false, true])("entries with compress: %s", (compress) => {
    const prefix = `kinds/${engine.name}/${compress}/`;

    test("of every kind that Node wrote are the same values in the page", async () => {
      await site.cache({ prefix }).setMany(KINDS.map(([key, { value }]) => ({ key, value, compress, ttl: "1h" })));
      const tab = await engine.tab(site.url);
      const read = await tab.run(async ({ prefix, keys }) => (await lib.open({ prefix }).getMany(keys)).map(lib.show), {
        prefix,
        keys: KINDS.map(([key]) => key),
      });
      const expected = KINDS.map(([, kind]) => show("back" in kind ? kind.back : kind.value));
      expect(read).toEqual(expected);
    });

    test("of every kind that the page wrote are the same values in Node", async () => {
      const folder = `${prefix}back/`;
      const tab = await engine.tab(site.url);
      await tab.run(
        ({ prefix, compress }) => {
          const entries = Object.entries(lib.kindsOfValues());
          return lib.open({ prefix }).setMany(entries.map(([key, { value }]) => ({ key, value, compress, ttl: "1h" })));
        },
        { prefix: folder, compress },
      );
      const cache = site.cache({ prefix: folder });
      for (const [key, kind] of KINDS) {
        const entry = await cache.getEntry(key);
        expect(show(entry?.value), key).toBe(show("back" in kind ? kind.back : kind.value));
        expect(entry?.contentType, key).toBe(kind.contentType);
        expect(Number(entry?.expiresAt) - Date.now(), key).toBeGreaterThan(3_500_000);
      }
    });
  });

  test("a stream that Node wrote, plain or compressed, is read in the page as it flows, whole and in ranges", async () => {
    const cache = site.cache();
    const text = "größe,celsius\n".repeat(400_000);
    for (const compress of [false, true]) {
      await cache.set(`stream/${engine.name}/${compress}`, new Blob([text]), { compress, contentType: "text/csv" });
    }
    const tab = await engine.tab(site.url);
    const read = await tab.run(async (folder) => {
      const cache = lib.open();
      const results = [];
      for (const key of [`${folder}/false`, `${folder}/true`]) {
        const response = await cache.getResponse(key);
        results.push([response?.headers.get("content-type"), await lib.sha256((await cache.getStream(key))!)]);
        await response?.body?.cancel();
      }
      const part = await cache.getStream(`${folder}/false`, { range: { offset: 7, length: 9 } });
      return { results, part: await new Response(part).text() };
    }, `stream/${engine.name}`);
    const { createHash } = await import("node:crypto");
    const digest = createHash("sha256").update(text).digest("hex");
    expect(read.results).toEqual([
      ["text/csv", digest],
      ["text/csv", digest],
    ]);
    expect(read.part).toBe(",celsius\n");
  });

  test("a function's result is computed once, by Node or by the page, and both have it", async () => {
    const name = `square/${engine.name}`;
    const squareInNode = site.cache().wrap(async (n: number) => ({ square: n * n, by: "node" }), { name });
    await squareInNode(3);
    const tab = await engine.tab(site.url);
    const answers = await tab.run(async (name) => {
      const square = lib.open().wrap(async (n: number) => ({ square: n * n, by: "page" }), { name });
      return [await square(3), await square(4), await square(4)];
    }, name);
    expect(answers).toEqual([
      { square: 9, by: "node" },
      { square: 16, by: "page" },
      { square: 16, by: "page" },
    ]);
    expect(await squareInNode(4)).toEqual({ square: 16, by: "page" });
  });

  test("an entry has ended at the same moment in Node and in the page", async () => {
    const cache = site.cache({ deleteExpired: false });
    const key = `short/${engine.name}`;
    const tab = await engine.tab(site.url);
    await cache.set(key, 1, { ttl: 6 });
    const seen = await tab.run(async (key) => {
      const cache = lib.open({ memory: false, deleteExpired: false });
      const end = Number((await cache.getEntry(key))?.expiresAt) / 1_000;
      for (let alive = 0; ;) {
        const asked = Date.now() / 1_000;
        if ((await cache.get(key)) === undefined) return { end, alive, gone: Date.now() / 1_000 };
        alive = asked;
      }
    }, key);
    expect(seen.alive).toBeLessThan(seen.end + 1);
    expect(seen.gone).toBeGreaterThan(seen.end - 1);
    expect(await cache.get(key)).toBeUndefined();
  });

  test("the page lists, deletes and clears what is there", async () => {
    const prefix = `listed/${engine.name}/`;
    const cache = site.cache({ prefix });
    await cache.setMany(["a", "b/c", "b/ü d"].map((key) => ({ key, value: key })));
    const tab = await engine.tab(site.url);
    const keys = await tab.run(async (prefix) => {
      const cache = lib.open({ prefix });
      await cache.delete("a");
      const keys = [];
      for await (const { key } of cache.list()) keys.push(key);
      await cache.clear({ prefix: "b/" });
      return keys;
    }, prefix);
    expect(keys).toEqual(["b/c", "b/ü d"]);
    expect(await cache.getMany(["a", "b/c", "b/ü d"])).toEqual([undefined, undefined, undefined]);
  });

  describe("100 entries", () => {
    const keys = Array.from({ length: 100 }, (_, i) => `hundred/${i}`);
    beforeAll(async () => {
      await site.cache().setMany(keys.map((key) => ({ key, value: { key } })));
    });

    test("take one request to the handler and 100 GETs, then none and 100, and from memory none and none", async () => {
      const tab = await engine.tab(site.url);
      const expected = keys.map((key) => ({ key }));
      const counts = () => [site.batches.length, site.sent("GET").length, site.sent().length];
      await tab.run(() => void Object.assign(globalThis, { cold: lib.open({ memory: false }), warm: lib.open() }));
      const read = (name: "cold" | "warm") =>
        tab.run(
          ({ keys, name }) => {
            const cache = (globalThis as unknown as Record<string, ReturnType<typeof lib.open>>)[name]!;
            return Promise.all(keys.map((key) => cache.get(key)));
          },
          { keys, name },
        );
      expect(await read("cold")).toEqual(expected);
      expect(counts()).toEqual([1, 100, 100]);
      site.reset();
      expect(await read("cold")).toEqual(expected);
      expect(counts()).toEqual([0, 100, 100]);
      expect(await read("warm")).toEqual(expected);
      site.reset();
      expect(await read("warm")).toEqual(expected);
      expect(counts()).toEqual([0, 0, 0]);
    });

    test("need no preflight, whatever their origin", async () => {
      const tab = await engine.tab(site.url);
      await tab.run((keys) => lib.open().getMany(keys), keys.slice(0, 5));
      expect(site.proxy.count("OPTIONS")).toBe(0);
      expect(site.sent("GET")).toHaveLength(5);
    });
  });
});
