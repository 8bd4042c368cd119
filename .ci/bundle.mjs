// Builds dist: each entry point in few files, since a process that starts loads every file on its own (50 files cost it
// a millisecond each). What is imported dynamically stays a file of its own. The declarations come from tsc.
import { readFileSync } from "node:fs";
import { build } from "esbuild";

const { exports: entries } = JSON.parse(readFileSync("package.json", "utf8"));

await build({
  entryPoints: Object.values(entries)
    .map(({ default: file }) => file)
    .filter((file) => file !== undefined)
    .map((file) => file.replace(/^\.\/dist\/(.*)\.js$/, "src/$1.ts")),
  outdir: "dist",
  outbase: "src",
  chunkNames: "shared/[name]-[hash]",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "neutral",
  target: "es2022",
  packages: "external",
  external: ["node:*"],
  sourcemap: true,
  sourcesContent: false,
  logLevel: "warning",
});
