// The starts of docs/runtimes.md, each run as it is printed, on its runtime.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "vite";
import { createCache, type Cache } from "bucketcache";
import { createPresignHandler, toNodeListener } from "bucketcache/handler";
import { s3Store } from "bucketcache/s3";
import { freePort } from "../../support/tools.js";
import { check, equal, until } from "../suite/expect.js";
import type { Runner } from "../suite/harness.js";
import { ALIAS } from "../../../.config/alias.mjs";
import { STARTS, type Backend } from "./backend.js";
import { openPage } from "./browsers.js";
import { bundle, ROOT } from "./bundle.js";
import { start } from "./processes.js";
import { ensureProgram } from "./programs.js";
import { startR2 } from "./r2.js";
import { worker } from "./workerd.js";

const REPORT = { month: "2026-11", rows: 3 };

export async function startChecks(
  backend: Backend,
): Promise<{ register(runner: Runner): void; close(): Promise<void> }> {
  const { s3 } = backend;
  const { endpoint, region, credentials } = s3;
  const names = ["node.mjs", "lambda.mjs", "worker.js", "deno.js", "bun.js", "next-route.js"];
  const folder = await bundle(
    "starts",
    Object.fromEntries(names.map((name) => [name.replace(/\..*/, ""), `examples/runtimes/${name}`])),
  );
  // The variables that AWS's own tools read.
  const env = {
    AWS_ENDPOINT_URL_S3: endpoint,
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  };
  Object.assign(process.env, env);
  const handler = createPresignHandler({ store: s3Store({ ...s3, bucket: STARTS }), authorize: () => true });
  backend.handle("/api/presign", toNodeListener(handler));

  const openCache = (): Cache => createCache({ store: s3Store({ ...s3, bucket: STARTS }), memory: false });
  /** Waits for the entry of `report("2026-11")`, checks it, and removes it for the next start. */
  async function expectStoredReport(cache = openCache()): Promise<void> {
    const report = cache.wrap(async (_month: string) => ({ month: "", rows: 0 }), { name: "report" });
    await until(async () => (await report.peek("2026-11")) !== undefined, "the entry");
    equal(await report.peek("2026-11"), REPORT, "the entry");
    await report.invalidate("2026-11");
    await cache.close();
  }

  /** A server in a process of its own: asked, looked after, ended. */
  async function serves(program: string, args: readonly string[]): Promise<void> {
    const port = await freePort();
    const { kill, output } = start(program, args, { ...env, PORT: `${port}` });
    try {
      const ask = () => fetch(`http://127.0.0.1:${port}/?month=2026-11`).catch(() => undefined);
      let answer: Response | undefined;
      await until(async () => (answer = await ask()) !== undefined, `the server:\n${output()}`);
      equal(await answer!.json(), REPORT, "the answer");
      equal(await (await ask())!.json(), REPORT, "the next answer");
      await expectStoredReport();
    } finally {
      kill();
    }
  }

  return {
    register({ test }) {
      test("Node script", async () => {
        const { exit, output } = start(process.execPath, [join(folder, "node.js")], env);
        equal(await exit, 0, output());
        check(output().includes("rows: 3"), output());
        await expectStoredReport();
      });

      test("AWS Lambda", async () => {
        const { handler } = await load<{ handler(event: object): Promise<{ statusCode: number; body: string }> }>(
          join(folder, "lambda.js"),
        );
        const answer = await handler({ pathParameters: { month: "2026-11" } });
        equal([answer.statusCode, JSON.parse(answer.body)], [200, REPORT], "the answer");
        await expectStoredReport();
      });

      test("Cloudflare Worker with R2", async () => {
        const r2 = await startR2(STARTS, credentials);
        const miniflare = worker(folder, "worker.js", r2.worker);
        try {
          for (let i = 0; i < 2; i++) {
            const answer = await miniflare.dispatchFetch("http://worker.test/?month=2026-11");
            equal(await answer.json(), REPORT, "the answer");
          }
          await expectStoredReport(createCache({ store: s3Store(r2.config), memory: false }));
          check(r2.asked() > 0, "R2 was not asked");
        } finally {
          await miniflare.dispose();
          await r2.close();
        }
      });

      test("Deno", async () =>
        serves(await ensureProgram("deno"), [
          ...["run", "--no-prompt", "--no-config", "--allow-net=127.0.0.1,0.0.0.0", "--allow-env"],
          join(folder, "deno.js"),
        ]));

      test("Bun", async () => serves(await ensureProgram("bun"), ["run", join(folder, "bun.js")]));

      test("Next.js", async () => {
        const { GET } = await load<{ GET(request: Request, context: object): Promise<Response> }>(
          join(folder, "next-route.js"),
        );
        const params = Promise.resolve({ month: "2026-11" });
        const answer = await GET(new Request("http://localhost:3000/api/reports/2026-11"), { params });
        equal([answer.status, await answer.json()], [200, REPORT], "the answer");
        await expectStoredReport();
      });

      test("browser with Vite", async () => {
        const outDir = join(ROOT, ".cache/runtimes/vite");
        await build({
          configFile: false,
          logLevel: "error",
          root: join(ROOT, "examples/runtimes/vite"),
          base: "/vite/",
          resolve: { alias: ALIAS },
          build: { outDir, emptyOutDir: true },
        });
        backend.serve("/vite", outDir);
        const page = await openPage("chromium");
        try {
          await page.open(`${backend.origin}/vite/index.html`);
          const shown = 'document.querySelector("output").textContent';
          await until(async () => (await page.evaluate(shown)) !== "", "the page's text");
          equal(JSON.parse((await page.evaluate(shown)) as string), REPORT, "the page's text");
          await expectStoredReport();
        } finally {
          await page.close();
        }
      });

      test("service worker", async () => {
        // In one file: service workers may not import() when they need something.
        const outDir = await bundle("service-worker", { sw: "examples/runtimes/service-worker.js" }, false);
        backend.page("/sw.js", await readFile(join(outDir, "sw.js"), "utf8"), "js");
        backend.page("/sw-page", "<!doctype html><title>page</title>");
        let made = 0;
        backend.handle("/reports", (_request, response) => {
          made++;
          response.setHeader("content-type", "text/csv");
          response.end("month,rows\n2026-11,3\n".repeat(1_000));
        });
        const page = await openPage("chromium");
        try {
          await page.open(`${backend.origin}/sw-page`);
          await page.evaluate(
            `navigator.serviceWorker.register("/sw.js", { type: "module" }).then(() => navigator.serviceWorker.ready).then(() => null)`,
          );
          // A page is controlled from its next load on.
          await page.open(`${backend.origin}/sw-page`);
          const read = `fetch("/reports/2026-11.csv").then(async (r) => [r.status, r.headers.get("content-type"), (await r.text()).length])`;
          equal(await page.evaluate(read), [200, "text/csv", 21_000], "the first answer");
          equal(made, 1, "how often it was made");
          await until(async () => openCache().has("reports/2026-11.csv"), "the entry");
          equal(await page.evaluate(read), [200, "text/csv", 21_000], "the second answer");
          equal(made, 1, "how often it was made");
        } finally {
          await page.close();
        }
      });
    },
    async close() {
      for (const name of Object.keys(env)) delete process.env[name];
    },
  };
}

/** Past the module runner: as Node itself loads it. */
function load<T>(file: string): Promise<T> {
  return import(/* @vite-ignore */ pathToFileURL(file).href) as Promise<T>;
}
