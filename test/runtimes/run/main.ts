// Runs the suite on each runtime, one at a time, and prints one table.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startBackend, type Backend, type Run } from "./backend.js";
import { browserRuntime } from "./browsers.js";
import { bundle, ROOT } from "./bundle.js";
import { processRuntime } from "./processes.js";
import { printTable, type Row } from "./table.js";
import { workerd } from "./workerd.js";

export interface Runtime {
  name: string;
  title: string;
  /** Whether credentials may be there; else only what is presigned is tested. */
  credentials: boolean;
  /** Resolves to its version when all results are there, and the runtime is gone. */
  run(run: Run, context: { backend: Backend; suite: string }): Promise<string>;
}

const RUNTIMES: readonly Runtime[] = [
  processRuntime("node20", "Node 20"),
  processRuntime("node22", "Node 22"),
  processRuntime("node24", "Node 24"),
  processRuntime("bun", "Bun"),
  processRuntime("deno", "Deno"),
  workerd,
  browserRuntime("chromium", "Chromium"),
  browserRuntime("firefox", "Firefox"),
  browserRuntime("webkit", "WebKit"),
];

/** Of one runtime on a busy machine. Milliseconds. */
const PATIENCE = 15 * 60_000;

export async function main(args: readonly string[]): Promise<number> {
  const names = args.filter((arg) => !arg.startsWith("-"));
  const only = args.find((arg) => arg.startsWith("--only="))?.slice("--only=".length) ?? "";
  const unknown = names.filter((name) => !RUNTIMES.some((runtime) => runtime.name === name));
  if (unknown.length > 0) {
    console.error(`no runtime ${unknown.join(", ")}: there are ${RUNTIMES.map(({ name }) => name).join(", ")}`);
    return 1;
  }
  const chosen = RUNTIMES.filter(({ name }) => names.length === 0 || names.includes(name));
  const suite = await bundle("suite", {
    server: "test/runtimes/entries/server.ts",
    worker: "test/runtimes/entries/worker.ts",
    page: "test/runtimes/entries/page.ts",
  });
  const backend = await startBackend(args.includes("--minio"));
  const rows: Row[] = [];
  try {
    for (const runtime of chosen) rows.push(await runOn(runtime, backend, suite, only));
  } finally {
    await backend.close();
  }
  printTable(rows);
  report(rows);
  return rows.some(({ results, trouble }) => trouble !== undefined || results.some(({ error }) => error)) ? 1 : 0;
}

async function runOn(runtime: Runtime, backend: Backend, suite: string, only: string): Promise<Row> {
  const { title, credentials } = runtime;
  console.log(`\n${title} …`);
  const started = Date.now();
  const run = await backend.begin(title, { credentials, only });
  let version = "";
  let trouble: string | undefined;
  let timer: NodeJS.Timeout | undefined;
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not over after ${PATIENCE / 60_000} minutes`)), PATIENCE);
    });
    version = await Promise.race([runtime.run(run, { backend, suite }), late]);
    await run.readBack();
  } catch (error) {
    const last = run.results.at(-1)?.name;
    trouble = `${(error as Error).message}${last === undefined ? "" : `\nthe last result was of: ${last}`}`;
  } finally {
    clearTimeout(timer);
  }
  for (const { name, error } of run.results) if (error !== undefined) console.error(`FAILED ${name}\n${error}\n`);
  if (trouble === undefined && run.results.length === 0) trouble = "no test ran";
  if (trouble !== undefined) console.error(`FAILED ${title}: ${trouble}`);
  return { name: runtime.name, title, version, results: run.results, trouble, milliseconds: Date.now() - started };
}

/** In the form of vitest's JSON report, which .ci/count.mjs sums. */
function report(rows: readonly Row[]): void {
  const folder = join(ROOT, ".cache/runtimes");
  mkdirSync(folder, { recursive: true });
  const testResults = rows.map(({ title, results, trouble }) => ({
    name: title,
    status: trouble === undefined ? "passed" : "failed",
    message: trouble,
    assertionResults: results.map(({ name, error }) => ({
      fullName: name,
      status: error === undefined ? "passed" : "failed",
    })),
  }));
  const all = testResults.flatMap(({ assertionResults }) => assertionResults);
  const numFailedTests = all.filter(({ status }) => status === "failed").length;
  const numPassedTests = all.length - numFailedTests;
  writeFileSync(join(folder, "report.json"), JSON.stringify({ numPassedTests, numFailedTests, testResults }));
}
