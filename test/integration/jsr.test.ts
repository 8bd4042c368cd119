import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeJsrPackage } from "../../.ci/jsr.mjs";
import { ensureProgram } from "../runtimes/run/programs.js";
import { output } from "../support/consumer.js";

// Not inside the checkout: Deno would look at its package.json.
const folder = mkdtempSync(join(tmpdir(), "bucketcache-jsr-"));
let deno: string;

beforeAll(async () => {
  deno = await ensureProgram("deno");
  writeJsrPackage(folder);
}, 300_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("JSR would take the package: types are checked, none is slow, and every import is declared", async () => {
  // Rejects with all that Deno objects to.
  await output(deno, ["publish", "--dry-run", "--allow-dirty"], folder);
}, 300_000);

test("what JSR would serve runs, without permissions", async () => {
  writeFileSync(
    join(folder, "main.ts"),
    `import { createCache } from "./src/index.ts";
     import { memoryStore } from "./src/stores/memory.ts";
     const cache = createCache({ store: memoryStore(), memory: false });
     await cache.set("key", new Map([["when", new Date(0)]]));
     console.log(await cache.get("key"));`,
  );
  const said = await output(deno, ["run", "--no-prompt", "main.ts"], folder);
  expect(said).toContain('Map(1) { "when" => 1970-01-01T00:00:00.000Z }');
}, 300_000);
