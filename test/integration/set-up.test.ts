import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, inject, test } from "vitest";
import { ensureProgram, PROGRAMS, type ProgramName } from "../runtimes/run/programs.js";
import { ensureTool, output, TOOLS } from "../support/consumer.js";

// Vitest's global set-up brings MinIO, Python and browsers. The rest is brought by the test that first needs it, so that
// a machine without it shows here which step fails.

test.each(Object.keys(PROGRAMS) as ProgramName[])("the set-up brings %s", async (name) => {
  const version = await output(await ensureProgram(name), ["--version"], import.meta.dirname);
  const major = /^node(\d+)$/.exec(name)?.[1] ?? String.raw`\d+`;
  expect(version).toMatch(new RegExp(String.raw`(^|\s)v?${major}\.\d+\.\d+`));
});

test.each(Object.keys(TOOLS) as (keyof typeof TOOLS)[])("the set-up brings %s as pinned", async (name) => {
  const folder = await ensureTool(name);
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string };
  expect(TOOLS[name].split(" ")[0]).toMatch(new RegExp(`@${version.replaceAll(".", String.raw`\.`)}$`));
});

test("the set-up brings a Python with the packages that share buckets with us", async () => {
  const program = "import awscli, boto3, core_aws, etl_pycache; print(boto3.__version__)";
  expect(await output(inject("python"), ["-c", program], import.meta.dirname)).toMatch(/^\d+\.\d+\.\d+\s*$/);
});
