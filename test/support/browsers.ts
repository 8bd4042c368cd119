import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { findProgram, isExecutable, runLong, say, step, succeeds } from "./tools.js";

/** How to start each engine. */
export interface Browsers {
  /** For Playwright's `chromium.launch`. */
  chromium: { executablePath: string };
  /** For Playwright's `firefox.launch`; a Firefox of the system is driven over WebDriver BiDi, by its channel. */
  firefox: { executablePath: string; channel?: "moz-firefox" };
  /** Playwright's own WebKit, or WebKitGTK's driver, which speaks W3C WebDriver and needs a display. */
  webkit:
    | { kind: "playwright"; executablePath: string }
    | { kind: "webdriver"; driver: string; browser: string; xvfb: string | undefined };
}

export type Engine = keyof Browsers;

const ENGINES: readonly Engine[] = ["chromium", "firefox", "webkit"];

const PACKAGES: Record<Engine, readonly string[]> = {
  chromium: ["chromium"],
  firefox: ["firefox-esr"],
  webkit: ["webkit2gtk-driver", "xvfb", "xauth"],
};

/** An engine by environment variable, among Playwright's own, or on the system; undefined where there is none. */
export async function findBrowser<E extends Engine>(engine: E): Promise<Browsers[E] | undefined> {
  const find: { [K in Engine]: () => Promise<Browsers[K] | undefined> } = {
    chromium: async () => {
      const path =
        named("BUCKETCACHE_CHROMIUM") ??
        (await playwrightsOwn("chromium")) ??
        findProgram(
          ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "Google Chrome"],
          [MAC.chromium],
        );
      return path === undefined ? undefined : { executablePath: path };
    },
    firefox: async () => {
      const own = await playwrightsOwn("firefox");
      const system = named("BUCKETCACHE_FIREFOX") ?? (own === undefined ? systemFirefox() : undefined);
      if (system !== undefined) return { executablePath: system, channel: "moz-firefox" };
      return own === undefined ? undefined : { executablePath: own };
    },
    webkit: async () => {
      const own = await playwrightsOwn("webkit");
      const driver = named("BUCKETCACHE_WEBKIT_DRIVER") ?? (own === undefined ? systemWebkitDriver() : undefined);
      if (driver === undefined) return own === undefined ? undefined : { kind: "playwright", executablePath: own };
      const browser = named("BUCKETCACHE_WEBKIT") ?? miniBrowser();
      return browser === undefined
        ? undefined
        : { kind: "webdriver", driver, browser, xvfb: findProgram(["xvfb-run"]) };
    },
  };
  return find[engine]();
}

/** The engines asked for, installed where they are missing; throws with what to do for those that stay so. */
export function ensureBrowsers<E extends Engine>(engines: readonly E[]): Promise<Pick<Browsers, E>> {
  return step(`browsers (${engines.join(", ")})`, remedy(engines), () => findOrInstall(engines));
}

async function findOrInstall<E extends Engine>(engines: readonly E[]): Promise<Pick<Browsers, E>> {
  let missing = await missingOf(engines);
  const reasons: string[] = [];
  /** A way to get a browser that may well fail: the next one is tried then, and the reasons are told at the end. */
  async function attempt(title: string, command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    try {
      await runLong(title, command, args, { env });
    } catch (error) {
      const lines = stripVTControlCharacters((error as Error).message.trim()).split("\n");
      const said = lines.filter((line) => !/^\s+at /.test(line)).slice(0, 4);
      reasons.push(said.join("\n"));
      say(`${title} failed: trying what else there is`);
    }
  }
  const wanted = missing;
  // Vitest's module runner has no import.meta.resolve.
  const cli = join(createRequire(import.meta.url).resolve("playwright/package.json"), "../cli.js");
  if (missing.length > 0) {
    await attempt(`installing ${missing.join(" and ")} by Playwright`, process.execPath, [cli, "install", ...missing]);
    missing = await missingOf(engines);
  }
  const apt = process.getuid?.() === 0 ? findProgram(["apt-get"]) : undefined;
  // Playwright brings browsers without the libraries that they take from the system.
  const brought = wanted.filter((engine) => !missing.includes(engine));
  const incomplete = new Set([...brought, ...(await brokenOf(engines))]);
  if (incomplete.size > 0 && apt !== undefined) {
    const title = `installing what ${[...incomplete].join(" and ")} of Playwright needs of the system`;
    await attempt(title, process.execPath, [cli, "install-deps", ...incomplete]);
  }
  const broken = await brokenOf(engines);
  if (broken.length > 0) {
    const what = `${broken.join(" and ")} of Playwright does not start, most likely for lack of libraries of the system`;
    throw new Error([what, ...reasons].join("\n"));
  }
  if (missing.length > 0 && apt !== undefined) {
    const packages = missing.flatMap((engine) => PACKAGES[engine]);
    const env = { DEBIAN_FRONTEND: "noninteractive" };
    await attempt("updating the package lists", apt, ["update", "-qq"], env);
    const install = ["install", "-y", "-qq", "--no-install-recommends", ...packages];
    await attempt(`installing ${packages.join(", ")}`, apt, install, env);
    missing = await missingOf(engines);
  }
  if (missing.length > 0) throw new Error([`there is no ${missing.join(" and no ")}`, ...reasons].join("\n"));
  const found: Partial<Browsers> = {};
  for (const engine of engines) Object.assign(found, { [engine]: await findBrowser(engine) });
  return found as Pick<Browsers, E>;
}

/** The engines that Playwright has brought and that do not start. */
async function brokenOf(engines: readonly Engine[]): Promise<Engine[]> {
  const broken: Engine[] = [];
  // Elsewhere nothing is taken from the system, and on Windows --version opens a window. WebKit does not know it.
  if (process.platform !== "linux") return broken;
  for (const engine of engines) {
    const found = await findBrowser(engine);
    if (engine === "webkit" || found === undefined || !("executablePath" in found)) continue;
    const own = await playwrightsOwn(engine);
    if (own !== found.executablePath) continue;
    if (!(await succeeds(own, ["--version"], 60_000))) broken.push(engine);
  }
  return broken;
}

async function missingOf(engines: readonly Engine[]): Promise<Engine[]> {
  const found = await Promise.all(engines.map((engine) => findBrowser(engine)));
  return ENGINES.filter((engine) => engines.includes(engine) && found[engines.indexOf(engine)] === undefined);
}

function remedy(engines: readonly Engine[]): string {
  const variables = {
    chromium: "BUCKETCACHE_CHROMIUM",
    firefox: "BUCKETCACHE_FIREFOX",
    webkit: "BUCKETCACHE_WEBKIT_DRIVER",
  };
  return `any one of these helps:
  - npx playwright install --with-deps ${engines.join(" ")}
  - on Debian or Ubuntu, as root: apt-get update && apt-get install --no-install-recommends ${engines.flatMap((engine) => PACKAGES[engine]).join(" ")}
  - set ${engines.map((engine) => variables[engine]).join(" and ")} to what is installed elsewhere
"npm run test:unit" and "npm run test:integration" need no browsers.`;
}

const MAC = {
  chromium: "/Applications/Google Chrome.app/Contents/MacOS",
  firefox: "/Applications/Firefox.app/Contents/MacOS",
};

function named(variable: string): string | undefined {
  const path = process.env[variable];
  if (!path) return undefined;
  if (!isExecutable(path)) throw new Error(`${variable} is "${path}", which is not an executable file`);
  return path;
}

async function playwrightsOwn(engine: Engine): Promise<string | undefined> {
  const playwright = await import("playwright");
  const path = playwright[engine].executablePath();
  return path !== "" && existsSync(path) ? path : undefined;
}

const systemFirefox = () => findProgram(["firefox", "firefox-esr"], [MAC.firefox]);

const systemWebkitDriver = () => findProgram(["WebKitWebDriver"]);

/** WebKitGTK keeps its test browser in a folder of its own, by version and architecture. */
function miniBrowser(): string | undefined {
  const folders = ["/usr/lib", "/usr/libexec", "/usr/lib64"].flatMap((lib) =>
    ["x86_64-linux-gnu/", "aarch64-linux-gnu/", ""].flatMap((architecture) =>
      ["webkit2gtk-4.1", "webkit2gtk-4.0", "webkitgtk-6.0"].map((version) => join(lib, architecture + version)),
    ),
  );
  return folders.map((folder) => join(folder, "MiniBrowser")).find((file) => isExecutable(file));
}
