// What a page downloads: bundles the entry point with the presigned store as an application would, and holds the
// result to its limit. Run after a build: it is the published files that are measured.
import { existsSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const KIB = 1024;
// What it shall be, and what it may be until then: the limits only ever go down.
const GOAL = { first: 22 * KIB, all: 42 * KIB };
const LIMIT = { first: 22.25 * KIB, all: 38.25 * KIB };
// What a page imports. The other entry points are for servers and tests, and are listed without a limit.
const PAGE = [".", "./presigned"];

const { name, exports: entries } = JSON.parse(readFileSync("package.json", "utf8"));
const present = Object.entries(entries)
  .filter(([, target]) => target.default !== undefined && existsSync(target.default))
  .map(([subpath]) => subpath);
const page = PAGE.filter((subpath) => present.includes(subpath));
if (!page.includes(".")) fail("dist/index.js is missing: run `npm run build` first");

const kib = (bytes) => `${(bytes / KIB).toFixed(2).padStart(7)} KiB`;
let failed = false;

const bundle = await measure(page);
console.log(`${page.map(specifier).join(" + ")}, minified and gzipped:`);
for (const { file, size, first, sources } of bundle.chunks) {
  console.log(`  ${kib(size)}  ${first ? "first" : "lazy "}  ${file}`);
  // Minified but not yet gzipped, as the share of one file in a compressed whole cannot be told.
  console.log(`${" ".repeat(15)}${sources.map(({ name, bytes }) => `${name} ${bytes}`).join(", ")}`);
}
hold("at first", bundle.first, LIMIT.first, GOAL.first);
hold("in all", bundle.all, LIMIT.all, GOAL.all);
for (const foreign of bundle.foreign) {
  failed = true;
  console.error(`  FAILED: the bundle holds ${foreign}`);
}
for (const subpath of PAGE.filter((subpath) => !page.includes(subpath))) {
  console.log(`  not measured: ${specifier(subpath)} does not exist yet`);
}

console.log("Each entry point on its own, with its lazy parts, what is not ours left out:");
for (const subpath of present) {
  const { first, all } = await measure([subpath]);
  console.log(`  ${kib(first)} at first, ${kib(all)} in all  ${specifier(subpath)}`);
}
process.exitCode = failed ? 1 : 0;

function specifier(subpath) {
  return name + subpath.slice(1);
}

function hold(what, size, limit, goal) {
  const over = size > limit;
  failed ||= over;
  const verdict = over ? "  FAILED: over the limit" : size > goal ? "  (goal not reached)" : "";
  console.log(`  ${kib(size)} ${what}, limit ${kib(limit).trim()}, goal ${kib(goal).trim()}${verdict}`);
}

async function measure(subpaths) {
  const { outputFiles, metafile } = await build({
    stdin: {
      contents: subpaths.map((subpath) => `export * from ${JSON.stringify(specifier(subpath))};`).join("\n"),
      resolveDir: process.cwd(),
      sourcefile: "page.js",
    },
    bundle: true,
    splitting: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    // Left as imports, so that one that gets in is seen below instead of being bundled or failing here.
    external: ["node:*", "@aws-sdk/*", "@smithy/*"],
    outdir: "out",
    write: false,
    metafile: true,
    legalComments: "none",
    logLevel: "error",
  });
  const outputs = metafile.outputs;
  const entry = Object.keys(outputs).find((file) => outputs[file].entryPoint !== undefined);
  const first = new Set();
  (function visit(file) {
    if (first.has(file)) return;
    first.add(file);
    for (const { path, kind, external } of outputs[file].imports) {
      if (kind === "import-statement" && !external) visit(path);
    }
  })(entry);

  const foreign = new Set();
  const chunks = outputFiles.map(({ path, contents, text }) => {
    const file = Object.keys(outputs).find((output) => path.replaceAll("\\", "/").endsWith(`/${output}`));
    for (const { path: imported, external } of outputs[file].imports) if (external) foreign.add(imported);
    // Also where a bundler does not see an import: in a string that is imported later, or left of a dead branch.
    for (const [found] of text.matchAll(/@aws-sdk\/[\w-]+|(?:from|import|require)\s*\(?\s*["'`]node:[\w/]+/g)) {
      foreign.add(found);
    }
    const sources = Object.entries(outputs[file].inputs)
      .map(([input, { bytesInOutput: bytes }]) => ({ name: input.replace(/^(dist|.*node_modules)\//, ""), bytes }))
      .filter(({ bytes }) => bytes > 0)
      .sort((a, b) => b.bytes - a.bytes);
    return {
      file: file.replace(/^out\//, ""),
      size: gzipSync(contents, { level: 9 }).length,
      first: first.has(file),
      sources,
    };
  });
  chunks.sort((a, b) => Number(b.first) - Number(a.first) || b.size - a.size);
  const sum = (list) => list.reduce((total, { size }) => total + size, 0);
  return { chunks, foreign, first: sum(chunks.filter((chunk) => chunk.first)), all: sum(chunks) };
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
