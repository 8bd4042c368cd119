/** A page in Chromium that reads entries straight from the bucket, through URLs that were signed for it. */
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { PREFIX } from "../clients.mjs";
import { figure, judge, pooled, statsOf } from "../harness.mjs";

const COUNT = 200;
const keys = Array.from({ length: COUNT }, (_, index) => `page/entry-${index}`);

/** The page's code: the published files, bundled as an application would. @param {string} dist */
async function bundle(dist) {
  const { build } = await import("esbuild");
  const folder = fileURLToPath(new URL(`${dist}/`, import.meta.url));
  const { outputFiles } = await build({
    stdin: {
      contents: `
        import { createCache } from "./index.js";
        import { presignedStore } from "./stores/presigned.js";
        window.openEntries = (grants, keys) => {
          const cache = createCache({ store: presignedStore({ grants }), memory: false });
          const check = (values) => {
            if (values.some((value) => value === undefined || value.places.length !== 80)) throw new Error("a value is missing");
          };
          window.sides = {
            bucketcache: async () => check(await Promise.all(keys.map((key) => cache.get(key)))),
            fetch: async () =>
              check(await Promise.all(grants.map(async ({ url }) => (await fetch(url, { cache: "no-store" })).json()))),
          };
        };`,
      resolveDir: folder,
    },
    bundle: true,
    format: "esm",
    platform: "browser",
    minify: true,
    write: false,
    logLevel: "error",
  });
  return outputFiles[0]?.text ?? "";
}

/** @type {import("../harness.mjs").Row[]} */
export const rows = [
  {
    name: "browser",
    title: "200 entries through presigned URLs in Chromium",
    store: true,
    async run(bench) {
      const { createCache, s3Store } = await import("../ours.mjs");
      const cache = createCache({ store: await s3Store(bench.place), memory: false, prefix: PREFIX, compress: false });
      const places = Array.from({ length: 80 }, (_, index) => ({ id: index, lat: index / 7, lng: index / 3 }));
      await pooled(COUNT, 16, (index) => cache.set(/** @type {string} */ (keys[index]), { index, places }));
      const grants = await Promise.all(keys.map((key) => cache.presign(key, { operation: "read", expiresIn: "1h" })));
      await cache.close();

      const script = await bundle(bench.dist);
      const server = createServer((request, response) => {
        const isScript = request.url === "/page.js";
        response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
        response.end(isScript ? script : '<!doctype html><script type="module" src="/page.js"></script>');
      });
      await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
      const { chromium } = await import("playwright");
      const browser = await chromium.launch({ executablePath: await bench.chromium() });
      try {
        const page = await browser.newPage();
        await page.goto(`http://127.0.0.1:${/** @type {any} */ (server.address()).port}/`);
        await page.waitForFunction("window.openEntries !== undefined");
        await page.evaluate(([list, names]) => /** @type {any} */ (window).openEntries(list, names), [grants, keys]);
        const names = ["bucketcache", "fetch"];
        /** @type {Record<string, import("../harness.mjs").Sample[]>} */
        const samples = { bucketcache: [], fetch: [] };
        for (let round = -2; round < bench.rounds(25); round++) {
          for (const name of round % 2 === 0 ? names : names.toReversed()) {
            const wall = await page.evaluate(async (side) => {
              const startedAt = performance.now();
              await /** @type {any} */ (window).sides[side]();
              return performance.now() - startedAt;
            }, name);
            if (round >= 0) samples[name]?.push({ wall });
          }
        }
        const found = Object.fromEntries(names.map((name) => [name, statsOf(samples[name] ?? [])]));
        return {
          sides: found,
          goals: [
            judge({
              id: "browser",
              work: this.title,
              against: "plain fetch of the same URLs",
              what: "time",
              unit: "ms",
              ours: figure(found, "bucketcache", "wall"),
              rival: figure(found, "fetch", "wall"),
              atMost: 1.15,
            }),
          ],
        };
      } finally {
        await browser.close();
        server.close();
      }
    },
  },
];
