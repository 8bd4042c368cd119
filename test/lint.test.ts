import { execFile, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";

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

const badComments: [why: string, text: string][] = [
  ["What at the beginning", "// What the caller gave.\nexport {};"],
  ["Who in a doc comment", "/** Who came first keeps the work going. */\nexport const a = 1;"],
  ["Whoever, on the second line", "/**\n * Whoever reads it\n * gets a copy.\n */\nexport const a = 1;"],
  ["Whose, in a second sentence", "// Marks the entry. Whose it is, nobody knows.\nexport {};"],
  ["Of, in a member", "export interface A {\n  /** Of the value, in bytes. */\n  size: number;\n}"],
  ["Of, after a tag", "/**\n * Reads it.\n *\n * @returns Of the rest nothing.\n */\nexport const a = 1;"],
  ["What, in an item of a list", "/**\n * Knows:\n * - What is new.\n */\nexport const a = 1;"],
  ["What, on a later line of a comment", "// Reads the body.\n// What is left stays there.\nexport {};"],
  ["What, behind code", "export const a = 1; // What it is."],
  ["Of, in a second paragraph", "/**\n * Reads it\n *\n * Of the rest nothing\n */\nexport const a = 1;"],
];
const goodComments: string[] = [
  "// Returns what the caller gave. It says who and of what.\nexport {};",
  "// A name that goes on, as in the\n// What Working Group.\nexport {};",
  "/** Offers a copy. Whole parts only, whatever comes. `What` is a name. */\nexport const a = 1;",
  "/**\n * Prints it.\n *\n * ```js\n * // What is printed:\n * Of();\n * ```\n */\nexport const a = 1;",
  'export const a = "// What is in a text is no comment.";',
  "export const a = `\n// Of a template, too\n`;",
];

/** Lints a folder, and returns the complaints of one rule by the path of the file. */
function lint(path: string, config: string, rule: string): Promise<Map<string, string[]>> {
  const oxlint = join(root, "node_modules/oxlint/bin/oxlint");
  const args = [oxlint, "--config", join(root, ".config", config), "--format", "json", path];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, { cwd: path, maxBuffer: 1e8 }, (_, stdout, stderr) => {
      try {
        const { diagnostics } = JSON.parse(stdout) as {
          diagnostics: { code: string; message: string; filename: string }[];
        };
        const found = new Map<string, string[]>();
        for (const { code, message, filename } of diagnostics) {
          if (code !== rule) continue;
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
  return lint(folder, "oxlintrc.json", "bucketcache(direction)");
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

const commentComplaints = (async () => {
  const path = join(folder, "comments");
  mkdirSync(path);
  [...badComments.map(([, text]) => text), ...goodComments].forEach((text, index) => {
    writeFileSync(join(path, `${index}.ts`), `${text}\n`);
  });
  return lint(path, "language.json", "language(sentences)");
})();

const commentComplaintsAbout = async (index: number) =>
  [...(await commentComplaints)].filter(([file]) => file.endsWith(`/${index}.ts`) || file === `${index}.ts`);

test.each(badComments.map(([why], index) => [why, index] as const))("a comment is refused: %s", async (_, index) => {
  const [[, messages] = ["", []], ...more] = await commentComplaintsAbout(index);
  expect(messages).toHaveLength(1);
  expect(more).toEqual([]);
});

test.each(goodComments.map((text, index) => [text, index] as const))("a comment is accepted: %s", async (_, index) => {
  expect(await commentComplaintsAbout(badComments.length + index)).toEqual([]);
});

describe("the subject of a commit", () => {
  const CHECK = join(root, ".ci/commits.mjs");

  /** Commits in a repository of its own, the check in the second commit, and returns what it says. */
  function checkSubjects(...subjects: string[]): { status: number | null; stderr: string } {
    const cwd = mkdtempSync(join(folder, "commits-"));
    const git = (...args: string[]) => {
      const identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.com", "-c", "commit.gpgsign=false"];
      const { status, stderr } = spawnSync("git", [...identity, ...args], { cwd, encoding: "utf8" });
      expect(status, stderr).toBe(0);
    };
    git("init", "--quiet");
    git("commit", "--quiet", "--allow-empty", "-m", "x".repeat(90));
    mkdirSync(join(cwd, ".ci"));
    copyFileSync(CHECK, join(cwd, ".ci/commits.mjs"));
    git("add", ".");
    git("commit", "--quiet", "-m", "Check subjects");
    for (const subject of subjects) git("commit", "--quiet", "--allow-empty", "-m", subject);
    return spawnSync(process.execPath, [CHECK], { cwd, encoding: "utf8" });
  }

  test("may have 72 characters, and those before the check may have more", () => {
    expect(checkSubjects("Fix it", "x".repeat(72), `Merge ${"0".repeat(40)} into ${"1".repeat(40)}`).status).toBe(0);
  });

  test("is refused with more, wherever it is among the new ones", () => {
    const { status, stderr } = checkSubjects("Fix it", "x".repeat(73), "Fix more");
    expect(status).toBe(1);
    expect(stderr).toMatch(/^FAILED: the subject of \w+ x{73} has 73 characters\n$/);
  });

  test("is refused with a full stop at its end", () => {
    expect(checkSubjects("Fix it.").status).toBe(1);
  });

  test("is not checked outside of a repository", () => {
    const env = { ...process.env, GIT_CEILING_DIRECTORIES: tmpdir(), GIT_DIR: join(folder, "none") };
    expect(spawnSync(process.execPath, [CHECK], { cwd: folder, env }).status).toBe(77);
  });
});
