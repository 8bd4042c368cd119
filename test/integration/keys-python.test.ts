import { readFileSync } from "node:fs";
import { expect, inject, test } from "vitest";
import { cacheKey, canonicalize, keyHash } from "../../src/data/key.js";
import { runPython } from "../support/python.js";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

test("the Python code of docs/keys.md computes our keys of plain JSON data", async () => {
  const code = /```python\n(.*?)```/s.exec(read("docs/keys.md"))?.[1] ?? "";
  const { vectors, numbers } = JSON.parse(read("schema/key-vectors.json")) as {
    vectors: { name: string; args: unknown[] }[];
    numbers: { ieee754: string; text: string }[];
  };
  const calls = vectors
    .filter(({ args }) => !JSON.stringify(args).includes('"$$'))
    .map(({ name, args }) => ({ name, args }));
  expect(calls.length).toBeGreaterThan(10);
  calls.push(
    { name: "f", args: [{ $$Date: 1 }, { $$$: { $$a: [] } }, { $$a: 1, b: 2 }, { $gt: 5 }] },
    { name: "<f>", args: numbers.map(({ ieee754 }) => Buffer.from(ieee754, "hex").readDoubleBE()) },
  );
  const printed = await runPython(
    inject("python"),
    `${code}
import sys
for call in json.load(sys.stdin.buffer):
    print(json.dumps([cache_key(call["name"], *call["args"]), key_hash(call["name"], *call["args"])]))
`,
    { input: JSON.stringify(calls) },
  );
  const theirs = printed
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);
  const ours = await Promise.all(
    calls.map(async ({ name, args }) => [cacheKey(name, args), await keyHash(name, canonicalize(args))]),
  );
  expect(theirs).toEqual(ours);
});
