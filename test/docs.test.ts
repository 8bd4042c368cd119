import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { startDevServer } from "bucketcache/dev";

// The examples of a page form one program, in order. They find the dev server where `s3Store` finds AWS.
const root = new URL("../", import.meta.url);
const folder = new URL(".cache/docs-examples/", root);
const pages = [
  "README.md",
  ...(await readdir(new URL("docs/", root))).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`),
];

let server: Awaited<ReturnType<typeof startDevServer>>;

beforeAll(async () => {
  server = await startDevServer({ buckets: ["my-results"] });
  vi.stubEnv("AWS_ENDPOINT_URL_S3", server.endpoint);
  vi.stubEnv("AWS_REGION", server.region);
  vi.stubEnv("AWS_ACCESS_KEY_ID", server.credentials.accessKeyId);
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", server.credentials.secretAccessKey);
  await mkdir(folder, { recursive: true });
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await server.close();
  await rm(folder, { recursive: true });
});

const programs = await Promise.all(
  pages.map(async (page) => {
    const text = await readFile(new URL(page, root), "utf8");
    const blocks = [...text.matchAll(/^```(?:js|ts)\n([\s\S]*?)^```$/gm)].map(([, code]) => code as string);
    return { page, text, program: blocks.join("\n") };
  }),
);

describe("the examples run as they are printed", () => {
  test.each(programs.filter(({ program }) => program !== ""))("$page", async ({ page, program }) => {
    const file = new URL(`${page.replaceAll("/", "-")}.ts`, folder);
    // What a page takes for granted: its own expensive function.
    const given = page === "README.md" ? "const buildReport = async (month) => ({ month });\n" : "";
    vi.spyOn(console, "log").mockImplementation(() => undefined);
    await writeFile(file, `${given}${program}\nexport {};\n`);
    await expect(import(/* @vite-ignore */ pathToFileURL(file.pathname).href)).resolves.toBeDefined();
  });
});

describe("links between the pages lead somewhere", () => {
  test.each(programs)("$page", async ({ page, text }) => {
    for (const [, target] of text.matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [path, anchor] = (target as string).split("#");
      const other = path === "" ? text : await readFile(new URL(path as string, new URL(page, root)), "utf8");
      if (anchor === undefined) continue;
      const anchors = [...other.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
        (title as string)
          .toLowerCase()
          .replace(/[^\w -]/g, "")
          .replaceAll(" ", "-"),
      );
      expect(anchors, `${page} links to ${target}`).toContain(anchor);
    }
  });
});
