// workerd through miniflare, without nodejs_compat: no process, no Buffer, no node: modules.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Miniflare, type MiniflareOptions } from "miniflare";
import { ROOT } from "./bundle.js";
import type { Runtime } from "./main.js";

const COMPATIBILITY_DATE = "2026-04-01";
const VERSION = (
  JSON.parse(readFileSync(join(ROOT, "node_modules/miniflare/package.json"), "utf8")) as Record<string, string>
)["version"];

/** A worker of a bundle: its entry and all files beside it. */
export function worker(folder: string, entry: string, options: Partial<MiniflareOptions> = {}): Miniflare {
  const files = readdirSync(folder).filter((file) => file.endsWith(".js"));
  const modules = [entry, ...files.filter((file) => file !== entry)].map((file) => ({
    type: "ESModule" as const,
    path: join(folder, file),
    contents: readFileSync(join(folder, file), "utf8"),
  }));
  return new Miniflare({
    modules,
    modulesRoot: folder,
    compatibilityDate: COMPATIBILITY_DATE,
    ...options,
  } as MiniflareOptions);
}

export const workerd: Runtime = {
  name: "workerd",
  title: "workerd",
  runs: [["keys", "memory", "s3", "presigned"]],
  async run({ url, ended }, { suite }) {
    const miniflare = worker(suite, "worker.js");
    try {
      const answer = await miniflare.dispatchFetch(`http://worker.test/?${new URLSearchParams({ url })}`);
      if (!answer.ok) throw new Error(await answer.text());
      await ended;
      return `miniflare ${VERSION}`;
    } finally {
      await miniflare.dispose();
    }
  },
};
