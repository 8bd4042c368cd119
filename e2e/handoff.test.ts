import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { inEachEngine, inPlaywright } from "./support/engines.js";
import { sharedSite } from "./support/site.js";

const { site } = sharedSite();

const REPORT = { country: "PT", places: Array.from({ length: 3_000 }, (_, i) => ({ id: i, name: `place ${i}` })) };

inEachEngine((engine) => {
  let prefix: string;
  // Each try needs a prefix where nothing has been computed yet.
  beforeEach(() => void (prefix = `handoff/${engine.name}/${randomUUID()}/`));

  test("a page reads, writes and deletes by grants alone, just what they are for", async () => {
    const cache = site.cache({ prefix });
    await cache.setMany([
      { key: "read", value: REPORT, compress: true },
      { key: "gone", value: 1 },
      { key: "other", value: "not for this page" },
    ]);
    const text = "written by the page";
    const grants = await Promise.all([
      cache.presign("read"),
      cache.presign("write", {
        operation: "write",
        size: text.length,
        contentType: "text/plain; charset=utf-8",
        ttl: "1h",
      }),
      cache.presign("gone", { operation: "delete" }),
    ]);
    const tab = await engine.tab(site.url);
    const result = await tab.run(
      async ({ grants, prefix, text }) => {
        // As they came out of a message, a cookie or a page's HTML.
        const cache = lib.openGrants(JSON.parse(JSON.stringify(grants)) as typeof grants);
        const read = await cache.getEntry(`${prefix}read`);
        await cache.set(`${prefix}write`, text);
        await cache.delete(`${prefix}gone`);
        return {
          read: JSON.stringify(read?.value),
          other: await lib.outcome(cache.get(`${prefix}other`)),
          overwrite: await lib.outcome(cache.set(`${prefix}read`, "mine now")),
        };
      },
      { grants, prefix, text },
    );
    expect(JSON.parse(result.read)).toEqual(REPORT);
    expect(result.other.code).toBe("ERR_FORBIDDEN");
    expect(result.overwrite.code).toBe("ERR_FORBIDDEN");
    expect(site.batches).toEqual([]);
    expect(await cache.get("gone")).toBeUndefined();
    const written = await cache.getEntry("write");
    expect(written?.value).toBe(text);
    expect(Number(written?.expiresAt) - Date.now()).toBeGreaterThan(3_500_000);
  });

  test("a result is computed before it is handed over, once, and the page has no function to run", async () => {
    let runs = 0;
    const cache = site.cache({ prefix });
    const report = cache.wrap(async (country: string) => ({ country, run: ++runs }), { name: "report" });
    const grants = [
      await report.presign("PT"),
      await report.presign("PT"),
      await report.with({ expiresIn: 30 }).presign("ES"),
    ];
    expect(runs).toBe(2);
    const tab = await engine.tab(site.url);
    const values = await tab.run((grants) => {
      const cache = lib.openGrants(grants);
      return Promise.all([...new Set(grants.map(({ key }) => key))].map((key) => cache.get(key)));
    }, grants);
    expect(values).toEqual([
      { country: "PT", run: 1 },
      { country: "ES", run: 2 },
    ]);
  });

  test("what is presigned for other programs is plain in any browser, compressed or not", async () => {
    const cache = site.cache({ prefix });
    for (const compress of [false, true]) await cache.set(`plain-${compress}`, REPORT, { compress });
    const urls = await Promise.all(
      [false, true].map(
        async (compress) => (await cache.presign(`plain-${compress}`, { filename: "report.json" })).url,
      ),
    );
    const tab = await engine.tab(site.url);
    const texts = await tab.run((urls) => Promise.all(urls.map(async (url) => (await fetch(url)).text())), urls);
    expect(texts.map((text) => JSON.parse(text) as unknown)).toEqual([REPORT, REPORT]);
  });
});

describe("a redirect to what is presigned for other programs", () => {
  let server: Server;
  let target = "";
  let address = "";
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "bucketcache-curl-"));
    server = createServer((_, response) => void response.writeHead(302, { location: target }).end());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/download/report`;
  });
  afterAll(async () => {
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true });
  });

  // The response names its gzip: browsers undo it unasked, and curl when it is asked to.
  test.each([
    ["that is stored plain", false, []],
    ["that is stored compressed", true, ["--compressed"]],
  ] as const)("is followed by curl, which saves an entry %s under its own name", async (_, compress, options) => {
    const cache = site.cache({ prefix: "curl/" });
    await cache.set("report", REPORT, { compress });
    const name = `report ${compress}.json`;
    target = (await cache.presign("report", { filename: name })).url;
    await curl(["-sS", "-f", "-L", "-O", "-J", ...options, address], folder);
    expect(JSON.parse(readFileSync(join(folder, name), "utf8"))).toEqual(REPORT);
    target = (await cache.presign("report", { filename: "Übersicht 2026.json" })).url;
    const { stdout: head } = await curl(["-sS", "-f", "-L", "-D", "-", "-o", "body.json", ...options, address], folder);
    expect(head).toMatch(/^content-type: application\/json/im);
    expect(head).toMatch(/filename\*=UTF-8''%C3%9Cbersicht%202026\.json/);
  });

  test.each([false, true])("is followed by fetch, which has the plain content, with compress: %s", async (compress) => {
    const cache = site.cache({ prefix: "fetch/" });
    await cache.set("report", REPORT, { compress });
    target = (await cache.presign("report", { filename: "report.json" })).url;
    const response = await fetch(address);
    expect(response.headers.get("content-disposition")).toContain('filename="report.json"');
    expect(await response.json()).toEqual(REPORT);
  });
});

async function curl(options: readonly string[], cwd: string): Promise<{ stdout: string }> {
  try {
    return await promisify(execFile)("curl", options, { cwd, maxBuffer: 1 << 24 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new Error("these tests need curl: apt-get install curl, brew install curl or winget install cURL.cURL", {
      cause: error,
    });
  }
}

inPlaywright(
  (engine) => {
    test.each([false, true])(
      "a link saves a file of its own name and plain content, with compress: %s",
      async (compress) => {
        const cache = site.cache({ prefix: `saved/${engine.name}/` });
        await cache.set("rows", "a,b\n".repeat(5_000), { compress });
        const { url } = await cache.presign("rows", { filename: "rows.csv" });
        const { page } = await engine.tab(site.url);
        await page.setContent(`<a href="${url.replaceAll("&", "&amp;")}">Save</a>`);
        const [download] = await Promise.all([page.waitForEvent("download"), page.getByText("Save").click()]);
        expect(download.suggestedFilename()).toBe("rows.csv");
        const chunks = [];
        for await (const chunk of await download.createReadStream()) chunks.push(chunk as Buffer);
        expect(Buffer.concat(chunks).toString()).toBe("a,b\n".repeat(5_000));
      },
    );
  },
  // Firefox over BiDi tells of no downloads.
  ["chromium"],
);
