import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { formatMetadata } from "../src/entry/entry.js";
import { corsRule, metadataHeader, metadataOf } from "../src/s3/header-names.js";

const everyMember = formatMetadata({
  created: 1,
  codec: "json",
  nonce: "AAAAAAAAAAAAAAAAAAAAAA==",
  expiresAt: 2,
  compressed: true,
});

test("the CORS rule exposes each header that an entry may have, and the guide shows the same rule", () => {
  const rule = JSON.parse(corsRule().replace(/^[^{]*/, "")) as { ExposeHeaders: string[] };
  expect(rule.ExposeHeaders).toEqual([...Object.keys(everyMember).map(metadataHeader), "etag"]);
  const guide = readFileSync(new URL("../docs/s3.md", import.meta.url), "utf8");
  const [, shown] = /"ExposeHeaders": (\[[^\]]*\])/.exec(guide) ?? [];
  expect(JSON.parse(shown ?? "")).toEqual(rule.ExposeHeaders);
});

test("user metadata is told from other headers by its prefix", () => {
  const headers = Object.fromEntries(Object.entries(everyMember).map(([name, value]) => [metadataHeader(name), value]));
  expect(metadataOf({ ...headers, etag: '"x"', "x-amz-metadata": "no" })).toEqual(everyMember);
});
