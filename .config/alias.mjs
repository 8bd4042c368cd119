// The package by its public names, from its sources: no build is needed first, and none can be out of date.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("../", import.meta.url);
const { exports } = JSON.parse(readFileSync(new URL("package.json", root), "utf8"));

/** @type {Record<string, string>} Longer names first: a name also matches what lies below it. */
export const ALIAS = Object.fromEntries(
  Object.entries(exports)
    .filter(([, target]) => typeof target === "object")
    .map(([subpath, target]) => [
      `bucketcache${subpath.slice(1)}`,
      fileURLToPath(new URL(target.default.replace(/^\.\/dist\/(.*)\.js$/, "src/$1.ts"), root)),
    ])
    .reverse(),
);
