import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cacheDirectory, findProgram, runLong, say, step, succeeds, withLock } from "./tools.js";

// The Python programs that share buckets with us, and the tools that their users have at hand.
const PACKAGES = ["awscli==1.46.3", "boto3==1.44.5", "core-aws==3.1.2", "etl-pycache==1.0.0"];
const MODULES = "import awscli, boto3, core_aws, etl_pycache";

const REMEDY = `any one of these helps:
  - install Python 3.9 or later with its venv module (Debian: apt-get install python3-venv), and let pip reach PyPI or a mirror of it
  - set BUCKETCACHE_PYTHON to an interpreter that has ${PACKAGES.join(", ")}
"npm run test:unit" and "npm run test:e2e" need no Python.`;

/** The interpreter with the Python peers, in a virtual environment of its own that is made on first use. */
export function ensurePython(): Promise<string> {
  return step("Python, for the tests against the Python peers", REMEDY, findOrMakePython);
}

async function findOrMakePython(): Promise<string> {
  const named = process.env["BUCKETCACHE_PYTHON"];
  if (named) {
    if (await succeeds(named, ["-c", MODULES], 60_000)) return named;
    throw new Error(`BUCKETCACHE_PYTHON is "${named}", which cannot "${MODULES}"`);
  }
  const pins = createHash("sha256").update(PACKAGES.join()).digest("hex").slice(0, 8);
  const folder = join(cacheDirectory(), `python-${pins}`);
  const python = process.platform === "win32" ? join(folder, "Scripts", "python.exe") : join(folder, "bin", "python");
  const complete = join(folder, "complete");
  if (existsSync(complete) && (await succeeds(python, ["--version"]))) return python;
  const base = findProgram(["python3", "python"]);
  if (base === undefined) throw new Error("there is neither python3 nor python on PATH");
  await withLock("python", async () => {
    if (existsSync(complete) && (await succeeds(python, ["--version"]))) return;
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    await runLong("making a Python environment", base, ["-m", "venv", folder]);
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"];
    await runLong(`installing ${PACKAGES.join(", ")}`, python, [...pip, ...PACKAGES]);
    writeFileSync(complete, "");
    say(`Python peers are in ${folder}`);
  });
  return python;
}

/** Runs a script and resolves with what it printed; one that fails rejects with its traceback. */
export function runPython(
  python: string,
  script: string,
  options: { args?: readonly string[]; input?: string | Uint8Array; env?: Record<string, string> } = {},
): Promise<string> {
  return run(python, ["-c", script, ...(options.args ?? [])], options);
}

/** Runs the AWS command line, as in `aws s3 ls`, and resolves with what it printed. */
export function runAws(
  python: string,
  args: readonly string[],
  options: { input?: string | Uint8Array; env?: Record<string, string> } = {},
): Promise<string> {
  return run(python, ["-m", "awscli", ...args], options);
}

function run(
  command: string,
  args: readonly string[],
  { input = "", env = {} }: { input?: string | Uint8Array; env?: Record<string, string> },
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env: { ...process.env, PYTHONIOENCODING: "utf-8", AWS_PAGER: "", ...env } });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(Buffer.concat(out).toString());
      else reject(new Error(`${args.slice(0, 3).join(" ")} ended with ${code}:\n${Buffer.concat(err).toString()}`));
    });
    // A script that ends before it has read everything breaks the pipe, and its exit code says why.
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
}
