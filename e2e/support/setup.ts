import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { build, type UserConfig } from "vite";
import type { TestProject } from "vitest/node";
import { buildPlayground } from "../../examples/playground/build.mjs";
import { ensureBrowsers, type Browsers } from "../../test/support/browsers.js";
import { required, runLong, step } from "../../test/support/tools.js";
import config from "../../vite.config.js";

declare module "vitest" {
  export interface ProvidedContext {
    browsers: Browsers;
  }
}

const ROOT = join(import.meta.dirname, "../..");

/** Where the page of the library's own tests is built. */
export const PAGE = join(ROOT, ".cache/e2e/page");

/** Vitest's global set-up: browsers, and everything that is built. */
export default async function setup(project: TestProject): Promise<void> {
  project.provide("browsers", await required(ensureBrowsers(["chromium", "firefox", "webkit"])));
  const remedy = `make "npm run build" pass, then run the tests again.`;
  await required(step("building the library", remedy, buildLibrary));
  await required(step("building the playground", PAGES_REMEDY, buildPlayground));
  await required(step("building the page of the e2e tests", PAGES_REMEDY, buildPage));
}

const PAGES_REMEDY = `run "npm ci" in case a package is missing, and correct what Vite names above.`;

async function buildPage(): Promise<void> {
  const { alias = {} } = (config as UserConfig).resolve ?? {};
  await build({
    configFile: false,
    root: join(ROOT, "e2e/page"),
    logLevel: "warn",
    resolve: { alias },
    build: { outDir: PAGE, emptyOutDir: true, target: "es2022" },
  });
}

/** The playground's server calls functions in a process of their own, which imports the package as users do. */
async function buildLibrary(): Promise<void> {
  const built = join(ROOT, "dist/index.js");
  const sources = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" });
  const newest = Math.max(...sources.map((file) => statSync(join(ROOT, "src", file)).mtimeMs));
  if (existsSync(built) && statSync(built).mtimeMs >= newest) return;
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  await runLong("building the library", npm, ["run", "--silent", "build", "--", "--noCheck"], { cwd: ROOT });
}
