// WebKitGTK by its WebDriver: plain W3C WebDriver over fetch. https://www.w3.org/TR/webdriver2/
import { createServer, type AddressInfo } from "node:net";
import type { Browsers } from "../../support/browsers.js";
import type { Page } from "./browsers.js";
import { start } from "./processes.js";

type WebDriver = Extract<Browsers["webkit"], { kind: "webdriver" }>;

export async function startWebDriver({ driver, browser, xvfb }: WebDriver): Promise<Page> {
  const port = await freePort();
  const command = [driver, `--port=${port}`, "--host=127.0.0.1"];
  // A display of its own, where there is none.
  const useXvfb = xvfb !== undefined && !process.env["DISPLAY"];
  const [program, ...args] = (useXvfb ? [xvfb, "-a", ...command] : command) as [string, ...string[]];
  const { output, exit, kill } = start(program, args, { group: true });
  let ended = false;
  void exit.then(() => (ended = true));

  async function send<T>(method: string, path: string, body?: unknown): Promise<T> {
    const init = body === undefined ? {} : { body: JSON.stringify(body) };
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, ...init });
    const { value } = (await response.json()) as { value: T & { message?: string } };
    if (!response.ok) throw new Error(`${path}: ${value.message ?? response.status}`);
    return value;
  }

  try {
    await ready(() => send("GET", "/status"), () => (ended ? output() : undefined)); // prettier-ignore
    const session = await send<{ sessionId: string; capabilities: { browserVersion?: string } }>("POST", "/session", {
      capabilities: {
        alwaysMatch: {
          browserName: "MiniBrowser",
          "webkitgtk:browserOptions": { binary: browser, args: ["--automation"] },
        },
      },
    });
    const base = `/session/${session.sessionId}`;
    await send("POST", `${base}/timeouts`, { script: 300_000 });
    return {
      version: session.capabilities.browserVersion ?? "",
      open: async (url) => void (await send("POST", `${base}/url`, { url })),
      evaluate: (expression) =>
        send("POST", `${base}/execute/async`, {
          script: `const done = arguments[arguments.length - 1];
            Promise.resolve().then(() => (${expression})).then(done, (error) => done("uncaught: " + error));`,
          args: [],
        }),
      said: output,
      async close() {
        await send("DELETE", base).catch(() => {});
        kill();
      },
    };
  } catch (error) {
    kill();
    throw error;
  }
}

async function ready(ask: () => Promise<unknown>, failed: () => string | undefined): Promise<void> {
  const end = Date.now() + 30_000;
  for (;;) {
    const why = failed();
    if (why !== undefined) throw new Error(`the WebDriver does not start:\n${why}`);
    try {
      return void (await ask());
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
