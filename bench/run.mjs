/**
 * `npm run bench`: every row with its rivals in turn, in one run. `npm run bench -- NAME` runs what has that name, or
 * begins with it.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, platform, release, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { compare } from "./harness.mjs";
import { build, findBun, findChromium, findPython, install, say, startStore } from "./prepare.mjs";
import { figure, markdownTable, sidesText, textTable } from "./report.mjs";

const USAGE = `npm run bench -- [NAME…] [options]

  NAME         rows to run, by name or its beginning (default: all)
  --list       name the rows
  --quick      a third of the rounds, smaller amounts: to see that it works
  --rounds N   so many rounds of each
  --dist DIR   another build of the library
  --docs       put table, figures and plots into docs/, in place of those of earlier runs`;

const FAMILIES = [
  "memory-hits",
  "objects",
  "many",
  "first-value",
  "streams",
  "gzip",
  "stampede",
  "memory-size",
  "python",
  "browser",
  "bundle",
  "growth",
];

const { values: options, positionals: names } = parseArgs({
  allowPositionals: true,
  options: {
    list: { type: "boolean" },
    quick: { type: "boolean" },
    docs: { type: "boolean" },
    help: { type: "boolean" },
    rounds: { type: "string" },
    dist: { type: "string" },
  },
});
if (options.help) {
  console.log(USAGE);
  process.exit();
}

/** @type {import("./harness.mjs").Row[]} */
const all = [];
const dist = await build(options.dist);
process.env.BENCH_DIST = dist;
await install();
for (const family of FAMILIES) all.push(...(await import(`./rows/${family}.mjs`)).rows);
const rows = names.length === 0 ? all : all.filter(({ name }) => names.some((wanted) => name.startsWith(wanted)));
if (options.list || rows.length === 0) {
  for (const { name, title } of all) console.log(`${name.padEnd(16)} ${title}`);
  process.exit(options.list ? 0 : 1);
}

const needsStore = rows.some(({ store }) => store);
const store = needsStore ? await startStore() : undefined;
/** @type {import("./harness.mjs").Bench} */
const bench = {
  rounds: (usual) => Number(options.rounds ?? (options.quick ? Math.max(2, Math.ceil(usual / 3)) : usual)),
  scale: (amount, least = 1) => (options.quick ? Math.max(least, Math.ceil(amount / 8)) : amount),
  place: store?.place ?? { endpoint: "", accessKeyId: "", secretAccessKey: "", bucket: "" },
  dist,
  python: findPython,
  chromium: findChromium,
  bun: findBun,
  say,
  compare: (comparison) => compare(comparison, { dist }),
};

const results = [];
const failures = [];
const startedAt = new Date();
try {
  for (const row of rows) {
    const load = loadavg()[0] ?? NaN;
    const begunAt = Date.now();
    say(`${row.name} … (load ${load.toFixed(1)})`);
    try {
      const outcome = await row.run(bench);
      results.push({
        name: row.name,
        title: row.title,
        date: new Date().toISOString(),
        seconds: Math.round((Date.now() - begunAt) / 1000),
        load: [load, loadavg()[0] ?? NaN],
        ...outcome,
      });
      process.stderr.write(
        `${sidesText(outcome.sides)}\n${textTable(outcome.goals)}\n    ${Math.round((Date.now() - begunAt) / 1000)} s\n\n`,
      );
    } catch (error) {
      failures.push(row.name);
      say(`${row.name} failed: ${error instanceof Error ? String(error.stack) : String(error)}`);
    }
  }
} finally {
  await store?.stop();
}

const goals = results.flatMap((result) => result.goals);
const plots = results.flatMap((result) => result.plots ?? []);
const machine = {
  node: process.version,
  system: `${platform()} ${release()}`,
  processor: cpus()[0]?.model ?? "",
  cores: cpus().length,
  memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
};
const report = {
  date: startedAt.toISOString(),
  seconds: Math.round((Date.now() - startedAt.getTime()) / 1000),
  machine,
  results: results.map(({ plots: _, ...rest }) => rest),
  failures,
};
const json = `${JSON.stringify(report, (_, value) => (typeof value === "number" ? Number(value.toPrecision(5)) : value), 1)}\n`;
/** @param {string} path */
const at = (path) => fileURLToPath(new URL(path, import.meta.url));
mkdirSync(at("results"), { recursive: true });
writeFileSync(at("results/latest.json"), json);
for (const { name, svg } of plots) writeFileSync(at(`results/${name}.svg`), svg);

console.log(textTable(goals));
for (const note of results.flatMap((result) => result.notes ?? [])) console.log(note);
const held = goals.filter(({ holds }) => holds).length;
console.log(`\n${held} of ${goals.length} goals hold. Figures: bench/results/latest.json`);
if (failures.length > 0) console.log(`Failed: ${failures.join(", ")}`);
process.exitCode = failures.length > 0 ? 1 : 0;

if (options.docs) {
  const page = at("../docs/benchmarks.md");
  const file = at("../docs/benchmarks/results.json");
  mkdirSync(at("../docs/benchmarks"), { recursive: true });
  /** @type {any[]} Earlier results, which new results of the same name replace. */
  const before = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).results : [];
  const known = new Map([...before, ...JSON.parse(json).results].map((result) => [result.name, result]));
  const kept = all.flatMap(({ name }) => known.get(name) ?? []);
  writeFileSync(file, `${JSON.stringify({ ...report, results: kept }, undefined, 1)}\n`);
  for (const { name, svg } of plots) writeFileSync(at(`../docs/benchmarks/${name}.svg`), svg);
  const judged = kept.flatMap((result) => result.goals);
  const about =
    `Node ${machine.node.slice(1)} on ${machine.cores} cores (${machine.processor}, ${machine.memory}, ${machine.system}). ` +
    `${judged.filter(({ holds }) => holds).length} of ${judged.length} goals hold.`;
  const loads = kept.map(({ name, date, load }) => `${name} ${date.slice(0, 10)}, ${load.map(figure).join(" to ")}`);
  const made = [
    "<!-- made by npm run bench -- --docs -->",
    about,
    markdownTable(judged),
    `When each row was measured, with the load average at its begin and end, what the row itself causes included: ${loads.join("; ")}.`,
    ...kept.flatMap((result) => result.notes ?? []),
    "<!-- end -->",
  ].join("\n\n");
  writeFileSync(
    page,
    readFileSync(page, "utf8").replace(/<!-- made by[\s\S]*?<!-- end -->/, () => made),
  );
}
process.exit();
