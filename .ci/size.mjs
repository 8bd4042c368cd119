// Measures how much code a page downloads for its work, and how often it waits for code before its first GET: bundles the
// published files as an application would, and runs the page against a bucket and a handler of this process. Run after a
// build.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { SourceMap } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const KIB = 1024;
// Each use comes after the uses before it, in the same page. A limit is what held when it was set, and only goes down.
const USES = [
  {
    name: "read values",
    goal: 28 * KIB,
    limit: 40 * KIB,
    code: `
      if ((await cache.get("small"))?.n !== 1) throw new Error("the small value was not read");
      if ((await cache.get("packed"))?.length !== 100) throw new Error("the compressed value was not read");`,
  },
  {
    name: "read and write values",
    goal: 32 * KIB,
    limit: 45.25 * KIB,
    code: `
      const rows = Array.from({ length: 100 }, (_, n) => ({ n, city: "Berlin" }));
      await cache.set("written", rows);
      if ((await cache.get("written"))?.length !== 100) throw new Error("the value was not written");`,
  },
  {
    name: "upload in parts",
    goal: 42 * KIB,
    limit: 48.5 * KIB,
    code: `
      await cache.set("large", new Blob([new Uint8Array(11 * 1024 * 1024)]));
      if ((await cache.getEntry("large"))?.size !== 11 * 1024 * 1024) throw new Error("nothing was uploaded");`,
  },
];

// Rounds of requests for code before the first GET. A chunk comes in one round with its static imports, as bundlers preload
// these; the request to the handler, which comes after the code, is not among them.
const MAX_ROUNDS = 2;

// The purpose of each file of dist that a page loads. A chunk of the page that holds none of them is the page's own.
const PURPOSES = {
  "index.js": "creates caches, wraps functions, answers from memory",
  "stores/presigned.js": "checks the options of the store",
  "shared/start.js": "is shared by the cache and all stores: reading, order of writes, keys, codecs, clock, errors",
  "shared/soon.js": "is shared by stores: requests to S3, their answers and errors",
  "shared/later.js": "is shared by parts that are loaded when needed: gzip of streams",
  "shared/handler-store.js": "asks the handler for grants, and redeems them",
  "shared/grant-store.js": "redeems grants that somebody handed over",
  "shared/fflate-gunzip.js": "decompresses small values, in pages",
  "shared/fflate-gzip.js": "compresses small values, in pages",
  "shared/put.js": "writes objects",
  "shared/rare.js": "reads and loads streams, grants access, lists and clears",
  "shared/upload.js": "uploads bodies",
  "shared/large-write.js": "uploads in parts",
  "shared/parallel-download.js": "downloads large objects in parts",
};

const FOLDER = join(".cache", "size");
const { name, exports: entries } = JSON.parse(readFileSync("package.json", "utf8"));
if (!existsSync("dist/index.js")) fail("dist/index.js is missing: run `npm run build` first");
for (const file of Object.keys(PURPOSES)) {
  if (!existsSync(join("dist", file))) fail(`PURPOSES of .ci/size.mjs names ${file}, which the build does not make`);
}
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
  const { loaded, rounds } = await run(chunks);
  const used = chunks.filter(({ file }) => loaded.has(file));
  used.sort((a, b) => Number(first.has(b.file)) - Number(first.has(a.file)) || b.size - a.size);
  const total = used.reduce((sum, { size }) => sum + size, 0);
  console.log(`To ${use}, minified and gzipped:`);
  for (const { file, size, inputs, modules } of used) {
    console.log(`  ${kib(size)}  ${first.has(file) ? "first" : "lazy "}  ${file}`);
    for (const input of inputs) console.log(`${" ".repeat(15)}${purposeOf(input)}`);
    // Minified but not yet gzipped, as the share of one file in a compressed whole cannot be told.
    console.log(`${" ".repeat(15)}${modules.map(({ name, bytes }) => `${name} ${bytes}`).join(", ")}`);
  }
  const over = total > limit;
  failed ||= over;
  const verdict = over ? "FAILED: over the limit" : total > goal ? "goal not reached" : "goal reached";
  console.log(`  ${kib(total)} to ${use}, limit ${kib(limit).trim()}, goal ${kib(goal).trim()} (${verdict})`);
  const late = rounds > MAX_ROUNDS;
  failed ||= late;
  console.log(
    `  ${rounds} rounds of code before the first GET, limit ${MAX_ROUNDS}${late ? " (FAILED: over the limit)" : ""}`,
  );
  for (const what of foreign) {
    failed = true;
    console.error(`  FAILED: the bundle holds ${what}`);
  }
}

/** Says what a file of dist is there for; one without a purpose fails the check. */
function purposeOf(input) {
  if (input in PURPOSES) return `${input} ${PURPOSES[input]}`;
  failed = true;
  return `FAILED: ${input} has no purpose in .ci/size.mjs`;
}

/** Returns the chunks of a page. */
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
    sourcemap: "external",
    logLevel: "error",
  });
  const outputs = metafile.outputs;
  const foreign = new Set();
  const maps = new Map(outputFiles.map(({ path, text }) => [path, text]));
  const files = outputFiles.filter(({ path }) => path.endsWith(".js"));
  const chunks = files.map(({ path, contents, text }) => {
    const output = Object.keys(outputs).find((file) => path.replaceAll("\\", "/").endsWith(`/${file}`));
    for (const { path: imported, external } of outputs[output].imports) if (external) foreign.add(imported);
    // Also where a bundler does not see an import: in a string that is imported later, or left of a dead branch.
    for (const [found] of text.matchAll(/@aws-sdk\/[\w-]+|(?:from|import|require)\s*\(?\s*["'`]node:[\w/]+/g)) {
      foreign.add(found);
    }
    const inputs = Object.entries(outputs[output].inputs)
      .filter(([input, { bytesInOutput }]) => input.startsWith("dist/") && bytesInOutput > 0)
      .sort(([, a], [, b]) => b.bytesInOutput - a.bytesInOutput)
      .map(([input]) => input.slice("dist/".length));
    return {
      file: output.replace(/^out\//, ""),
      text,
      size: gzipSync(contents, { level: 9 }).length,
      inputs,
      modules: modulesOf(text, JSON.parse(maps.get(`${path}.map`))),
    };
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

/** Counts the bytes of each source in a chunk, by its source map. */
function modulesOf(text, payload) {
  const map = new SourceMap(payload);
  const bytes = new Map();
  for (const [line, columns] of text.split("\n").entries()) {
    for (let column = 0; column < columns.length; column++) {
      const name =
        map.findEntry(line, column).originalSource?.replace(/^.*node_modules\/|^.*?(?=src\/)/, "") ?? "other";
      bytes.set(name, (bytes.get(name) ?? 0) + 1);
    }
  }
  return [...bytes].map(([name, bytes]) => ({ name, bytes })).sort((a, b) => b.bytes - a.bytes);
}

/**
 * Runs a page, and returns which of its chunks were loaded, and in how many rounds before the first GET.
 *
 * Requests for code wait until the page has nothing else to do, and are answered together: that is one round.
 */
async function run(chunks) {
  for (const { file, text } of chunks) {
    const requesting = text.replace(/\bimport\(("\.\/[^"]*")\)/g, "globalThis.requestChunk($1)");
    writeFileSync(
      join(FOLDER, file),
      `(globalThis.loadedChunks ??= new Set()).add(${JSON.stringify(file)});\n${requesting}`,
    );
  }
  const folder = `${pathToFileURL(FOLDER).href}/`;
  const program = `
    const { exit, stdout } = process;
    const { fetch } = globalThis;
    let rounds = 1;
    let roundsBeforeGet;
    let timer;
    const waiting = [];
    globalThis.requestChunk = (file) =>
      new Promise((resolve) => {
        waiting.push(() => resolve(import(new URL(file, ${JSON.stringify(folder)}).href)));
        clearTimeout(timer);
        timer = setTimeout(() => {
          rounds++;
          for (const answer of waiting.splice(0)) answer();
        }, 20);
      });
    globalThis.fetch = (request, init) => {
      if ((init?.method ?? request.method ?? "GET") === "GET") roundsBeforeGet ??= rounds;
      return fetch(request, init);
    };
    // As in a page: no Node, and a document.
    globalThis.process = undefined;
    globalThis.document = {};
    try {
      const { page } = await import(${JSON.stringify(`${folder}page.js`)});
      await page(${JSON.stringify(backend.url)});
      if (roundsBeforeGet === undefined) throw new Error("the page made no GET");
      const told = { loaded: [...globalThis.loadedChunks], rounds: roundsBeforeGet };
      stdout.write(JSON.stringify(told), () => exit(0));
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
  const { loaded, rounds } = JSON.parse(said);
  return { loaded: new Set(loaded), rounds };
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
