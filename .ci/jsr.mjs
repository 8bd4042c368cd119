// The package as JSR takes it, in .cache/jsr: the sources as they are, except that imports name the files that are there.
// `npx jsr publish`, or `deno publish`, in that folder publishes it; test/integration/jsr.test.ts makes the dry run.
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** @param {string} folder */
export function writeJsrPackage(folder) {
  const { name, version, license, exports, dependencies, peerDependencies } = JSON.parse(
    readFileSync(join(ROOT, "package.json"), "utf8"),
  );
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const part of ["src", "README.md", "CHANGELOG.md", "LICENSE"]) {
    cpSync(join(ROOT, part), join(folder, part), { recursive: true });
  }
  for (const file of readdirSync(join(folder, "src"), { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".ts")) continue;
    const path = join(folder, "src", file);
    const text = readFileSync(path, "utf8");
    writeFileSync(path, text.replace(/((?:from|import)\s*\(?\s*"\.{1,2}\/[^"]*)\.js"/g, '$1.ts"'));
  }
  const config = {
    // JSR has no names without a scope.
    name: `@${name}/${name}`,
    version,
    license,
    exports: Object.fromEntries(
      Object.entries(exports)
        .filter(([, target]) => typeof target === "object")
        .map(([subpath, target]) => [subpath, target.default.replace(/^\.\/dist\/(.*)\.js$/, "./src/$1.ts")]),
    ),
    imports: Object.fromEntries(
      Object.entries({ ...dependencies, ...peerDependencies }).map(([name, range]) => [name, `npm:${name}@${range}`]),
    ),
    // The sources are for browsers, too.
    compilerOptions: { lib: ["dom", "dom.iterable", "dom.asynciterable", "deno.ns"] },
  };
  writeFileSync(join(folder, "deno.json"), `${JSON.stringify(config, undefined, 2)}\n`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const folder = join(ROOT, ".cache", "jsr");
  writeJsrPackage(folder);
  console.log(folder);
}
