import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { guides, read } from "./support/printed.js";

// The code of these pages is run by test/integration/docs.test.ts.

test.each(guides())("the links of %s lead somewhere", (page) => {
  const text = read(page);
  for (const [, target] of text.matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
    const [path, anchor] = (target as string).split("#") as [string, string?];
    const file = new URL(path, new URL(`../${page}`, import.meta.url));
    expect(path === "" || existsSync(file), `${page} links to ${target}`).toBe(true);
    if (anchor === undefined) continue;
    const other = path === "" ? text : read(file.href.slice(new URL("../", import.meta.url).href.length));
    const anchors = [...other.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
      (title as string)
        .toLowerCase()
        .replace(/[^\w -]/g, "")
        .replaceAll(" ", "-"),
    );
    expect(anchors, `${page} links to ${target}`).toContain(anchor);
  }
});
