// One suite for every runtime: the public API, on every store that a runtime can have.
import type { ObjectStore } from "bucketcache";
import { memoryStore } from "bucketcache/memory";
import { presignedStore } from "bucketcache/presigned";
import { s3Store } from "bucketcache/s3";
import { storeConformance } from "bucketcache/testing";
import { bench, type Bench, type Config, type OpenOptions } from "./bench.js";
import { errors } from "./errors.js";
import { expiry } from "./expiry.js";
import { functions } from "./functions.js";
import { run, type Result, type Runner } from "./harness.js";
import { keys } from "./keys.js";
import { streams } from "./streams.js";
import { readFrom, values, writeFor } from "./values.js";

export function suite(runner: Runner, config: Config): void {
  keys(runner, config.vectors);
  runner.describe("memoryStore", () => storeConformance(runner, async () => memoryStore()));
  for (const [kind, open] of stores(config)) {
    const one = bench({ runner, config, kind, open });
    runner.describe(`${kind}Store`, () => {
      storeConformance(runner, async () => open());
      values(one);
      functions(one);
      expiry(one);
      streams(one);
      errors(one);
      exchange(one);
    });
  }
}

function stores({ s3, presign, nowhere }: Config): [Bench["kind"], (options?: OpenOptions) => ObjectStore][] {
  const found: ReturnType<typeof stores> = [];
  if (s3 !== undefined) {
    found.push([
      "s3",
      ({ partSize, nowhere: down } = {}) =>
        s3Store({ ...s3, ...(down && { endpoint: nowhere }), ...(partSize !== undefined && { partSize }) }),
    ]);
  }
  found.push(["presigned", ({ nowhere: down } = {}) => presignedStore({ url: down ? `${nowhere}/presign` : presign })]);
  return found;
}

/** Node wrote under `from-node/` before, and reads what is written under `to-node/` afterwards. */
function exchange({ runner, cache }: Bench): void {
  readFrom(runner, "Node", () => cache("from-node"));
  runner.test("writes every kind of value for Node", () => writeFor(cache("to-node")));
}

/** What a runtime tells of its run. */
export type Message = Result | { end: true } | { trouble: string };

/** Gets its configuration from `url`, and tells it every result, and the end. */
export async function start(url: string): Promise<void> {
  const tell = async (message: Message) => {
    await (await fetch(url, { method: "POST", body: JSON.stringify(message) })).arrayBuffer();
  };
  try {
    const config = (await (await fetch(url)).json()) as Config & { only?: string };
    await run((runner) => suite(runner, config), tell, config.only);
    await tell({ end: true });
  } catch (error) {
    await tell({ trouble: String((error as Error).stack ?? error) });
    throw error;
  }
}
