/** WebKitGTK by plain W3C WebDriver: what Playwright is for the others, as far as the tests go. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browsers } from "../../test/support/browsers.js";
import { keep, type Tab } from "./tab.js";

/** Milliseconds that a script in the page may take. */
const PATIENCE = 150_000;

export async function startWebDriver(found: Extract<Browsers["webkit"], { kind: "webdriver" }>) {
  const port = await freePort();
  const command = [found.driver, `--port=${port}`];
  if (process.env["DISPLAY"] === undefined) {
    if (found.xvfb === undefined)
      throw new Error("WebKit needs a display: install xvfb, which brings xvfb-run, or set DISPLAY");
    command.unshift(found.xvfb, "--auto-servernum");
  }
  const folder = mkdtempSync(join(tmpdir(), "bucketcache-webkit-"));
  const supervisor = fileURLToPath(new URL("../../test/support/supervise.mjs", import.meta.url));
  const child = spawn(process.execPath, [supervisor, folder, ...command], { stdio: ["pipe", "ignore", "ignore"] });
  child.stdin.on("error", () => {});
  const exit = once(child, "close");
  const root = `http://127.0.0.1:${port}`;
  let session = "";

  async function ask<T>(method: "POST" | "GET" | "DELETE", path: string, body?: object): Promise<T> {
    const response = await fetch(root + session + path, {
      method,
      signal: AbortSignal.timeout(PATIENCE + 20_000),
      ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    const { value } = (await response.json()) as { value: T & { error?: string; message?: string } };
    if (!response.ok) throw new Error(`WebKit: ${value.error}: ${value.message}`);
    return value;
  }

  await answering(root, child);
  const { sessionId } = await ask<{ sessionId: string }>("POST", "/session", {
    capabilities: {
      alwaysMatch: {
        browserName: "MiniBrowser",
        "webkitgtk:browserOptions": { binary: found.browser, args: ["--automation"] },
        timeouts: { script: PATIENCE, pageLoad: 60_000 },
      },
    },
  });
  session = `/session/${sessionId}`;
  // One window stays open, or the session would end with the last tab.
  const home = await ask<string>("GET", "/window");
  let handles: string[] = [];
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

  function tabOf(handle: string): Tab & { source(): Promise<string> } {
    return {
      goto: (url) => inWindow(handle, () => ask("POST", "/url", { url })),
      async run(code: (argument: never) => unknown, argument?: unknown) {
        const script = `const [argument, done] = arguments;
          new Promise((settle) => settle((${String(code)})(argument))).then(
            (value) => done({ value }), (error) => done({ error: String(error?.stack ?? error) + " " + String(error) }));`;
        const answer = await inWindow(handle, () =>
          ask<{ value?: never; error?: string }>("POST", "/execute/async", { script, args: [argument ?? null] }),
        );
        if (answer.error !== undefined) throw new Error(answer.error);
        return answer.value as never;
      },
      // A tab in the background has no picture, and waits for one for ever.
      source: () => inWindow(handle, () => ask<string>("GET", "/source")),
    };
  }

  return {
    async tab(): Promise<Tab> {
      const { handle } = await inWindow(home, () => ask<{ handle: string }>("POST", "/window/new", { type: "tab" }));
      handles.push(handle);
      return tabOf(handle);
    },
    async endTest(failure: string | undefined) {
      for (const [index, handle] of handles.entries()) {
        if (failure !== undefined) await keep(`${failure}-${index + 1}.html`, tabOf(handle).source);
        await inWindow(handle, () => ask("DELETE", "/window"));
      }
      handles = [];
    },
    async close() {
      try {
        await last;
        await ask("DELETE", "");
      } finally {
        child.stdin.end();
        await exit;
      }
    },
  };
}

async function answering(root: string, child: { exitCode: number | null }): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`WebKit's driver ended with exit code ${child.exitCode}`);
    try {
      if ((await fetch(`${root}/status`)).ok) return;
    } catch {
      // Not listening yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
