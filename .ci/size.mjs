// What a page downloads for what it does: bundles the published files as an application would, runs the page against a
// bucket and a handler of this process, and counts the chunks that were loaded. Run after a build.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const KIB = 1024;
// What each use does is added to what the uses before it do. A limit is what held when it was set, and only goes down.
const USES = [
  {
    name: "read values",
    goal: 28 * KIB,
    limit: 46 * KIB,
    code: `
      if ((await cache.get("small"))?.n !== 1) throw new Error("the small value was not read");
      if ((await cache.get("packed"))?.length !== 100) throw new Error("the compressed value was not read");`,
  },
  {
    name: "read and write values",
    goal: 32 * KIB,
    limit: 46 * KIB,
    code: `
      const rows = Array.from({ length: 100 }, (_, n) => ({ n, city: "Berlin" }));
      await cache.set("written", rows);
      if ((await cache.get("written"))?.length !== 100) throw new Error("the value was not written");`,
  },
  {
    name: "upload in parts",
    goal: 42 * KIB,
    limit: 46 * KIB,
    code: `
      await cache.set("large", new Blob([new Uint8Array(11 * 1024 * 1024)]));
      if ((await cache.getEntry("large"))?.size !== 11 * 1024 * 1024) throw new Error("nothing was uploaded");`,
  },
];

const FOLDER = join(".cache", "size");
const { name, exports: entries } = JSON.parse(readFileSync("package.json", "utf8"));
if (!existsSync("dist/index.js")) fail("dist/index.js is missing: run `npm run build` first");
rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(FOLDER, { recursive: true });

const kib = (bytes) => `${(bytes / KIB).toFixed(2).padStart(7)} KiB`;
let failed = false;

const backend = await startBackend();
try {
  for (const [index, use] of USES.entries())
    await check(
      use,
      USES.slice(0, index + 1)
        .map(({ code }) => code)
        .join(""),
    );
} finally {
  await backend.close();
}

console.log("Each entry point on its own, with its lazy parts, what is not ours left out:");
for (const [subpath, target] of Object.entries(entries)) {
  if (target.default === undefined || !existsSync(target.default)) continue;
  const { first, chunks } = await bundle(`export * from ${JSON.stringify(name + subpath.slice(1))};`);
  const sum = (list) => list.reduce((total, { size }) => total + size, 0);
  const atFirst = sum(chunks.filter(({ file }) => first.has(file)));
  console.log(`  ${kib(atFirst)} at first, ${kib(sum(chunks))} in all  ${name}${subpath.slice(1)}`);
}
process.exitCode = failed ? 1 : 0;

async function check({ name: use, goal, limit }, code) {
  const { first, chunks, foreign } = await bundle(`
    import { createCache } from "${name}";
    import { presignedStore } from "${name}/presigned";
    export async function page(url) {
      const cache = createCache({ store: presignedStore({ url }), prefix: "cache/" });
      ${code}
      await cache.close();
    }`);
  const loaded = await run(chunks);
  const used = chunks.filter(({ file }) => loaded.has(file));
  used.sort((a, b) => Number(first.has(b.file)) - Number(first.has(a.file)) || b.size - a.size);
  const total = used.reduce((sum, { size }) => sum + size, 0);
  console.log(`To ${use}, minified and gzipped:`);
  for (const { file, size, sources } of used) {
    console.log(`  ${kib(size)}  ${first.has(file) ? "first" : "lazy "}  ${file}`);
    // Minified but not yet gzipped, as the share of one file in a compressed whole cannot be told.
    console.log(`${" ".repeat(15)}${sources.map(({ name, bytes }) => `${name} ${bytes}`).join(", ")}`);
  }
  const over = total > limit;
  failed ||= over;
  const verdict = over ? "FAILED: over the limit" : total > goal ? "goal not reached" : "goal reached";
  console.log(`  ${kib(total)} to ${use}, limit ${kib(limit).trim()}, goal ${kib(goal).trim()} (${verdict})`);
  for (const what of foreign) {
    failed = true;
    console.error(`  FAILED: the bundle holds ${what}`);
  }
}

/** The chunks of a page. */
async function bundle(contents) {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: process.cwd(), sourcefile: "page.js" },
    bundle: true,
    splitting: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    // Left as imports, so that one that gets in is seen below instead of being bundled or failing here.
    external: ["node:*", "@aws-sdk/*", "@smithy/*"],
    entryNames: "page",
    outdir: "out",
    write: false,
    metafile: true,
    legalComments: "none",
    logLevel: "error",
  });
  const outputs = metafile.outputs;
  const foreign = new Set();
  const chunks = outputFiles.map(({ path, contents, text }) => {
    const output = Object.keys(outputs).find((file) => path.replaceAll("\\", "/").endsWith(`/${file}`));
    for (const { path: imported, external } of outputs[output].imports) if (external) foreign.add(imported);
    // Also where a bundler does not see an import: in a string that is imported later, or left of a dead branch.
    for (const [found] of text.matchAll(/@aws-sdk\/[\w-]+|(?:from|import|require)\s*\(?\s*["'`]node:[\w/]+/g)) {
      foreign.add(found);
    }
    const sources = Object.entries(outputs[output].inputs)
      .map(([input, { bytesInOutput: bytes }]) => ({ name: input.replace(/^(dist|.*node_modules)\//, ""), bytes }))
      .filter(({ bytes }) => bytes > 0)
      .sort((a, b) => b.bytes - a.bytes);
    return { file: output.replace(/^out\//, ""), text, size: gzipSync(contents, { level: 9 }).length, sources };
  });
  const first = new Set();
  (function visit(file) {
    if (first.has(file)) return;
    first.add(file);
    for (const { path, kind, external } of outputs[`out/${file}`].imports) {
      if (kind === "import-statement" && !external) visit(path.replace(/^out\//, ""));
    }
  })("page.js");
  return { first, chunks, foreign };
}

/** Runs a page, and tells which of its chunks were loaded. */
async function run(chunks) {
  for (const { file, text } of chunks) {
    writeFileSync(join(FOLDER, file), `(globalThis.loadedChunks ??= new Set()).add(${JSON.stringify(file)});\n${text}`);
  }
  const program = `
    const { exit, stdout } = process;
    // As in a page: no Node, and a document.
    globalThis.process = undefined;
    globalThis.document = {};
    try {
      const { page } = await import(${JSON.stringify(pathToFileURL(join(FOLDER, "page.js")).href)});
      await page(${JSON.stringify(backend.url)});
      stdout.write(JSON.stringify([...globalThis.loadedChunks]), () => exit(0));
    } catch (error) {
      console.error(error);
      exit(1);
    }`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.on("data", (data) => (said += data));
  const code = await new Promise((resolve) => child.on("close", resolve));
  if (code !== 0) fail("the page failed, see above");
  return new Set(JSON.parse(said));
}

/** A bucket with two values, and a handler that grants access to it. */
async function startBackend() {
  const { createCache } = await import(name);
  const { startDevServer } = await import(`${name}/dev`);
  const { createPresignHandler, toNodeListener } = await import(`${name}/handler`);
  const { s3Store } = await import(`${name}/s3`);
  const { close, ...server } = await startDevServer({ buckets: ["page"] });
  const store = s3Store({ ...server, bucket: "page" });
  const cache = createCache({ store });
  await cache.set("small", { n: 1 });
  await cache.set(
    "packed",
    Array.from({ length: 100 }, (_, n) => ({ n, city: "Paris" })),
  );
  await cache.close();
  const http = createServer(toNodeListener(createPresignHandler({ store, authorize: () => true })));
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${http.address().port}/`,
    async close() {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
      await close();
    },
  };
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
