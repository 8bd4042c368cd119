// Tests of workerd's own rules, beyond the suite: see entries/requests.ts.
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Miniflare } from "miniflare";
import { createCache } from "bucketcache";
import { s3Store } from "bucketcache/s3";
import { check, equal, until } from "../suite/expect.js";
import type { Runner } from "../suite/harness.js";
import type { Backend } from "./backend.js";
import { bundle } from "./bundle.js";
import { startR2 } from "./r2.js";
import { worker } from "./workerd.js";

/** Answers `/gate` when `/open` was asked. */
async function startGate() {
  const waiting: ServerResponse[] = [];
  let arrived = 0;
  const server = createServer((request, response) => {
    if (request.url === "/open") for (const each of [response, ...waiting.splice(0)]) each.end("opened");
    else if (request.url === "/gate") {
      arrived++;
      waiting.push(response);
    } else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    arrived: () => arrived,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

export async function requestChecks({
  s3,
}: Backend): Promise<{ register(runner: Runner): void; close(): Promise<void> }> {
  const folder = await bundle("requests", { requests: "test/runtimes/entries/requests.ts" });
  const gate = await startGate();
  const r2 = await startR2("my-results", s3.credentials);
  const { bindings, ...options } = r2.worker;
  const miniflare: Miniflare = worker(folder, "requests.js", { ...options, bindings: { ...bindings, GATE: gate.url } });

  async function ask(route: string, key = ""): Promise<unknown> {
    const response = await miniflare.dispatchFetch(`http://worker.test/${route}?${new URLSearchParams({ key })}`);
    const text = await response.text();
    if (!response.ok) throw new Error(text);
    return JSON.parse(text);
  }

  return {
    register({ test }) {
      test("nothing runs at import: no timers, no I/O, no random numbers", async () => {
        const names = (await ask("imported")) as string[];
        for (const name of ["createCache", "s3Store", "presignedStore", "createPresignHandler"]) {
          check(names.includes(name), `${name} should be imported`);
        }
      });

      test("a cache may be made outside of any request", async () => {
        equal(await ask("made"), "value", "its value");
        equal(await ask("made"), "value", "its value in another request");
      });

      test("a request gets the answer of a load whose own request has ended, and so do later ones", async () => {
        equal(await ask("begin", "shared"), "begun", "the first request");
        await until(() => gate.arrived() === 1, "the load");
        equal(await ask("join", "shared"), { value: "shared: opened", calls: 1 }, "the second request");
        for (const when of ["a third request", "a fourth request"]) {
          equal(await ask("call", "shared"), { value: "shared: opened", calls: 1 }, when);
        }
        equal(gate.arrived(), 1, "how often the function ran");
      });

      test("requests that come together share one load", async () => {
        const before = gate.arrived();
        equal(await ask("begin", "herd"), "begun", "the first request");
        await until(() => gate.arrived() === before + 1, "the load");
        const all = await Promise.all(["join", "call", "call", "call"].map((route) => ask(route, "herd")));
        equal(new Set(all.map((answer) => (answer as { value: string }).value)), new Set(["herd: opened"]), "answers");
        equal(gate.arrived(), before + 1, "how often the function ran");
      });

      test("background writes are finished by waitUntil", async () => {
        equal(await ask("background", "late"), "answered", "the answer");
        const cache = createCache({ store: s3Store(r2.config), prefix: "requests/", memory: false });
        await until(async () => (await cache.get("late")) === "written", "the write");
        await cache.close();
      });

      test("s3Store reads XML without DOMParser", async () => {
        equal(
          await ask("xml"),
          { keys: ["xml/a", "xml/b&c"], size: 9 << 20, left: [], code: "ERR_NO_SUCH_BUCKET", parser: false },
          "the answer",
        );
      });
    },
    async close() {
      await miniflare.dispose();
      gate.close();
      await r2.close();
    },
  };
}
