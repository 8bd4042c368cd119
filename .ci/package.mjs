// What npm would publish: packs it, looks at what is inside, and lets publint and attw judge it. Run after a build.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const FOLDER = join(".cache", "pack");
mkdirSync(FOLDER, { recursive: true });
const npm = process.platform === "win32" ? "npm.cmd" : "npm";
const answer = execFileSync(npm, ["pack", "--json", "--ignore-scripts", "--pack-destination", FOLDER], {
  encoding: "utf8",
  stdio: ["ignore", "pipe", "inherit"],
});
// Older versions of npm answer a list, newer ones an object by package name.
const [{ filename, files, size, unpackedSize }] = Object.values(JSON.parse(answer));
const tarball = join(FOLDER, filename);
console.log(`${tarball}: ${files.length} files, ${size} bytes, ${unpackedSize} unpacked`);

let failed = false;
const complain = (message) => {
  failed = true;
  console.error(`FAILED: ${message}`);
};

const { exports: entries } = JSON.parse(readFileSync("package.json", "utf8"));
const inside = new Set(files.map(({ path }) => path));
for (const [subpath, target] of Object.entries(entries)) {
  for (const file of typeof target === "string" ? [target] : Object.values(target)) {
    if (!inside.has(file.replace("./", ""))) complain(`"${subpath}" leads to ${file}, which is not in the package`);
  }
}
for (const file of ["LICENSE", "README.md", "CHANGELOG.md", "package.json"]) {
  if (!inside.has(file)) complain(`${file} is not in the package`);
}
for (const file of inside) {
  if (!/^(dist|src|schema)\/|^(LICENSE|README\.md|CHANGELOG\.md|package\.json)$/.test(file)) {
    complain(`${file} has no business in the package`);
  }
  // Node prints the whole line that threw, which a list of exports never does.
  if (file.endsWith(".js") && /^(?!export \{).{1001}/m.test(readFileSync(file, "utf8"))) {
    complain(`${file} has a line of more than 1,000 characters, which an uncaught error would print`);
  }
}

judge("publint", ["--strict", tarball]);
judge("@arethetypeswrong/cli", [tarball, "--profile", "esm-only", "--no-emoji", "--no-color"]);
process.exitCode = failed ? 1 : 0;

function judge(tool, args) {
  const folder = join("node_modules", tool);
  const { bin } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const script = join(folder, typeof bin === "string" ? bin : Object.values(bin)[0]);
  const { status } = spawnSync(process.execPath, [script, ...args], { stdio: "inherit" });
  if (status !== 0) complain(`${tool} objects`);
}
