import { randomUUID } from "node:crypto";
import { beforeEach, expect, test } from "vitest";
import { inEachEngine, type Tab } from "./support/engines.js";
import { sharedSite } from "./support/site.js";

const { site } = sharedSite();

interface Shared {
  shared: ReturnType<typeof lib.open>;
}

inEachEngine((engine) => {
  let prefix: string;
  // Functions are computed once, so each try needs a place where they have not been.
  beforeEach(() => void (prefix = `tabs/${engine.name}/${randomUUID()}/`));

  const openCache = (tab: Tab) =>
    tab.run((prefix) => void Object.assign(globalThis, { shared: lib.open({ prefix }) }), prefix);
  const read = (tab: Tab, key: string) =>
    tab.run(async (key) => {
      const entry = await (globalThis as never as Shared).shared.getEntry(key);
      return entry === undefined ? "gone" : [entry.value, entry.source];
    }, key);

  test("a set or delete in one tab reaches the memory of the other, and memory of other keys stays", async () => {
    await site.cache({ prefix }).setMany([
      { key: "shared", value: "first" },
      { key: "other", value: "other" },
    ]);
    const [one, two] = [await engine.tab(site.url), await engine.tab(site.url)];
    for (const tab of [one, two]) {
      await openCache(tab);
      await read(tab, "shared");
      await read(tab, "other");
      expect(await read(tab, "shared")).toEqual(["first", "memory"]);
    }
    await one.run(() => (globalThis as never as Shared).shared.set("shared", "second"));
    expect(await read(one, "shared")).toEqual(["second", "memory"]);
    await expect.poll(() => read(two, "shared").then((seen) => seen[0])).toBe("second");
    expect(await read(two, "other")).toEqual(["other", "memory"]);
    await two.run(() => (globalThis as never as Shared).shared.delete("shared"));
    await expect.poll(() => read(one, "shared")).toBe("gone");
    expect(await read(one, "other")).toEqual(["other", "memory"]);
  });

  test("results of functions that one tab refreshes or invalidates are read anew by the other", async () => {
    const [one, two] = [await engine.tab(site.url), await engine.tab(site.url)];
    for (const [index, tab] of [one, two].entries()) {
      await tab.run(
        ({ prefix, index }) => {
          let runs = 0;
          const square = lib
            .open({ prefix })
            .wrap(async (n: number) => `${n * n} by tab ${index}, run ${++runs}`, { name: "square" });
          Object.assign(globalThis, { square });
        },
        { prefix, index },
      );
    }
    const call = (tab: Tab, method?: "refresh" | "invalidate") =>
      tab.run((method) => {
        const { square } = globalThis as never as {
          square: Record<string, (n: number) => Promise<string>> & ((n: number) => Promise<string>);
        };
        return method === null || method === undefined ? square(3) : square[method]!(3);
      }, method);
    expect(await call(one)).toBe("9 by tab 0, run 1");
    expect(await call(two)).toBe("9 by tab 0, run 1");
    await call(one, "refresh");
    await expect.poll(() => call(two)).toBe("9 by tab 0, run 2");
    await call(one, "invalidate");
    await expect.poll(() => call(two)).toBe("9 by tab 1, run 1");
    expect(await call(one)).toBe("9 by tab 1, run 1");
  });
});
