// The runtimes that are programs: by environment variable, or of the pinned version from npm, kept outside the checkout.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cacheDirectory, isExecutable, runLong, step, succeeds, withLock } from "../../support/tools.js";

interface Program {
  /** The package that ships it. */
  install: string;
  file: string;
  variable: string;
}

export const PROGRAMS = {
  node20: { install: "node@20.19.0", file: "node/bin/node", variable: "BUCKETCACHE_NODE20" },
  node22: { install: "node@22.23.3", file: "node/bin/node", variable: "BUCKETCACHE_NODE22" },
  node24: { install: "node@24.21.0", file: "node/bin/node", variable: "BUCKETCACHE_NODE24" },
  bun: { install: "bun@1.4.5", file: "bun/bin/bun.exe", variable: "BUCKETCACHE_BUN" },
  deno: { install: "deno@2.9.6", file: ".bin/deno", variable: "BUCKETCACHE_DENO" },
} satisfies Record<string, Program>;

export type ProgramName = keyof typeof PROGRAMS;

/** The program of this name, installed where it is missing. */
export function ensureProgram(name: ProgramName): Promise<string> {
  const { install, variable } = PROGRAMS[name];
  const remedy = `either let npm reach its registry and run the install script of ${install}, which fetches the program,
or set ${variable} to a program that is installed elsewhere.`;
  return step(install, remedy, () => findOrInstall(PROGRAMS[name], name));
}

async function findOrInstall({ install, file, variable }: Program, name: ProgramName): Promise<string> {
  const named = process.env[variable];
  if (named) {
    if (!isExecutable(named)) throw new Error(`${variable} is "${named}", which is not an executable file`);
    return named;
  }
  const major = process.versions.node.split(".")[0];
  if (name === `node${major}`) return process.execPath;
  const folder = join(cacheDirectory(), "runtimes", install);
  const program = join(folder, "node_modules", file);
  const works = () => succeeds(program, ["--version"], 60_000);
  if (await works()) return program;
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  await withLock(install, async () => {
    if (await works()) return;
    // Newer versions of npm run an install script only where the project allows it.
    const allowScripts = { [install.slice(0, install.lastIndexOf("@"))]: true };
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, allowScripts }));
    const options = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts=false", "--prefix", folder];
    await runLong(`installing ${install} from npm`, npm, ["install", ...options, install]);
  });
  if (await works()) return program;
  throw new Error(`${program} does not run: "--version" fails`);
}
