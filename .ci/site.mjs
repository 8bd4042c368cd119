// Every link of the documentation site leads somewhere inside it: to a file, and to an anchor where it names one. Run after
// typedoc, which checks links between sources but not what it made of them.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const SITE = join(".cache", "docs");
const root = pathToFileURL(SITE).href + "/";
const entity = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" };
const plain = (text) => text.replace(/&(amp|lt|gt|quot|#39);/g, (_, name) => entity[name]);

const pages = new Map();
for (const file of readdirSync(SITE, { recursive: true })) {
  if (!/\.(html|svg)$/.test(file)) continue;
  // What scripts hold is no markup.
  const html = readFileSync(join(SITE, file), "utf8").replace(/<script\b[^>]*>[^<]*<\/script>/g, (tag) =>
    tag.replace(/>[^<]*</, "><"),
  );
  const ids = new Set([...html.matchAll(/\s(?:id|name)="([^"]*)"/g)].map(([, id]) => plain(id)));
  const links = [...html.matchAll(/\s(?:href|src)="([^"]*)"/g)].map(([, link]) => plain(link));
  pages.set(new URL(file.replaceAll("\\", "/"), root).href, { file, ids, links });
}

let checked = 0;
const broken = [];
for (const [address, { file, links }] of pages) {
  for (const link of links) {
    const target = new URL(link, address);
    if (target.protocol !== "file:") continue;
    checked++;
    const hash = decodeURIComponent(target.hash.slice(1));
    target.hash = "";
    target.search = "";
    const inside = target.href.startsWith(root);
    if (!inside || !existsSync(target)) broken.push(`${file}: ${link}`);
    else if (hash !== "" && !pages.get(target.href)?.ids.has(hash))
      broken.push(`${file}: ${link}, which has no such anchor`);
    // A guide that is not part of the site is copied as it is, for want of better.
    else if (target.href.endsWith(".md")) broken.push(`${file}: ${link}, which is no page`);
  }
}

for (const { name } of readdirSync("docs", { withFileTypes: true }).filter((entry) => entry.name.endsWith(".md"))) {
  if (!existsSync(join(SITE, "guides", name.replace(".md", ".html")))) broken.push(`docs/${name} is no page`);
}
for (const each of broken) console.error(`FAILED: ${each}`);
console.log(`${SITE}: ${pages.size} pages, ${checked} links, ${broken.length} broken`);
process.exitCode = broken.length === 0 && checked > 0 ? 0 : 1;
