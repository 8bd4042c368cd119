/** Prepares a run: builds the library, installs the rivals, and gets MinIO, Python and a browser as the tests do. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync, statfsSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const BENCH = fileURLToPath(new URL(".", import.meta.url));

/** @param {string} text */
export const say = (text) => process.stderr.write(`[bench] ${text}\n`);

/** @param {string} command @param {string[]} args @param {string} cwd @returns {Promise<void>} */
function run(command, args, cwd) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ["ignore", 2, 2], shell: process.platform === "win32" });
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve() : reject(new Error(`${command} ${args.join(" ")} ended with ${code}`)),
    );
  });
}

/** The build, made anew where a source is younger; as a URL, to import from. @param {string | undefined} named */
export async function build(named) {
  if (named !== undefined) return pathToFileURL(join(process.cwd(), named)).href;
  const newest = Math.max(
    ...readdirSync(join(ROOT, "src"), { recursive: true }).map(
      (name) => statSync(join(ROOT, "src", String(name))).mtimeMs,
    ),
  );
  const index = join(ROOT, "dist", "index.js");
  if (!existsSync(index) || statSync(index).mtimeMs < newest) {
    say("building the library …");
    await run("npm", ["run", "--silent", "build"], ROOT);
  }
  return pathToFileURL(join(ROOT, "dist")).href;
}

/** The rivals, where the lock file has changed since they were installed. */
export async function install() {
  const lock = readFileSync(join(BENCH, "package-lock.json"), "utf8");
  const mark = join(BENCH, "node_modules", ".installed");
  if (existsSync(mark) && readFileSync(mark, "utf8") === lock) return;
  say("installing the rivals …");
  // None of them needs its install script, Bun neither: its binary is a package of its own.
  await run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], BENCH);
  writeFileSync(mark, lock);
}

/** The Bun that was installed for this platform. */
export function findBun() {
  const folder = join(BENCH, "node_modules", "@oven");
  if (!existsSync(folder)) return undefined;
  // The baseline builds run everywhere, and the others faster.
  for (const name of readdirSync(folder).sort((a, b) => a.length - b.length)) {
    const file = join(folder, name, "bin", process.platform === "win32" ? "bun.exe" : "bun");
    if (existsSync(file)) return file;
  }
  return undefined;
}

/** @type {Promise<import("vite").ViteDevServer> | undefined} */
let loader;

/** The tests' set-up is TypeScript, which not every Node can import. @param {string} name @returns {Promise<any>} */
async function support(name) {
  const { createServer } = await import("vite");
  loader ??= createServer({
    root: ROOT,
    configFile: false,
    logLevel: "error",
    appType: "custom",
    server: { middlewareMode: true, watch: null, ws: false },
    optimizeDeps: { noDiscovery: true },
  });
  return (await loader).ssrLoadModule(join(ROOT, "test", "support", name));
}

/** Where Linux keeps files in memory. MinIO waits for the disk at each write, and the disk is not what is compared. */
const IN_MEMORY = "/dev/shm";
const ENOUGH = 4 * 2 ** 30;

/** MinIO with an empty bucket. */
export async function startStore() {
  const { startMinio } = await support("minio.ts");
  const usual = process.env.TMPDIR;
  const room = existsSync(IN_MEMORY) ? statfsSync(IN_MEMORY) : undefined;
  const inMemory = room !== undefined && room.bavail * room.bsize >= ENOUGH;
  if (inMemory) process.env.TMPDIR = IN_MEMORY;
  const { minio, stop } = await startMinio();
  if (inMemory) {
    if (usual === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = usual;
  }
  const bucket = `bench-${randomBytes(6).toString("hex")}`;
  const { CreateBucketCommand, S3Client } = createRequire(import.meta.url)("@aws-sdk/client-s3");
  const { endpoint, accessKeyId, secretAccessKey } = minio;
  const client = new S3Client({
    endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  return { place: { endpoint, accessKeyId, secretAccessKey, bucket }, stop };
}

export async function findPython() {
  return (await support("python.ts")).ensurePython();
}

export async function findChromium() {
  const { chromium } = await (await support("browsers.ts")).ensureBrowsers(["chromium"]);
  return chromium.executablePath;
}
