// Runs the suite on each runtime, one at a time, and prints one table.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Group } from "../suite/bench.js";
import { run as runTests, type Result, type Runner } from "../suite/harness.js";
import { startBackend, type Backend, type Run } from "./backend.js";
import { browserRuntime } from "./browsers.js";
import { bundle, ROOT } from "./bundle.js";
import { processRuntime } from "./processes.js";
import { requestChecks } from "./requests.js";
import { startChecks } from "./starts.js";
import { missing, outdated, printTable, writeDocs, type Row } from "./table.js";
import { workerd } from "./workerd.js";

export interface Runtime {
  name: string;
  title: string;
  /** Groups of tests, by run: without credentials only presigned stores, and the SDK in a run of its own. */
  runs: readonly (readonly Group[])[];
  /** Resolves to its version when all results are there, and the runtime is gone. */
  run(run: Run, context: RunContext): Promise<string>;
}

export interface RunContext {
  backend: Backend;
  groups: readonly Group[];
  /** The folder of the suite as a bundle, and of the same with the SDK's client. */
  suite: string;
  sdk: string;
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

/** Tests of a runtime beyond the suite, which run in this process. */
interface Checks {
  name: string;
  title: string;
  prepare(backend: Backend): Promise<{ register(runner: Runner): void; close(): Promise<void> }>;
}

const CHECKS: readonly Checks[] = [
  { name: "requests", title: "workerd, across requests", prepare: requestChecks },
  { name: "starts", title: "the starts to copy", prepare: startChecks },
];

/** Longest run of one runtime on a busy machine. Milliseconds. */
const PATIENCE = 20 * 60_000;

export async function main(args: readonly string[]): Promise<number> {
  const names = args.filter((arg) => !arg.startsWith("-"));
  const only = args.find((arg) => arg.startsWith("--only="))?.slice("--only=".length) ?? "";
  const known = [...RUNTIMES, ...CHECKS].map(({ name }) => name);
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    console.error(`there is no ${unknown.join(", ")}: there are ${known.join(", ")}`);
    return 1;
  }
  const isChosen = ({ name }: { name: string }) => names.length === 0 || names.includes(name);
  const suite = await bundle("suite", {
    server: "test/runtimes/entries/server.ts",
    worker: "test/runtimes/entries/worker.ts",
    page: "test/runtimes/entries/page.ts",
  });
  const sdk = await bundle("sdk", { sdk: "test/runtimes/entries/sdk.ts" });
  const backend = await startBackend(args.includes("--minio"));
  const rows: Row[] = [];
  const others: Row[] = [];
  try {
    for (const runtime of RUNTIMES.filter(isChosen)) rows.push(await runOn(runtime, { backend, suite, sdk }, only));
    for (const checks of CHECKS.filter(isChosen)) others.push(await runChecks(checks, backend, only));
  } finally {
    await backend.close();
  }
  for (const [title, names] of missing(rows)) {
    const row = rows.find((row) => row.title === title) as Row;
    row.trouble ??= `it lacks tests that others have:\n  ${names.join("\n  ")}`;
    console.error(`FAILED ${title}: ${row.trouble}`);
  }
  printTable(rows, others);
  let isOutdated = false;
  if (names.length === 0 && only === "" && !rows.some(isBad)) {
    if (args.includes("--docs")) await writeDocs(rows);
    const { left, counts } = outdated(rows);
    isOutdated = left.length > 0;
    if (isOutdated) console.error(`FAILED docs/runtimes.md does not say what these leave out: ${left.join(", ")}`);
    else if (counts.length > 0)
      console.log(`docs/runtimes.md has other numbers for ${counts.join(", ")}: run with --docs`);
  }
  const file = args.find((arg) => arg.startsWith("--outputFile.json="))?.slice("--outputFile.json=".length);
  report([...rows, ...others], file ?? join(ROOT, ".cache/runtimes/report.json"));
  return isOutdated || [...rows, ...others].some(isBad) ? 1 : 0;
}

const isBad = ({ results, trouble }: Row) => trouble !== undefined || results.some(({ error }) => error !== undefined);

async function runChecks({ title, prepare }: Checks, backend: Backend, only: string): Promise<Row> {
  console.log(`\n${title} …`);
  const started = Date.now();
  const results: Result[] = [];
  let trouble: string | undefined;
  try {
    const { register, close } = await prepare(backend);
    try {
      await runTests(register, async (result) => results.push(result), only);
    } finally {
      await close();
    }
  } catch (error) {
    trouble = (error as Error).message;
  }
  return finished({ title, version: "", results, trouble, started });
}

function finished({ started, ...row }: Omit<Row, "milliseconds"> & { started: number }): Row {
  const { title, results } = row;
  let { trouble } = row;
  for (const { name, error } of results) if (error !== undefined) console.error(`FAILED ${name}\n${error}\n`);
  if (trouble === undefined && results.length === 0) trouble = "no test ran";
  if (trouble !== undefined) console.error(`FAILED ${title}: ${trouble}`);
  return { ...row, trouble, milliseconds: Date.now() - started };
}

async function runOn(runtime: Runtime, context: Omit<RunContext, "groups">, only: string): Promise<Row> {
  const { title, runs } = runtime;
  console.log(`\n${title} …`);
  const started = Date.now();
  const row: Row = { title, version: "", results: [], trouble: undefined, milliseconds: 0 };
  for (const groups of runs) {
    const { version, results, trouble } = await runGroups(runtime, { ...context, groups }, only);
    row.version ||= version;
    row.results = [...row.results, ...results];
    row.trouble ??= trouble;
  }
  return finished({ ...row, started });
}

async function runGroups(
  runtime: Runtime,
  context: RunContext,
  only: string,
): Promise<Pick<Row, "version" | "results" | "trouble">> {
  const run = await context.backend.begin({ groups: context.groups, only });
  let version = "";
  let trouble: string | undefined;
  let timer: NodeJS.Timeout | undefined;
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not over after ${PATIENCE / 60_000} minutes`)), PATIENCE);
    });
    version = await Promise.race([runtime.run(run, context), late]);
    await run.readBack();
  } catch (error) {
    const last = run.results.at(-1)?.name;
    trouble = `${(error as Error).message}${last === undefined ? "" : `\nthe last result was of: ${last}`}`;
  } finally {
    clearTimeout(timer);
  }
  return { version, results: run.results, trouble };
}

/** In the form of vitest's JSON report, which .ci/count.mjs sums. */
function report(rows: readonly Row[], file: string): void {
  mkdirSync(dirname(file), { recursive: true });
  const testResults = rows.map(({ title, results, trouble }) => ({
    name: title,
    status: trouble === undefined ? "passed" : "failed",
    message: trouble,
    assertionResults: results.map(({ name, milliseconds, error }) => ({
      fullName: name,
      duration: milliseconds,
      status: error === undefined ? "passed" : "failed",
    })),
  }));
  const all = testResults.flatMap(({ assertionResults }) => assertionResults);
  const numFailedTests = all.filter(({ status }) => status === "failed").length;
  const numPassedTests = all.length - numFailedTests;
  writeFileSync(file, JSON.stringify({ numPassedTests, numFailedTests, testResults }));
}
