// One bundle for all runtimes, from the sources: the very same files run everywhere.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { ALIAS } from "../../../.config/alias.mjs";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/**
 * Bundles entries into a folder of their own, shared parts and what is imported when needed in files beside them, unless
 * `splitting` is off.
 */
export async function bundle(name: string, entryPoints: Record<string, string>, splitting = true): Promise<string> {
  const outdir = join(ROOT, ".cache/runtimes", name);
  rmSync(outdir, { recursive: true, force: true });
  await build({
    entryPoints: Object.entries(entryPoints).map(([out, file]) => ({ out, in: join(ROOT, file) })),
    outdir,
    bundle: true,
    splitting,
    format: "esm",
    platform: "neutral",
    // Without a platform, esbuild finds no package that names its file by "main", such as spark-md5.
    mainFields: ["main"],
    target: "es2022",
    alias: ALIAS,
    // Optional peers, which no runtime here has.
    external: ["@aws-sdk/*"],
    logLevel: "warning",
  });
  return outdir;
}
