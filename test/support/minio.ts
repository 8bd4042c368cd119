import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  cacheDirectory,
  findProgram,
  freePort,
  isExecutable,
  runLong,
  say,
  step,
  succeeds,
  withLock,
} from "./tools.js";

/** How to reach the S3 server of this test run; it may be told to other processes. */
export interface Minio {
  endpoint: string;
  accessKeyId: string;
  secretAccessKey: string;
}

const MODULE = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c";
// The last image that MinIO published.
const IMAGE = "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z";

const STEP = "MinIO, for the tests against a real server";
const REMEDY = `any one of these helps:
  - set BUCKETCACHE_MINIO to a minio binary, or put "minio" on PATH
  - set BUCKETCACHE_TEST_ENDPOINT, BUCKETCACHE_TEST_ACCESS_KEY_ID and BUCKETCACHE_TEST_SECRET_ACCESS_KEY to a server that runs
  - start Docker or Podman
  - install Go 1.24 or later, and let it reach a module proxy: MinIO is then built once, in about five minutes
"npm run test:unit" needs no MinIO.`;

type Source = { binary: string } | { engine: string };

/** Where to get MinIO from: environment, PATH, cache, a container engine that runs, and `go install` at last. */
export function findMinio(): Promise<Source> {
  return step(STEP, REMEDY, findOrBuildMinio);
}

async function findOrBuildMinio(): Promise<Source> {
  const named = process.env["BUCKETCACHE_MINIO"];
  if (named) {
    if (!isExecutable(named)) throw new Error(`BUCKETCACHE_MINIO is "${named}", which is not an executable file`);
    return { binary: named };
  }
  const onPath = findProgram(["minio"]);
  if (onPath !== undefined) return { binary: onPath };
  const kept = join(cacheDirectory(), "bin", process.platform === "win32" ? "minio.exe" : "minio");
  if (isExecutable(kept)) return { binary: kept };
  for (const name of ["docker", "podman"]) {
    const engine = findProgram([name]);
    if (engine === undefined || !(await succeeds(engine, ["info"]))) continue;
    try {
      await runLong(`fetching ${IMAGE} with ${name}`, engine, ["pull", "--quiet", IMAGE]);
      return { engine };
    } catch (error) {
      say(`${(error as Error).message.trim()}\ngoing on without ${name}`);
    }
  }
  const go = findProgram(["go"], ["/usr/local/go/bin"]);
  if (go === undefined) {
    throw new Error("neither minio nor go is on PATH, the cache holds no MinIO, and neither Docker nor Podman runs");
  }
  await withLock("minio", async () => {
    if (isExecutable(kept)) return;
    const folder = join(cacheDirectory(), `build-${process.pid}`);
    mkdirSync(join(cacheDirectory(), "bin"), { recursive: true });
    try {
      // Into a folder of its own, then moved: a build that is cut short never looks like a binary.
      const env = { GOBIN: folder, CGO_ENABLED: "0" };
      await runLong("building MinIO with Go, once (about five minutes)", go, ["install", MODULE], { env });
      renameSync(join(folder, process.platform === "win32" ? "minio.exe" : "minio"), kept);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
  return { binary: kept };
}

/** Starts MinIO on a free port with credentials and a folder of its own. It ends with `stop`, or with this process. */
export function startMinio(): Promise<{ minio: Minio; stop(): Promise<void> }> {
  return step(STEP, REMEDY, reachOrStartMinio);
}

async function reachOrStartMinio(): Promise<{ minio: Minio; stop(): Promise<void> }> {
  const given = serverFromEnvironment();
  if (given !== undefined) {
    await ready(given.endpoint, () => undefined);
    return { minio: given, stop: async () => {} };
  }
  const source = await findMinio();
  // Another process may take the free port in between: try again with another one.
  for (let attempt = 1; ; attempt++) {
    try {
      return await launch(source, await freePort());
    } catch (error) {
      if (attempt === 3) throw error;
    }
  }
}

function serverFromEnvironment(): Minio | undefined {
  const endpoint = process.env["BUCKETCACHE_TEST_ENDPOINT"];
  if (!endpoint) return undefined;
  const accessKeyId = process.env["BUCKETCACHE_TEST_ACCESS_KEY_ID"];
  const secretAccessKey = process.env["BUCKETCACHE_TEST_SECRET_ACCESS_KEY"];
  if (!accessKeyId || !secretAccessKey) {
    throw new Error(
      "BUCKETCACHE_TEST_ENDPOINT also needs BUCKETCACHE_TEST_ACCESS_KEY_ID and BUCKETCACHE_TEST_SECRET_ACCESS_KEY",
    );
  }
  return { endpoint: endpoint.replace(/\/+$/, ""), accessKeyId, secretAccessKey };
}

async function launch(source: Source, port: number): Promise<{ minio: Minio; stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), "bucketcache-minio-"));
  const minio: Minio = {
    endpoint: `http://127.0.0.1:${port}`,
    accessKeyId: randomBytes(10).toString("hex"),
    secretAccessKey: randomBytes(20).toString("hex"),
  };
  const env = {
    MINIO_ROOT_USER: minio.accessKeyId,
    MINIO_ROOT_PASSWORD: minio.secretAccessKey,
    MINIO_BROWSER: "off",
    MINIO_UPDATE: "off",
  };
  // Names without values take them from the environment, so that no secret is seen among the arguments.
  const names = Object.keys(env).flatMap((name) => ["--env", name]);
  const command =
    "binary" in source
      ? [source.binary, "server", folder, "--address", `127.0.0.1:${port}`]
      : [source.engine, "run", "--rm", "--publish", `127.0.0.1:${port}:9000`].concat(names, IMAGE, "server", "/data");
  const supervisor = fileURLToPath(new URL("supervise.mjs", import.meta.url));
  const child = spawn(process.execPath, [supervisor, folder, ...command], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  let output = "";
  const keep = (chunk: Buffer) => (output = (output + chunk.toString()).slice(-4000));
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  // The pipe breaks when the supervisor ends, which is noticed below.
  child.stdin.on("error", () => {});
  let ended = false;
  const exit = new Promise<void>((resolve) => {
    child.once("close", () => {
      ended = true;
      resolve();
    });
  });
  const stop = async () => {
    child.stdin.end();
    await exit;
  };
  try {
    await ready(minio.endpoint, () => (ended ? `it ended:\n${output}` : undefined));
  } catch (error) {
    await stop();
    throw error;
  }
  return { minio, stop };
}

/** Resolves when the server answers; `failed` says why it never will. */
async function ready(endpoint: string, failed: () => string | undefined): Promise<void> {
  const end = Date.now() + 60_000;
  for (;;) {
    const why = failed();
    if (why !== undefined) throw new Error(`MinIO does not start: ${why}`);
    try {
      // Any answer will do: another S3 server than MinIO may be named by the environment.
      const answer = await fetch(`${endpoint}/minio/health/live`, { signal: AbortSignal.timeout(5_000) });
      await answer.body?.cancel();
      if (answer.status < 500) return;
    } catch {
      // Not listening yet.
    }
    if (Date.now() > end) throw new Error(`${endpoint} does not answer`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
