/** The browser engines, each behind the few things that tests of the library ask of a page. */
import { join } from "node:path";
import { chromium, firefox, webkit, type Browser, type BrowserContext, type BrowserContextOptions } from "playwright";
import type { Page } from "playwright";
import { afterAll, afterEach, beforeAll, describe, inject } from "vitest";
import type * as page from "../page/lib.js";
import type { Engine as EngineName } from "../../test/support/browsers.js";
import { startWebDriver, type WebDriver, type WebDriverTab } from "../../test/support/webdriver.js";
import { keep, KEPT, type Tab } from "./tab.js";

export type { Tab };

declare global {
  /** In the page, not here: only functions that are sent there may name it. */
  // oxlint-disable-next-line no-var -- what else is a global
  var lib: typeof page;
}

/** A tab by Playwright, with all that it can do. */
export interface PlaywrightTab extends Tab {
  page: Page;
}

interface Driver {
  /** Tabs of one test share their storage and channels; nothing is left for the next test. */
  tab(options?: BrowserContextOptions): Promise<Tab>;
  /** Ends what the test opened; what helps to understand a failure is kept in the folder. */
  endTest(failure: string | undefined): Promise<void>;
  close(): Promise<void>;
}

export const ENGINES = ["chromium", "firefox", "webkit"] as const satisfies readonly EngineName[];

interface Opened<T extends Tab> {
  name: EngineName;
  /** A new tab on this page, in the profile of this test. */
  tab(url: string, options?: BrowserContextOptions): Promise<T>;
}

/** Registers the same tests for each engine. */
export function inEachEngine(body: (engine: Opened<Tab>) => void, names: readonly EngineName[] = ENGINES): void {
  describe.each(names)("in %s:", (name) => {
    let driver: Driver;
    beforeAll(async () => {
      driver = await startDriver(name);
    });
    afterAll(async () => driver?.close());
    afterEach(async ({ task }) => {
      const isFailure = task.result?.state === "fail";
      await driver.endTest(isFailure ? `${name} ${task.name}`.replace(/[^\w.-]+/g, "-").slice(0, 120) : undefined);
    });
    body({
      name,
      async tab(url, options) {
        const tab = await driver.tab(options);
        await tab.goto(url);
        return tab;
      },
    });
  });
}

/** The same for the engines that Playwright drives, whose tabs have locators and routes. */
export function inPlaywright(
  body: (engine: Opened<PlaywrightTab>) => void,
  names: readonly ("chromium" | "firefox")[] = ["chromium", "firefox"],
): void {
  inEachEngine(body as (engine: Opened<Tab>) => void, names);
}

async function startDriver(name: EngineName): Promise<Driver> {
  const browsers = inject("browsers");
  switch (name) {
    case "chromium":
      return playwrightDriver(await chromium.launch(browsers.chromium));
    case "firefox":
      return playwrightDriver(await firefox.launch(browsers.firefox));
    case "webkit": {
      const found = browsers.webkit;
      if (found.kind === "webdriver") return webDriverDriver(await startWebDriver(found));
      return playwrightDriver(await webkit.launch({ executablePath: found.executablePath }));
    }
  }
}

function webDriverDriver(browser: WebDriver): Driver {
  let tabs: WebDriverTab[] = [];
  return {
    async tab(): Promise<Tab> {
      const tab = await browser.tab();
      tabs.push(tab);
      return {
        goto: tab.goto,
        run: (code: (argument: never) => unknown, argument?: unknown) => tab.call(String(code), argument) as never,
      };
    },
    async endTest(failure) {
      const ended = tabs;
      tabs = [];
      for (const [index, tab] of ended.entries()) {
        if (failure !== undefined) await keep(`${failure}-${index + 1}.html`, tab.source);
        await tab.close();
      }
    },
    close: browser.close,
  };
}

function playwrightDriver(browser: Browser): Driver {
  const isTraced = browser.browserType().name() === "chromium";
  let context: BrowserContext | undefined;
  return {
    async tab(options): Promise<PlaywrightTab> {
      if (context === undefined) {
        context = await browser.newContext(options);
        // Chromium alone can be asked by this version of Playwright; a screenshot there is of all.
        if (isTraced) await context.tracing.start({ snapshots: true, screenshots: true });
      }
      const page = await context.newPage();
      return {
        page,
        goto: async (url) => void (await page.goto(url)),
        run: (code: (argument: never) => unknown, argument?: unknown) =>
          page.evaluate(code as never, argument) as never,
      };
    },
    async endTest(failure) {
      const ended = context;
      context = undefined;
      if (ended === undefined) return;
      if (failure !== undefined) {
        for (const [index, page] of ended.pages().entries()) {
          await keep(`${failure}-${index + 1}.png`, () => page.screenshot());
        }
        if (isTraced) await ended.tracing.stop({ path: join(KEPT, `${failure}.zip`) });
      }
      await ended.close();
    },
    close: () => browser.close(),
  };
}
