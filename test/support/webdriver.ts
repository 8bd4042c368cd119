/** WebKitGTK by plain W3C WebDriver, https://www.w3.org/TR/webdriver2/: what Playwright is for the others, as far as tests go. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browsers } from "./browsers.js";
import { freePort } from "./tools.js";

/** A tab of the one browser. */
export interface WebDriverTab {
  goto(url: string): Promise<void>;
  /** Calls a function, given as its source text, in the page, and awaits what it returns. Both ways JSON. */
  call(source: string, argument?: unknown): Promise<unknown>;
  /** The document as it is now. A tab in the background has no picture, and would wait for one for ever. */
  source(): Promise<string>;
  close(): Promise<void>;
}

export interface WebDriver {
  version: string;
  /** The last that the driver and the browser printed. */
  said(): string;
  tab(): Promise<WebDriverTab>;
  close(): Promise<void>;
}

/** @param patience - Milliseconds that a script in a page may take. */
export async function startWebDriver(
  found: Extract<Browsers["webkit"], { kind: "webdriver" }>,
  patience = 150_000,
): Promise<WebDriver> {
  const port = await freePort();
  const command = [found.driver, `--port=${port}`];
  if (!process.env["DISPLAY"]) {
    if (found.xvfb === undefined)
      throw new Error("WebKit needs a display: install xvfb, which brings xvfb-run, or set DISPLAY");
    command.unshift(found.xvfb, "--auto-servernum");
  }
  const folder = mkdtempSync(join(tmpdir(), "bucketcache-webkit-"));
  const supervisor = fileURLToPath(new URL("supervise.mjs", import.meta.url));
  const child = spawn(process.execPath, [supervisor, folder, ...command], { stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.on("error", () => {});
  let said = "";
  for (const output of [child.stdout, child.stderr]) {
    output.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-8_000)));
  }
  const exit = once(child, "close");
  const root = `http://127.0.0.1:${port}`;
  let session = "";

  async function ask<T>(method: "POST" | "GET" | "DELETE", path: string, body?: object): Promise<T> {
    const response = await fetch(root + session + path, {
      method,
      signal: AbortSignal.timeout(patience + 20_000),
      ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    const { value } = (await response.json()) as { value: T & { error?: string; message?: string } };
    if (!response.ok) throw new Error(`WebKit: ${value.error}: ${value.message}`);
    return value;
  }

  async function end(): Promise<void> {
    child.stdin.end();
    await exit;
  }

  interface Session {
    sessionId: string;
    capabilities: { browserVersion?: string };
  }
  let version: string;
  let home: string;
  try {
    await answering();
    const { sessionId, capabilities } = await ask<Session>("POST", "/session", {
      capabilities: {
        alwaysMatch: {
          browserName: "MiniBrowser",
          "webkitgtk:browserOptions": { binary: found.browser, args: ["--automation"] },
          timeouts: { script: patience, pageLoad: 60_000 },
        },
      },
    });
    session = `/session/${sessionId}`;
    version = capabilities.browserVersion ?? "";
    // One window stays open, or the session would end with the last tab.
    home = await ask<string>("GET", "/window");
  } catch (error) {
    await end();
    throw error;
  }

  async function answering(): Promise<void> {
    for (;;) {
      if (child.exitCode !== null) throw new Error(`WebKit's driver ended with exit code ${child.exitCode}\n${said}`);
      try {
        if ((await fetch(`${root}/status`)).ok) return;
      } catch {
        // Not listening yet.
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  // A session looks at one window at a time.
  let last: Promise<unknown> = Promise.resolve();
  function inWindow<T>(handle: string, action: () => Promise<T>): Promise<T> {
    const result = last.then(async () => {
      await ask("POST", "/window", { handle });
      return action();
    });
    last = result.catch(() => {});
    return result;
  }

  return {
    version,
    said: () => said,
    async tab() {
      const { handle } = await inWindow(home, () => ask<{ handle: string }>("POST", "/window/new", { type: "tab" }));
      return {
        goto: (url) => inWindow(handle, () => ask("POST", "/url", { url })),
        async call(source, argument = null) {
          const script = `const [argument, done] = arguments;
            new Promise((settle) => settle((${source})(argument))).then(
              (value) => done({ value }), (error) => done({ error: String(error?.stack ?? error) + " " + String(error) }));`;
          const answer = await inWindow(handle, () =>
            ask<{ value?: unknown; error?: string }>("POST", "/execute/async", { script, args: [argument] }),
          );
          if (answer.error !== undefined) throw new Error(answer.error);
          return answer.value;
        },
        source: () => inWindow(handle, () => ask<string>("GET", "/source")),
        close: () => inWindow(handle, () => ask("DELETE", "/window")),
      };
    },
    async close() {
      try {
        await last;
        await ask("DELETE", "");
      } finally {
        await end();
      }
    },
  };
}
