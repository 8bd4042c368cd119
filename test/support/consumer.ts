import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cacheDirectory, runLong, step, succeeds, withLock } from "./tools.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const NPM = process.platform === "win32" ? "npm.cmd" : "npm";

/** Versions of tools that consumers use and this project does not. */
export const TOOLS = {
  webpack: "webpack@5.112.2",
  rollup: "rollup@4.68.7 @rollup/plugin-node-resolve@16.0.3",
  pnpm: "pnpm@10.34.9",
  yarn: "@yarnpkg/cli-dist@4.18.1",
  next: "next@16.4.6 react@19.3.1 react-dom@19.3.1",
};

/** The output of a program that ends well; else an error that holds it. */
export function output(program: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = {}) {
  return new Promise<string>((resolve, reject) => {
    // Nothing that this machine, or the test runner, is set to.
    const { AWS_ACCESS_KEY_ID: _, AWS_SECRET_ACCESS_KEY: __, NODE_OPTIONS: ___, ...rest } = process.env;
    const options = { cwd, env: { ...rest, CI: "1", NO_COLOR: "1", ...env }, maxBuffer: 1 << 26 };
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${program} ${args.join(" ")}:\n${stdout}\n${stderr}`, { cause: error }));
    });
  });
}

/** The package as npm would publish it: built apart, so that no other build is disturbed. */
export async function packTarball(): Promise<{ tarball: string; remove(): void }> {
  const folder = mkdtempSync(join(tmpdir(), "bucketcache-pack-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    for (const name of ["src", "schema", ".ci", ".config", "package.json", "tsconfig.json", "LICENSE"]) {
      cpSync(join(ROOT, name), join(folder, name), { recursive: true });
    }
    for (const name of ["README.md", "CHANGELOG.md"]) cpSync(join(ROOT, name), join(folder, name));
    symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"), "junction");
    await output(NPM, ["run", "build"], folder);
    await output(NPM, ["pack", "--ignore-scripts", "--pack-destination", folder], folder);
    const name = readdirSync(folder).find((file) => file.endsWith(".tgz")) as string;
    return { tarball: join(folder, name), remove };
  } catch (error) {
    remove();
    throw error;
  }
}

/** A project in a folder of its own, with these files. */
export function makeProject(files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), "bucketcache-consumer-"));
  writeFiles(folder, { "package.json": '{ "private": true, "type": "module" }', ...files });
  return folder;
}

export function writeFiles(folder: string, files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
}

export async function npmInstall(folder: string, ...what: string[]): Promise<void> {
  await output(NPM, ["install", "--no-audit", "--no-fund", "--no-package-lock", ...what], folder);
}

/** The folder of a tool, kept outside of the checkout. */
export function ensureTool(name: keyof typeof TOOLS): Promise<string> {
  const remedy = `let npm reach its registry, or run the other tests alone: "npm run test:unit", "npm run test:e2e".`;
  return step(TOOLS[name], remedy, () => findOrInstall(name));
}

async function findOrInstall(name: keyof typeof TOOLS): Promise<string> {
  const [install, ...beside] = TOOLS[name].split(" ") as [string, ...string[]];
  const folder = join(cacheDirectory(), "tools", TOOLS[name].replaceAll(/[/ ]/g, "-"));
  const inside = join(folder, "node_modules", install.replace(/@[^@]*$/, ""));
  const ready = () => succeeds(process.execPath, ["-e", `require(${JSON.stringify(join(inside, "package.json"))})`]);
  if (await ready()) return inside;
  await withLock(`tool-${name}`, async () => {
    if (await ready()) return;
    const options = ["--no-save", "--no-audit", "--no-fund", "--prefix", folder];
    await runLong(`installing ${install} from npm`, NPM, ["install", ...options, install, ...beside]);
  });
  return inside;
}

/** Links a package of this project into the `node_modules` of another. */
export function linkPackage(folder: string, name: string): void {
  mkdirSync(dirname(join(folder, "node_modules", name)), { recursive: true });
  symlinkSync(join(ROOT, "node_modules", name), join(folder, "node_modules", name), "junction");
}
