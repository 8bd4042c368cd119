import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright";
import { expect, test } from "vitest";
import { inPlaywright } from "./support/engines.js";
import { complaints, playground, ready, says } from "./support/playground.js";

const place = playground();

/** Taken anew with BUCKETCACHE_SCREENSHOTS=1, so that not every run of the tests changes files that git knows. */
const IMAGES = join(import.meta.dirname, "../docs/images");
const LARGEST = 200_000;

const SCENES = [
  { name: "playground-light", colorScheme: "light", viewport: { width: 1280, height: 860 } },
  { name: "playground-dark", colorScheme: "dark", viewport: { width: 1280, height: 860 } },
  { name: "playground-phone", colorScheme: "light", viewport: { width: 390, height: 844 }, isMobile: true },
] as const;

inPlaywright(
  (engine) => {
    test.each(SCENES)("looks well as $name", async ({ name, ...options }) => {
      await place.cache.set("reports/2026-11.json", { rows: [1, 2, 3] }, { ttl: "6h" });
      await place.cache.set("exports/stations.csv", "station,celsius\n".repeat(20_000), { ttl: "1d", compress: true });
      const { page } = await engine.tab(place.url, { ...options, reducedMotion: "reduce" });
      const trouble = complaints(page);
      await ready(page);
      await page.getByTestId("choice").selectOption("IE");
      for (const answer of [/^computed/, /^from memory/]) await call(page, answer);
      await page.getByTestId("forget").click();
      await call(page, /^from the bucket/);
      await page.getByTestId("call-server").click();
      await says(page.getByTestId("there-result"), /^from/);
      await says(page.getByTestId("entries-note"), /^3, /);
      expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
      expect(trouble.filter((text) => !text.includes("404"))).toEqual([]);
      await page.evaluate(() => scrollTo(0, 0));
      const image = await page.screenshot();
      expect(image.length).toBeLessThan(LARGEST);
      const file = join(IMAGES, `${name}.png`);
      if (existsSync(file) && process.env["BUCKETCACHE_SCREENSHOTS"] !== "1") return;
      mkdirSync(IMAGES, { recursive: true });
      writeFileSync(file, image);
    });
  },
  // Its pictures are in the docs: of one engine, so that they are alike.
  ["chromium"],
);

async function call(page: Page, answer: RegExp): Promise<void> {
  await page.getByTestId("call-here").click();
  await says(page.getByTestId("here-result"), answer);
}

inPlaywright(
  (engine) => {
    test.each(["light", "dark"] as const)("the theme follows the system into %s", async (colorScheme) => {
      const { page } = await engine.tab(place.url, { colorScheme });
      await ready(page);
      expect(await ground(page)).toBe({ light: "rgb(244, 245, 242)", dark: "rgb(18, 21, 26)" }[colorScheme]);
    });
  },
  // Firefox over BiDi cannot be told what the system has.
  ["chromium"],
);

inPlaywright((engine) => {
  const setTheme = async (page: Page, theme: "light" | "dark") => {
    const toggle = page.getByTestId("theme");
    for (let clicks = 0; (await toggle.textContent()) !== `Theme: ${theme}`; clicks++) {
      expect(clicks).toBeLessThan(3);
      await toggle.click();
    }
  };

  test("the button sets the theme, for later visits too", async () => {
    const { page } = await engine.tab(place.url);
    await ready(page);
    await setTheme(page, "light");
    const light = await ground(page);
    await setTheme(page, "dark");
    const dark = await ground(page);
    expect(dark).not.toBe(light);
    await page.reload();
    await says(page.getByTestId("theme"), "Theme: dark");
    expect(await ground(page)).toBe(dark);
  });

  test.each(["light", "dark"] as const)(
    "all text is legible in the %s theme: 4.5 to 1, or 3 to 1 when large",
    async (theme) => {
      await place.cache.set("reports/2026-11.json", { rows: [1, 2, 3] }, { ttl: "6h" });
      const { page } = await engine.tab(place.url);
      await ready(page);
      await setTheme(page, theme);
      await page.getByTestId("choice").selectOption("LU");
      await call(page, /^computed/);
      await says(page.getByTestId("entries-note"), /^2, /);
      expect(await page.evaluate(illegible)).toEqual([]);
    },
  );
});

function ground(page: Page): Promise<string> {
  return page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
}

/** Runs in the page: texts whose colour is too near to that of their ground. */
function illegible(): string[] {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true })!;
  const paint = (...colors: string[]): number[] => {
    canvas.clearRect(0, 0, 1, 1);
    for (const color of colors) {
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (rgb: number[]): number => {
    const [r = 0, g = 0, b = 0] = rgb.map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const bad: string[] = [];
  for (const element of document.querySelectorAll<HTMLElement>("body *")) {
    const text = [...element.childNodes]
      .filter((node) => node.nodeType === Node.TEXT_NODE)
      .map((node) => node.nodeValue?.trim())
      .join("");
    if (text === "" || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.matches(".visually-hidden, .skip, option") || element.closest(":disabled, svg, noscript") !== null)
      continue;
    const grounds = [];
    for (let at: Element | null = element; at !== null; at = at.parentElement)
      grounds.unshift(getComputedStyle(at).backgroundColor);
    const style = getComputedStyle(element);
    const [lighter = 0, darker = 0] = [paint("white", ...grounds), paint("white", ...grounds, style.color)]
      .map(luminance)
      .sort((a, b) => b - a);
    const ratio = (lighter + 0.05) / (darker + 0.05);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) bad.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return bad;
}
