import { expect, test } from "vitest";
import { inEachEngine, type Tab } from "./support/engines.js";
import { playground } from "./support/playground.js";

const place = playground();

// WebKitGTK is driven by WebDriver here, which has no locators: a script in the page does what a user would.
inEachEngine(
  (engine) => {
    const text = (tab: Tab, id: string) =>
      tab.run((id) => document.querySelector(`[data-testid="${id}"]`)?.textContent ?? "", id);
    const click = (tab: Tab, id: string) =>
      tab.run((id) => document.querySelector<HTMLElement>(`[data-testid="${id}"]`)!.click(), id);
    const says = (tab: Tab, id: string, what: RegExp) => expect.poll(() => text(tab, id)).toMatch(what);

    test("the playground calls through function, memory and bucket, shares with Node, and hands off", async () => {
      await place.cache.set("reports/by-node", { country: "PT" }, { ttl: "10m" });
      const tab = await engine.tab(place.url);
      await says(tab, "entries-note", /^1, /);
      await tab.run(() => {
        document.querySelector<HTMLSelectElement>('[data-testid="choice"]')!.value = "LU";
      });
      await click(tab, "call-here");
      await says(tab, "here-result", /^computed/);
      await click(tab, "call-here");
      await says(tab, "here-result", /^from memory/);
      await click(tab, "forget");
      await click(tab, "call-here");
      await says(tab, "here-result", /^from the bucket/);
      await click(tab, "call-server");
      await says(tab, "there-result", /^from the bucket/);
      await click(tab, "generate");
      await says(tab, "uploads", /25\.\d MB stored as .*gzip/);
      expect(await place.cache.has("uploads/measurements.csv")).toBe(true);
      await says(tab, "entry-list", /uploads\/measurements\.csv.*reports\/by-node/s);
      await tab.run(() => document.querySelector<HTMLElement>('[aria-label="Hand off reports/by-node"]')!.click());
      const link = () => tab.run(() => document.querySelector<HTMLInputElement>('[data-testid="handoff-link"]')!.value);
      await expect.poll(link).toMatch(/#grant=/);
      const second = await engine.tab(await link());
      await says(second, "shared-content", /"country": "PT"/);
    });
  },
  ["webkit"],
);
