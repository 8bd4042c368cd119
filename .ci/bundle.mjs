// Builds the JavaScript of dist, once for all runtimes: a file for each entry point, a file for each part that is loaded
// when needed, and few files that these share. The declarations come from tsc.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, relative, resolve } from "node:path";
import { rolldown } from "rolldown";

const { exports: targets, dependencies, peerDependencies } = readJson("package.json");
const entries = Object.values(targets)
  .filter((target) => target.default !== undefined)
  .map((target) => target.default.replace(/^\.\/dist\/(.*)\.js$/, "$1"));

// Node takes 6 ms of CPU to begin with CommonJS, and some bundlers do not read it at all: its code goes into dist.
const INSIDE = "spark-md5";
// Bundlers split code by modules, and fflate is one. A page that only reads takes its decompressor without its compressor
// when each of our two modules has a copy that holds what it uses.
const COPIED = "fflate";
const outside = Object.keys({ ...dependencies, ...peerDependencies }).filter(
  (name) => name !== INSIDE && name !== COPIED,
);

/** The entry points of a page, and the parts that a page loads as soon as it has started and reads. */
const AT_START = ["index", "stores/presigned"];
const SOON = ["presigned/handler-store", "entry/fflate-gunzip"];

const bundle = await rolldown({
  input: Object.fromEntries(entries.map((name) => [name, resolve("src", `${name}.ts`)])),
  platform: "neutral",
  external: ["node:", ...outside].map((name) => new RegExp(`^${name}`)),
  tsconfig: resolve("tsconfig.json"),
  transform: { target: "es2022" },
  plugins: [asModule(INSIDE), copied(COPIED)],
});
await bundle.write({
  dir: "dist",
  format: "esm",
  entryFileNames: "[name].js",
  chunkFileNames: "shared/[name].js",
  sourcemap: true,
  sourcemapExcludeSources: true,
  codeSplitting: { groups: sharedFiles() },
});
await bundle.close();

/**
 * The files that entry points and lazy parts share. A module that only one of them needs stays with it.
 *
 * A process pays for each file that it loads, and a page for each byte. So modules share a file when a page needs them at
 * the same time, whatever else needs them on a server.
 */
function sharedFiles() {
  let needs;
  const files = ["start", "soon", "later", "server"];
  return files.map((file, index) => ({
    debugName: file,
    // A file takes along what its modules import, so those that are needed first take their own first.
    priority: files.length - index,
    name(id, context) {
      needs ??= needsOfModules((module) => context.getModuleInfo(module));
      return fileOf(needs.get(id), context.getModuleInfo(id)) === file ? file : null;
    },
  }));
}

function fileOf({ parts, ofPage }, { isEntry }) {
  if (isEntry || parts.length < 2) return undefined;
  if (parts.some((part) => AT_START.includes(part))) return "start";
  if (parts.some((part) => SOON.includes(part))) return "soon";
  return ofPage ? "later" : "server";
}

/** The entry points and lazy parts that need each module, and whether a page can come to need it. */
function needsOfModules(getModuleInfo) {
  const needs = new Map();
  const seen = new Set();
  const visitPart = (id, ofPage) => {
    if (seen.has(id)) return;
    seen.add(id);
    const part = relative("src", id).replaceAll("\\", "/").replace(/\.ts$/, "");
    const lazy = new Set();
    const visited = new Set();
    (function visit(module) {
      const info = getModuleInfo(module);
      if (info === null || info.isExternal || visited.has(module)) return;
      visited.add(module);
      const need = needs.get(module) ?? { parts: [], ofPage: false };
      needs.set(module, { parts: [...need.parts, part], ofPage: need.ofPage || ofPage });
      for (const imported of info.importedIds) visit(imported);
      for (const imported of info.dynamicallyImportedIds) if (!getModuleInfo(imported)?.isExternal) lazy.add(imported);
    })(id);
    for (const each of lazy) visitPart(each, ofPage);
  };
  // Pages first: what a page loads lazily is of a page, though servers load it as well.
  const ordered = [...AT_START, ...entries.filter((name) => !AT_START.includes(name))];
  for (const name of ordered) visitPart(resolve("src", `${name}.ts`), AT_START.includes(name));
  for (const name of SOON) {
    if (!seen.has(resolve("src", `${name}.ts`)))
      throw new Error(`SOON of .ci/bundle.mjs names ${name}, which nothing imports lazily`);
  }
  return needs;
}

/** Takes a CommonJS package that needs no other into the bundle, as a module of its own that can be left out unused. */
function asModule(name) {
  const file = createRequire(import.meta.url).resolve(name);
  const { version, author, license } = readJson(createRequire(import.meta.url).resolve(`${name}/package.json`));
  return {
    name: "commonjs-as-module",
    resolveId: (id) => (id === name ? file : null),
    load(id) {
      if (id !== file) return null;
      // On the line where the package's code begins, so that source maps name its lines.
      const before = `/*! ${name} ${version}, by ${author.replace(/ <.*/, "")}, ${license} */ export default /* @__PURE__ */ (() => { const module = { exports: {} }; const { exports } = module;`;
      return `${before} ${readFileSync(file, "utf8")}\nreturn module.exports; })();`;
    },
  };
}

/** Gives each module that imports a package a copy of it, of which the bundle keeps what that module uses. */
function copied(name) {
  const description = createRequire(import.meta.url).resolve(`${name}/package.json`);
  const { version, author, license, exports: targets } = readJson(description);
  const copies = new Map();
  return {
    name: "copied",
    resolveId(id, importer) {
      if (id !== name && !id.startsWith(`${name}/`)) return null;
      const file = join(dirname(description), targets[`.${id.slice(name.length)}`].import.default);
      const copy = `${file}?${basename(importer, ".ts")}`;
      copies.set(copy, file);
      return { id: copy, moduleSideEffects: false };
    },
    load(id) {
      const file = copies.get(id);
      if (file === undefined) return null;
      const notice = `/*! ${name} ${version}, by ${author.replace(/ <.*/, "")}, ${license} */ `;
      return { code: notice + readFileSync(file, "utf8"), moduleType: "js" };
    },
  };
}

function readJson(file) {
  return JSON.parse(readFileSync(file, "utf8"));
}
