// The three browser engines, each loading one page.
import { chromium, firefox, webkit, type Browser } from "playwright";
import { ensureBrowsers, type Engine } from "../../support/browsers.js";
import { startWebDriver, type WebDriver } from "../../support/webdriver.js";
import type { Run } from "./backend.js";
import type { Runtime } from "./main.js";

/** A browser with one page. */
export interface Page {
  version: string;
  open(url: string): Promise<void>;
  /** Evaluates an expression, which may be a promise; what it is must be JSON. */
  evaluate(expression: string): Promise<unknown>;
  /** Returns the console output of the page, for the report of a failure. */
  said(): string;
  close(): Promise<void>;
}

export async function openPage(engine: Engine): Promise<Page> {
  const found = await ensureBrowsers([engine]);
  if (engine === "webkit" && found.webkit.kind === "webdriver")
    return webDriverPage(await startWebDriver(found.webkit, 300_000));
  // Playwright's own browsers and those of the system alike; no argument weakens what CORS promises.
  const launchers = { chromium, firefox, webkit };
  const { executablePath, channel } = found[engine] as { executablePath: string; channel?: string };
  const browser = await launchers[engine].launch({ executablePath, ...(channel !== undefined && { channel }) });
  return playwrightPage(browser);
}

async function webDriverPage(browser: WebDriver): Promise<Page> {
  const tab = await browser.tab();
  return {
    version: browser.version,
    open: tab.goto,
    evaluate: (expression) => tab.call(`() => (${expression})`),
    said: browser.said,
    close: browser.close,
  };
}

async function playwrightPage(browser: Browser): Promise<Page> {
  const page = await browser.newPage();
  let said = "";
  const keep = (text: string) => (said = `${said}${text}\n`.slice(-8_000));
  page.on("console", (message) => keep(message.text()));
  page.on("pageerror", (error) => keep(`uncaught: ${error.stack ?? error.message}`));
  return {
    version: browser.version(),
    open: async (url) => void (await page.goto(url)),
    evaluate: (expression) => page.evaluate(expression),
    said: () => said,
    close: () => browser.close(),
  };
}

/** The suite asks the handler some thousand times, and browsers remember what it allows for ten minutes. */
const MAX_PREFLIGHTS = 50;

export function browserRuntime(engine: Engine, title: string): Runtime {
  return {
    name: engine,
    title,
    runs: [["keys", "memory", "presigned"]],
    async run(run: Run, { backend, suite }) {
      backend.serve("/suite", suite);
      backend.page("/page", '<!doctype html><title>suite</title><script type="module" src="/suite/page.js"></script>');
      const page = await openPage(engine);
      try {
        const before = backend.preflights();
        const query = new URLSearchParams({ url: new URL(run.url).pathname });
        await page.open(`${backend.origin}/page?${query}`);
        await run.ended;
        const asked = backend.preflights() - before;
        if (asked > MAX_PREFLIGHTS) throw new Error(`the handler was asked ${asked} times whether it may be asked`);
        return page.version;
      } catch (error) {
        throw new Error(`${(error as Error).message}\n${page.said()}`);
      } finally {
        await page.close();
      }
    },
  };
}
