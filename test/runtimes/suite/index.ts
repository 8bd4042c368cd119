// One suite for every runtime: the public API, on every store that a runtime can have.
import type { ObjectStore } from "bucketcache";
import { memoryStore } from "bucketcache/memory";
import { presignedStore } from "bucketcache/presigned";
import { s3Store, type S3ClientLike } from "bucketcache/s3";
import { storeConformance } from "bucketcache/testing";
import { bench, TITLES, type Bench, type Config, type OpenOptions, type StoreKind } from "./bench.js";
import { errors } from "./errors.js";
import { expiry } from "./expiry.js";
import { functions } from "./functions.js";
import { run, type Result, type Runner } from "./harness.js";
import { keys } from "./keys.js";
import { streams } from "./streams.js";
import { readFrom, values, writeFor } from "./values.js";

/** Makes an `S3Client`, where the SDK is. */
export type MakeClient = (config: Omit<NonNullable<Config["s3"]>, "bucket">) => S3ClientLike;

export function suite(runner: Runner, config: Config, makeClient?: MakeClient): void {
  const { groups } = config;
  if (groups.includes("keys")) keys(runner, config.vectors);
  if (groups.includes("memory")) {
    runner.describe("memoryStore", () => storeConformance(runner, async () => memoryStore()));
  }
  const open = openers(config, makeClient);
  for (const kind of ["s3", "client", "presigned"] as const) {
    if (!groups.includes(kind)) continue;
    const one = bench({ runner, config, kind, open: open[kind] });
    runner.describe(TITLES[kind], () => {
      // A handler refuses backslashes, which some stores take for slashes.
      storeConformance(runner, async () => one.open(), { limits: kind === "presigned" ? ["backslashes"] : [] });
      values(one);
      functions(one);
      expiry(one);
      streams(one);
      errors(one);
      exchange(one);
    });
  }
}

function openers(
  { s3, presign, nowhere }: Config,
  makeClient?: MakeClient,
): Record<StoreKind, (options?: OpenOptions) => ObjectStore> {
  const placeOf = ({ nowhere: down, ...options }: OpenOptions) => {
    if (s3 === undefined) throw new Error("only presigned stores may be tested where no credentials may be");
    return { ...s3, ...options, ...(down && { endpoint: nowhere }) };
  };
  return {
    s3: (options = {}) => s3Store(placeOf(options)),
    client(options = {}) {
      const { bucket, partSize, ...config } = placeOf(options);
      if (makeClient === undefined) throw new Error("there is no SDK");
      return s3Store({ bucket, client: makeClient(config), ...(partSize !== undefined && { partSize }) });
    },
    presigned: ({ nowhere: down } = {}) => presignedStore({ url: down ? `${nowhere}/presign` : presign }),
  };
}

/** Node wrote under `from-node/` before, and reads what is written under `to-node/` afterwards. */
function exchange({ runner, cache }: Bench): void {
  readFrom(runner, "Node", () => cache("from-node"));
  runner.test("writes every kind of value for Node", () => writeFor(cache("to-node")));
}

/** A message of a runtime about its run. */
export type Message = Result | { end: true } | { trouble: string };

/** Gets its configuration from `url`, and tells it every result, and the end. */
export async function start(url: string, makeClient?: MakeClient): Promise<void> {
  const tell = async (message: Message) => {
    await (await fetch(url, { method: "POST", body: JSON.stringify(message) })).arrayBuffer();
  };
  try {
    const config = (await (await fetch(url)).json()) as Config & { only?: string };
    await run((runner) => suite(runner, config, makeClient), tell, config.only);
    await tell({ end: true });
  } catch (error) {
    await tell({ trouble: String((error as Error).stack ?? error) });
    throw error;
  }
}
