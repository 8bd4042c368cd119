import { execFile } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { ALIAS } from "../../.config/alias.mjs";

const ROOT = join(import.meta.dirname, "../..");
// Below node_modules, so that the script finds what it imports from packages.
const FOLDER = join(ROOT, "node_modules/.cache/bucketcache-test");

export interface Script {
  path: string;
  /** Runs it in a process of its own and resolves with what it printed; `data` is its `process.argv[2]`, as JSON. */
  run(data: unknown, options?: { node?: readonly string[]; env?: Record<string, string> }): Promise<string>;
  remove(): void;
}

let count = 0;

/**
 * Makes a program of Node out of TypeScript that imports `bucketcache` by its public names. The library is split as it
 * is when published: what it loads on demand is loaded on demand.
 */
export async function script(contents: string): Promise<Script> {
  const folder = join(FOLDER, `script-${process.pid}-${++count}`);
  mkdirSync(folder, { recursive: true });
  await build({
    stdin: { contents, resolveDir: ROOT, loader: "ts" },
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    // Packages stay packages, except ours.
    plugins: [
      {
        name: "packages",
        setup({ onResolve }) {
          onResolve({ filter: /^[^./]/ }, ({ path }) =>
            path in ALIAS ? { path: ALIAS[path] as string } : { path, external: true },
          );
        },
      },
    ],
    outdir: folder,
    outExtension: { ".js": ".mjs" },
  });
  const path = join(folder, "stdin.mjs");
  return {
    path,
    async run(data, { node = [], env = {} } = {}) {
      const { stdout } = await promisify(execFile)(process.execPath, [...node, path, JSON.stringify(data)], {
        env: { ...process.env, ...env },
        maxBuffer: 1 << 24,
        timeout: 120_000,
      });
      return stdout;
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
