import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "bucketcache-lint-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const refused: [why: string, file: string, text: string][] = [
  ["a store imports another", "stores/s3.ts", 'import { m } from "./memory.js"; m();'],
  ["a store imports the cache", "stores/presigned.ts", 'import { c } from "../cache/cache.js"; c();'],
  ["a store loads the cache", "stores/file.ts", 'export const c = () => import("../cache/cache.js");'],
  ["a store takes a type of the cache", "stores/memory.ts", 'export type C = import("../cache/cache.js").C;'],
  ["the local folder imports a store", "local/objects.ts", 'export { s } from "../stores/s3.js";'],
  ["the cache imports a store", "cache/cache.ts", 'import { m } from "../stores/memory.js"; m();'],
  ["the cache imports the handler", "cache/wrap.ts", 'export * from "../handler/index.js";'],
  ["the cache imports S3", "cache/load.ts", 'import { r } from "../s3/objects.js"; r();'],
  ["S3 imports a signer", "s3/objects.ts", 'import { s } from "../aws/signer.js"; s();'],
  ["the entry point is imported", "cache/settings.ts", 'import { c } from "../index.js"; c();'],
  ["the handler imports a store", "handler/index.ts", 'import { s } from "../stores/s3.js"; s();'],
  ["the handler takes a type of a store", "handler/answer.ts", 'export type { S } from "../stores/s3.js";'],
  ["S3 imports the cache", "s3/objects.ts", 'import { c } from "../cache/cache.js"; c();'],
  ["a leaf imports what stands on it", "base/bytes.ts", 'import { k } from "../data/key.js"; k();'],
  ["dev imports more than errors", "dev/index.ts", 'export type { B } from "../types.js";'],
  ["something imports dev", "testing/faulty.ts", 'export { d } from "../dev/index.js";'],
  [
    "the public words take a type of the cache",
    "types.ts",
    'import type { C } from "./cache/cache.js"; export type D = C;',
  ],
  [
    "a Node module outside of dev and local",
    "data/key.ts",
    'import { createHash } from "node:crypto"; createHash("md5");',
  ],
  ["a Node module in a store", "stores/s3.ts", 'export const fs = () => import("node:fs");'],
  [
    "the AWS SDK in the cache",
    "cache/cache.ts",
    'import type { S3Client } from "@aws-sdk/client-s3"; export type C = S3Client;',
  ],
  ["the AWS SDK imported at once", "aws/client.ts", 'import { S3Client } from "@aws-sdk/client-s3"; new S3Client({});'],
  ["a folder that nobody has named", "more/thing.ts", 'export { t } from "../types.js";'],
];

const allowed: [file: string, text: string][] = [
  ["aws/client.ts", 'export const sdk = () => import("@aws-sdk/client-s3");'],
  ["aws/client.ts", 'export type { S3Client } from "@aws-sdk/client-s3";'],
  ["local/file-store.ts", 'export { readFile } from "node:fs/promises"; export { s } from "./objects.js";'],
  ["stores/s3.ts", 'export { b } from "../base/bytes.js"; export { r } from "../s3/objects.js";'],
  ["cache/cache.ts", 'export { k } from "../data/key.js"; export { l } from "./load.js";'],
  ["cache/store/write.ts", 'export { l } from "../memory/lru.js"; export { g } from "../../entry/gzip.js";'],
  ["dev/index.ts", 'export { createServer } from "node:http"; export { e } from "../errors.js";'],
  ["index.ts", 'export { c } from "./cache/cache.js"; export type { T } from "./types.js";'],
  ["object-store.ts", 'export type { B } from "./types.js";'],
  ["handler/index.ts", 'export { k } from "../data/key.js"; export { a } from "./answer.js";'],
];

/** The complaints of our lint rule, by the path of the file. */
function lint(path: string): Promise<Map<string, string[]>> {
  const oxlint = join(root, "node_modules/oxlint/bin/oxlint");
  const args = [oxlint, "--config", join(root, ".config/oxlintrc.json"), "--format", "json", path];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, { cwd: path, maxBuffer: 1e8 }, (_, stdout, stderr) => {
      try {
        const { diagnostics } = JSON.parse(stdout) as {
          diagnostics: { code: string; message: string; filename: string }[];
        };
        const found = new Map<string, string[]>();
        for (const { code, message, filename } of diagnostics) {
          if (code !== "bucketcache(direction)") continue;
          const file = filename.replaceAll("\\", "/");
          found.set(file, [...(found.get(file) ?? []), message]);
        }
        resolve(found);
      } catch (error) {
        reject(new Error(`oxlint said:\n${stdout}\n${stderr}`, { cause: error }));
      }
    });
  });
}

// One run for all examples, each in a tree of its own: starting the linter is what takes the time.
const complaints = (async () => {
  [...refused.map(([, file, text]) => ({ file, text })), ...allowed.map(([file, text]) => ({ file, text }))].forEach(
    ({ file, text }, index) => {
      const path = join(folder, String(index), "src", file);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, `${text}\n`);
    },
  );
  return lint(folder);
})();

const complaintsAbout = async (index: number) =>
  [...(await complaints)]
    .filter(([file]) => file.split("/").includes(String(index)))
    .flatMap(([, messages]) => messages);

test.each(refused.map(([why], index) => [why, index] as const))("the lint rule refuses: %s", async (_, index) => {
  expect(await complaintsAbout(index)).toHaveLength(1);
});

test.each(allowed.map(([file, text], index) => [file, text, index] as const))(
  "the lint rule accepts in %s: %s",
  async (_file, _text, index) => {
    expect(await complaintsAbout(refused.length + index)).toEqual([]);
  },
);
