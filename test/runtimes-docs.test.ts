import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const folder = new URL("../examples/runtimes/", import.meta.url);
const page = readFileSync(new URL("../docs/runtimes.md", import.meta.url), "utf8");
const starts = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => /\.m?js$/.test(name));

test.each(starts)("docs/runtimes.md prints the start %s as the tests run it", (name) => {
  expect(page).toContain(`\`\`\`javascript\n${readFileSync(new URL(name, folder), "utf8")}\`\`\`\n`);
});

test("docs/runtimes.md prints no start that no test runs", () => {
  expect(page.match(/^```javascript$/gm)).toHaveLength(starts.length);
});
