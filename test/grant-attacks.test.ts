import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { attacks, TABLES } from "./support/attacks/index.js";
import { devBucket } from "./support/handler.js";
import { SIGNERS } from "./support/signers.js";

describe.each(SIGNERS)("on the dev server, signed for by %s", (_, signs) => attacks(devBucket, true, signs));

test("the documentation lists every attempt and how it is refused, and there are more than 40", async () => {
  const text = await readFile(new URL("../docs/presign-protocol.md", import.meta.url), "utf8");
  const [, section = ""] = text.split("\n## What was tried\n");
  const documented = section
    .split(/^### /m)
    .slice(1)
    .map((part) => {
      const [title = "", ...lines] = part.split("\n");
      const rows = lines.filter((line) => line.startsWith("|")).slice(2);
      return [
        title,
        rows.map((row) =>
          row
            .split("|")
            .slice(1, -1)
            .map((cell) => cell.trim()),
        ),
      ];
    });
  const expected = TABLES.map(([title, table]) => [
    title[0]?.toUpperCase() + title.slice(1),
    table.map(([name, refusal]) => [name, refusal.join(", ")]),
  ]);
  if (process.env["BUCKETCACHE_TABLES"] === "1") console.log(JSON.stringify(expected));
  expect(documented).toEqual(expected);
  expect(TABLES.flatMap(([, table]) => table).length).toBeGreaterThan(40);
});
