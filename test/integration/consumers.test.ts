import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build as esbuild } from "esbuild";
import { build as vite } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createCache } from "bucketcache";
import { startDevServer } from "bucketcache/dev";
import { s3Store } from "bucketcache/s3";
import { start } from "../runtimes/run/processes.js";
import { ensureProgram } from "../runtimes/run/programs.js";
import {
  ensureTool,
  linkPackage,
  makeProject,
  npmInstall,
  output,
  packTarball,
  writeFiles,
} from "../support/consumer.js";
import { freePort } from "../support/tools.js";

// Projects that install the packed tarball, as users do. They see nothing of the sources.

const TSC = fileURLToPath(new URL("../../node_modules/typescript/bin/tsc", import.meta.url));

let tarball: string;
const folders: string[] = [];
let removePack: () => void = () => {};
/** With the tarball installed by npm, and nothing else. */
let project: string;

const makeTemporaryProject = (files: Record<string, string>) => {
  const folder = makeProject(files);
  folders.push(folder);
  return folder;
};

beforeAll(async () => {
  ({ tarball, remove: removePack } = await packTarball());
  project = makeTemporaryProject({});
  await npmInstall(project, tarball);
}, 300_000);

afterAll(() => {
  removePack();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const SERVER = `
import { createCache } from "bucketcache";
import { fileStore } from "bucketcache/file";
import { memoryStore } from "bucketcache/memory";
import { s3Store } from "bucketcache/s3";

const stores = [memoryStore(), fileStore({ directory: process.argv[2] })];
for (const store of stores) {
  const cache = createCache({ store, memory: false });
  await cache.set("k", { when: new Date(0), text: "x".repeat(5_000) });
  const value = await cache.get("k");
  console.log(value.when.getTime(), value.text.length);
}
console.log(s3Store({ bucket: "my-results", region: "eu-central-1" }).name);
`;
const SAID = "0 5000\n0 5000\ns3:my-results\n";

const PAGE = `
import { createCache } from "bucketcache";
import { presignedStore } from "bucketcache/presigned";
globalThis.cache = createCache({ store: presignedStore({ url: "/api/presign" }) });
`;

/** All that a bundler wrote. */
function written(folder: string): string {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.m?js$/.test(entry.name))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8"))
    .join("\n");
}

function expectPage(text: string): void {
  expect(text.length).toBeGreaterThan(20_000);
  expect(text).toContain("/api/presign");
  expect(text).not.toMatch(
    /@aws-sdk|@smithy|AWS4|credential-provider|from\s*["']node:|import\(["']node:|require\(["']node:/,
  );
  // fflate and spark-md5, by what no minifier changes.
  expect(["invalid length/literal", "680876936"].filter((part) => !text.includes(part))).toEqual([]);
}

describe("types, strict and without skipLibCheck, with exactly one library:", () => {
  const LIBRARIES: Record<string, { lib: string[]; types: string[] }> = {
    DOM: { lib: ["ES2023", "DOM", "DOM.Iterable", "DOM.AsyncIterable"], types: [] },
    WebWorker: { lib: ["ES2023", "WebWorker", "WebWorker.Iterable", "WebWorker.AsyncIterable"], types: [] },
    "@types/node": { lib: ["ES2023"], types: ["node"] },
    "@cloudflare/workers-types": { lib: ["ES2023"], types: ["@cloudflare/workers-types"] },
  };
  const PROGRAM = `
import { cached, cacheKey, createCache, isBucketCacheError, type Bytes, type Cache, type ObjectStore } from "bucketcache";
import { startDevServer } from "bucketcache/dev";
import { fileStore } from "bucketcache/file";
import { createPresignHandler, toNodeListener } from "bucketcache/handler";
import { memoryStore } from "bucketcache/memory";
import { presignedStore } from "bucketcache/presigned";
import { s3Store } from "bucketcache/s3";
import { faultyStore, storeConformance } from "bucketcache/testing";

const store: ObjectStore = memoryStore();
export const cache: Cache = createCache({ store, ttl: "1h" });
export const twice = cache.wrap((n: number) => n * 2, { name: "twice" });
export const four: Promise<number> = twice(2);
// @ts-expect-error a text is no number
void twice("2");
export async function read(): Promise<Bytes | undefined> {
  const stream = await cache.getStream("key");
  const response = await cache.getResponse("key");
  void response?.status;
  return stream === undefined ? undefined : (await stream.getReader().read()).value;
}
export const all = [cached, cacheKey, isBucketCacheError, startDevServer, fileStore, createPresignHandler];
export const more = [toNodeListener, presignedStore, s3Store, faultyStore, storeConformance];
`;
  for (const [name, { lib, types }] of Object.entries(LIBRARIES)) {
    test.each(["bundler", "nodenext"])(`${name}, moduleResolution %s`, async (moduleResolution) => {
      const options = {
        target: "ES2022",
        module: moduleResolution === "bundler" ? "ESNext" : "NodeNext",
        moduleResolution,
        ...{ lib, types, strict: true, skipLibCheck: false, exactOptionalPropertyTypes: true },
        ...{ noUncheckedIndexedAccess: true, noEmit: true },
      };
      const folder = makeTemporaryProject({
        "main.ts": PROGRAM,
        "tsconfig.json": JSON.stringify({ compilerOptions: options, files: ["main.ts"] }),
      });
      await npmInstall(folder, tarball);
      for (const type of types) linkPackage(folder, type === "node" ? "@types/node" : type);
      await expect(output(process.execPath, [TSC, "-p", "."], folder)).resolves.toBe("");
    });
  }
});

describe("bundles for pages hold neither the SDK nor node: imports:", () => {
  test("esbuild", async () => {
    writeFiles(project, { "page.js": PAGE });
    const outdir = join(project, "out-esbuild");
    await esbuild({ entryPoints: [join(project, "page.js")], outdir, bundle: true, splitting: true, format: "esm" });
    expectPage(written(outdir));
  });

  test("esbuild for no platform", async () => {
    writeFiles(project, { "page.js": PAGE });
    const outdir = join(project, "out-neutral");
    const entryPoints = [join(project, "page.js")];
    await esbuild({ entryPoints, outdir, bundle: true, splitting: true, format: "esm", platform: "neutral" });
    expectPage(written(outdir));
  });

  test("Vite", async () => {
    writeFiles(project, { "vite/page.js": PAGE, "vite/index.html": '<script type="module" src="./page.js"></script>' });
    const outDir = join(project, "out-vite");
    await vite({ configFile: false, logLevel: "error", root: join(project, "vite"), build: { outDir } });
    expectPage(written(outDir));
  });

  test("Rollup", async () => {
    const outdir = join(project, "out-rollup");
    writeFiles(project, { "page.js": PAGE });
    await rollupTo(join(project, "page.js"), outdir);
    expectPage(written(outdir));
  });

  test("webpack", async () => {
    writeFiles(project, { "page.js": PAGE });
    const outdir = join(project, "out-webpack");
    await webpackTo(join(project, "page.js"), outdir, "web");
    expectPage(written(outdir));
  });
});

describe("bundles for servers run:", () => {
  const runs = async (file: string) => {
    mkdirSync(join(project, "data"), { recursive: true });
    expect(await output(process.execPath, [file, join(project, "data")], project)).toBe(SAID);
  };

  test("none: as installed", async () => {
    writeFiles(project, { "server.mjs": SERVER });
    await runs(join(project, "server.mjs"));
  });

  test("esbuild", async () => {
    writeFiles(project, { "server.mjs": SERVER });
    const outfile = join(project, "out-server-esbuild/server.mjs");
    const entryPoints = [join(project, "server.mjs")];
    await esbuild({ entryPoints, outfile, bundle: true, format: "esm", platform: "node" });
    await runs(outfile);
  });

  test("Rollup", async () => {
    writeFiles(project, { "server.mjs": SERVER });
    await rollupTo(join(project, "server.mjs"), join(project, "out-server-rollup"));
    await runs(join(project, "out-server-rollup/server.js"));
  });

  test("webpack", async () => {
    writeFiles(project, { "server.mjs": SERVER });
    await webpackTo(join(project, "server.mjs"), join(project, "out-server-webpack"), "node");
    await runs(join(project, "out-server-webpack/main.mjs"));
  });
});

test("Next.js builds the start of docs/runtimes.md, without region and credentials, and serves it", async () => {
  const next = await ensureTool("next");
  // Beside Next.js itself, since Turbopack follows no links that lead out of its root.
  const root = join(next, "../..");
  const folder = mkdtempSync(join(root, "project-"));
  folders.push(folder);
  const route = readFileSync(new URL("../../examples/runtimes/next-route.js", import.meta.url), "utf8");
  writeFiles(folder, {
    "package.json": '{ "private": true, "type": "module" }',
    "next.config.mjs": `export default { turbopack: { root: ${JSON.stringify(root)} }, outputFileTracingRoot: ${JSON.stringify(root)} };`,
    "app/layout.js": "export default ({ children }) => <html><body>{children}</body></html>;",
    "app/api/reports/[month]/route.js": route,
  });
  cpSync(join(project, "node_modules"), join(folder, "node_modules"), { recursive: true });
  const bin = join(next, "dist/bin/next");
  await output(process.execPath, [bin, "build"], folder, { NEXT_TELEMETRY_DISABLED: "1" });

  const bucket = "my-results";
  const server = await startDevServer({ buckets: [bucket] });
  const port = await freePort();
  const { kill, output: said } = start(process.execPath, [bin, "start", folder, "--port", `${port}`], {
    NEXT_TELEMETRY_DISABLED: "1",
    AWS_ENDPOINT_URL_S3: server.endpoint,
    AWS_ACCESS_KEY_ID: server.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: server.credentials.secretAccessKey,
  });
  try {
    const ask = () => fetch(`http://127.0.0.1:${port}/api/reports/2026-11`).then((answer) => answer.json());
    await expect.poll(() => ask().catch(said), { timeout: 60_000 }).toEqual({ month: "2026-11", rows: 3 });
    const cache = createCache({ store: s3Store({ bucket, ...server }) });
    const report = cache.wrap(async (_month: string) => ({}), { name: "report" });
    expect(await report.peek("2026-11")).toEqual({ month: "2026-11", rows: 3 });
  } finally {
    kill();
    await server.close();
  }
}, 600_000);

describe("a process holds each module once:", () => {
  test("each source is in one file of dist", () => {
    const dist = join(project, "node_modules/bucketcache/dist");
    const maps = readdirSync(dist, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".js.map"));
    const homes = new Map<string, string[]>();
    for (const file of maps) {
      const { sources } = JSON.parse(readFileSync(join(dist, file), "utf8")) as { sources: string[] };
      for (const source of sources) {
        const path = relative(join(dist, ".."), join(dist, file, "..", source));
        homes.set(path, [...(homes.get(path) ?? []), file]);
      }
    }
    expect([...homes.keys()]).toEqual(expect.arrayContaining(["src/errors.ts", "src/base/clock.ts", "src/cache/wrap.ts"])); // prettier-ignore
    expect([...homes].filter(([, holders]) => holders.length > 1)).toEqual([]);
  });

  /** Runs a program whose `store` is an s3Store on a dev server, and returns what it prints. */
  const withStore = (program: string) =>
    output(
      process.execPath,
      [
        "--input-type=module",
        "-e",
        `
      import { createCache } from "bucketcache";
      import { startDevServer } from "bucketcache/dev";
      import { createPresignHandler } from "bucketcache/handler";
      import { s3Store } from "bucketcache/s3";
      const { close, ...server } = await startDevServer({ buckets: ["shared"] });
      const store = s3Store({ ...server, bucket: "shared" });
      const handlerOf = (store) => {
        const handler = createPresignHandler({ store, authorize: () => true });
        return async (...requests) => {
          const body = JSON.stringify({ v: 1, requests });
          const headers = { "content-type": "application/json" };
          return (await handler(new Request("https://app.test/presign", { method: "POST", headers, body }))).json();
        };
      };
      ${program}
      await close();`,
      ],
      project,
    );

  test("a complete that another instance of the handler has done answers its ETag", async () => {
    const said = await withStore(`
      const [one, other] = [handlerOf(store), handlerOf(store)];
      const key = "large";
      const [{ uploadId }] = (await one({ op: "create", key })).results;
      const [part] = (await one({ op: "part", key, uploadId, partNumber: 1, size: 3 })).results;
      const { headers } = await fetch(part.url, { method: part.method, headers: part.headers, body: "abc" });
      const request = { op: "complete", key, uploadId, parts: [{ partNumber: 1, etag: headers.get("etag") }] };
      const [first] = (await one(request)).results;
      const [again] = (await other(request)).results;
      console.log(first.etag !== undefined, JSON.stringify(again) === JSON.stringify(first) || again);
    `);
    expect(said).toBe("true true\n");
  });

  test("the handler knows the time that the cache has learned from the store", async () => {
    const said = await withStore(`
      const { now: _, ...rest } = store;
      const hour = 3_600_000;
      const head = async (...args) => ({ ...(await store.head(...args)), now: new Date(Date.now() + hour) });
      const ahead = { ...rest, head };
      const cache = createCache({ store: ahead });
      await cache.set("key", 1);
      await createCache({ store: ahead }).has("key");
      const { now } = await handlerOf(ahead)({ op: "get", key: "key" });
      console.log(Math.round((now * 1_000 - Date.now()) / hour));
    `);
    expect(said).toBe("1\n");
  });
});

describe("what is not used is not bundled:", () => {
  const bundled = async (code: string) => {
    const stdin = { contents: code, resolveDir: project };
    const result = await esbuild({ stdin, bundle: true, format: "esm", minify: true, write: false, logLevel: "error", external: ["node:*", "@aws-sdk/*"] }); // prettier-ignore
    return result.outputFiles[0]!.text;
  };

  test("an import of nothing is nothing, of every entry point", async () => {
    const { exports } = JSON.parse(readFileSync(join(project, "node_modules/bucketcache/package.json"), "utf8"));
    for (const subpath of Object.keys(exports).filter((subpath) => !subpath.endsWith(".json"))) {
      const specifier = `bucketcache${subpath.slice(1)}`;
      expect([specifier, (await bundled(`import ${JSON.stringify(specifier)};`)).replace(/import"node:[^"]*";|\s/g, "")]).toEqual([specifier, ""]); // prettier-ignore
    }
  });

  test("a key needs no cache", async () => {
    const key = await bundled('export { cacheKey } from "bucketcache";');
    const all = await bundled('export { createCache } from "bucketcache";');
    expect(key.length).toBeLessThan(all.length / 4);
    expect(key).not.toContain("getOrSetStream");
    expect(all).toContain("getOrSetStream");
  });
});

describe("installs:", () => {
  test("npm brings the package, fflate, spark-md5 and the types of standard schema, and no SDK", async () => {
    const names = readdirSync(join(project, "node_modules")).filter((name) => !name.startsWith("."));
    expect(names.sort()).toEqual(["@standard-schema", "bucketcache", "fflate", "spark-md5"]);
    const tree = JSON.parse(await output("npm", ["ls", "--all", "--json"], project));
    expect(Object.keys(tree.dependencies)).toEqual(["bucketcache"]);
    // Optional peers that are not there are listed without a version.
    const installed = Object.entries<{ version?: string }>(tree.dependencies.bucketcache.dependencies);
    const own = installed.filter(([, { version }]) => version !== undefined).map(([name]) => name);
    expect(own.sort()).toEqual(["@standard-schema/spec", "fflate", "spark-md5"]);
  });

  test("no published type mentions them, since spark-md5 has none of its own", () => {
    const dist = join(project, "node_modules/bucketcache/dist");
    for (const file of readdirSync(dist, { recursive: true, encoding: "utf8" })) {
      if (file.endsWith(".d.ts")) expect(readFileSync(join(dist, file), "utf8"), file).not.toMatch(/["'](fflate|spark-md5)/); // prettier-ignore
    }
  });

  test("Node computes a key and does gzip without loading fflate", async () => {
    const code = `
      import { registerHooks } from "node:module";
      const loaded = [];
      registerHooks({ load(url, context, next) { loaded.push(url); return next(url, context); } });
      const { cacheKey, createCache } = await import("bucketcache");
      const { memoryStore } = await import("bucketcache/memory");
      const cache = createCache({ store: memoryStore(), memory: false });
      await cache.set("key", "x".repeat(2_000));
      console.log(cacheKey("f", []), (await cache.get("key")).length, loaded.filter((url) => /fflate/.test(url)).length);
    `;
    const program = await ensureProgram("node24");
    const said = await output(program, ["--input-type=module", "-e", code], project);
    expect(said).toBe("f/d751713988987e9331980363e24189ce 2000 0\n");
  });

  test("pnpm, where only what is declared can be imported", async () => {
    const folder = makeTemporaryProject({ "server.mjs": SERVER });
    const pnpm = join(await ensureTool("pnpm"), "bin/pnpm.cjs");
    await output(process.execPath, [pnpm, "add", "--ignore-workspace", "--store-dir", join(folder, ".store"), tarball], folder); // prettier-ignore
    expect(await output(process.execPath, ["server.mjs", join(folder, "data")], folder)).toBe(SAID);
  });

  test("Yarn with Plug'n'Play, where there is no node_modules", async () => {
    const folder = makeTemporaryProject({
      "server.mjs": SERVER,
      "yarn.lock": "",
      ".yarnrc.yml": "enableTelemetry: false\nenableGlobalCache: false\nenableImmutableInstalls: false\n",
    });
    const yarn = join(await ensureTool("yarn"), "bin/yarn.js");
    const registry = (await output("npm", ["config", "get", "registry"], folder)).trim();
    const env = { YARN_NPM_REGISTRY_SERVER: registry, YARN_UNSAFE_HTTP_WHITELIST: new URL(registry).hostname };
    await output(process.execPath, [yarn, "add", `bucketcache@file:${tarball}`], folder, env);
    expect(await output(process.execPath, [yarn, "node", "server.mjs", join(folder, "data")], folder, env)).toBe(SAID);
  });

  test.each(["node20", "node22", "node24"] as const)("%s can require() what is ESM", async (name) => {
    const program = await ensureProgram(name);
    const code = 'const { createCache } = require("bucketcache"); console.log(typeof createCache)';
    expect(await output(program, ["--input-type=commonjs", "-e", code], project)).toBe("function\n");
  });

  test("a peer that is needed and missing is an error with the command that installs it", async () => {
    const code = `
      import { createCache } from "bucketcache";
      import { s3Store } from "bucketcache/s3";
      const cache = createCache({ store: s3Store({ bucket: "my-results", region: "eu-central-1" }) });
      await cache.get("key").catch((error) => console.log(error.code, error.message));
    `;
    const said = await output(process.execPath, ["--input-type=module", "-e", code], project);
    expect(said).toMatch(/^ERR_MISSING_PEER .*npm install @aws-sdk\/client-s3$/m);
  });
});

async function rollupTo(input: string, dir: string): Promise<void> {
  const { rollup } = (await import(pathToFileURL(join(await ensureTool("rollup"), "dist/es/rollup.js")).href)) as {
    rollup(options: object): Promise<{ write(options: object): Promise<unknown>; close(): Promise<void> }>;
  };
  // Rollup itself finds no packages: the plugin that does is all that its users need for this one.
  const file = createRequire(join(await ensureTool("rollup"), "package.json")).resolve("@rollup/plugin-node-resolve");
  const { default: nodeResolve } = (await import(pathToFileURL(file).href)) as { default(options?: object): object };
  const plugins = [nodeResolve({ browser: !input.endsWith(".mjs") })];
  const bundle = await rollup({ input, external: /^node:/, plugins });
  await bundle.write({ dir, format: "es" });
  await bundle.close();
}

async function webpackTo(entry: string, path: string, target: "web" | "node"): Promise<void> {
  const webpack = createRequire(import.meta.url)(await ensureTool("webpack")) as (
    options: object,
    done: (error: Error | null, stats: { hasErrors(): boolean; toString(options: object): string }) => void,
  ) => void;
  const server = {
    experiments: { outputModule: true },
    output: { path, module: true, filename: "[name].mjs", chunkFormat: "module" },
    externals: [/^node:/],
    externalsType: "module-import",
  };
  const options = { mode: "production", entry, target, context: project };
  await new Promise<void>((resolve, reject) => {
    webpack({ ...options, ...(target === "node" ? server : { output: { path } }) }, (error, stats) => {
      if (error !== null) reject(error);
      else if (stats.hasErrors()) reject(new Error(stats.toString({ all: false, errors: true })));
      else resolve();
    });
  });
}
