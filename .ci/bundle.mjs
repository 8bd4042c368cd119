// Builds dist, twice: in parts that pages load when needed, and in one file for Node and what resolves as it does, since a
// process that starts loads every file on its own (a millisecond or two each). The declarations come from tsc.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { build } from "esbuild";

const { exports: entries } = JSON.parse(readFileSync("package.json", "utf8"));
const targets = Object.values(entries).filter(({ types }) => types !== undefined);
const sourceOf = (file) => file.replace(/^\.\/dist\/(.*)\.js$/, "src/$1.ts");

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
  // The class of errors is one, whichever of both builds a part comes from.
  entryPoints: [...targets.map((target) => sourceOf(target.default)), "src/errors.ts"],
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
    contents: forNode.map((target) => `export * from "./${sourceOf(target.default)}";`).join("\n"),
    resolveDir: process.cwd(),
  },
  outfile: "dist/node/all.js",
  plugins: [
    {
      name: "one class of errors",
      setup({ onResolve }) {
        onResolve({ filter: /\/errors\.js$/ }, ({ path, resolveDir }) =>
          resolve(resolveDir, path) === resolve("src/errors.js") ? { path: "../errors.js", external: true } : undefined,
        );
      },
    },
  ],
});
mkdirSync("dist/node", { recursive: true });
for (const { node, default: file } of forNode) {
  const names = metafile.outputs[file.slice(2)].exports.join(", ");
  writeFileSync(node, `export { ${names} } from "./all.js";\n`);
}
