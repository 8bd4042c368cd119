// Builds dist, twice: in parts that pages load when needed, and in one file for Node and what resolves as it does, since a
// process that starts loads every file on its own (a millisecond or two each). The declarations come from tsc.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { build } from "esbuild";

const { exports: entries } = JSON.parse(readFileSync("package.json", "utf8"));
const targets = Object.values(entries).filter(({ types }) => types !== undefined);
const sourceOf = (file) => file.replace(/^\.\/dist\/(.*)\.js$/, "src/$1.ts");

// Files of their own, which both builds share: the class of errors is one, whichever of them a part comes from; and fflate
// is not loaded where node:zlib is.
const APART = ["src/errors.ts", "src/entry/fflate.ts"];

const options = {
  bundle: true,
  format: "esm",
  platform: "neutral",
  target: "es2022",
  packages: "external",
  external: ["node:*"],
  sourcemap: true,
  sourcesContent: false,
  logLevel: "warning",
};

const { metafile } = await build({
  ...options,
  entryPoints: [...targets.map((target) => sourceOf(target.default)), ...APART],
  outdir: "dist",
  outbase: "src",
  chunkNames: "shared/[name]-[hash]",
  splitting: true,
  metafile: true,
});

const forNode = targets.filter(({ node }) => node !== undefined);
await build({
  ...options,
  stdin: {
    // What is loaded when needed elsewhere is at hand here.
    contents: [...forNode.map((target) => sourceOf(target.default)), "src/cache/engine.ts"]
      .map((file) => `export * from "./${file}";`)
      .join("\n"),
    resolveDir: process.cwd(),
  },
  outfile: "dist/node/all.js",
  plugins: [
    {
      // In the file itself, as Node takes 6 ms of CPU to begin to load CommonJS: half of what all of this takes.
      name: "spark-md5 inside",
      setup({ onResolve }) {
        onResolve({ filter: /^spark-md5$/ }, ({ path }) => ({ path: createRequire(import.meta.url).resolve(path) }));
      },
    },
    {
      name: "files apart",
      setup({ onResolve }) {
        onResolve({ filter: /^\.{1,2}\/.*\.js$/ }, ({ path, resolveDir }) => {
          const file = resolve(resolveDir, path).replace(/\.js$/, ".ts");
          const apart = APART.find((candidate) => resolve(candidate) === file);
          return apart && { path: apart.replace(/^src\/(.*)\.ts$/, "../$1.js"), external: true };
        });
      },
    },
  ],
});
mkdirSync("dist/node", { recursive: true });
for (const { node, default: file } of forNode) {
  const names = metafile.outputs[file.slice(2)].exports.join(", ");
  writeFileSync(node, `export { ${names} } from "./all.js";\n`);
}
