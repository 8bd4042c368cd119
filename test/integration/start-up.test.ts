import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cacheBucket } from "../support/cache-bucket.js";
import { linkPackage, makeProject, npmInstall, output, packTarball } from "../support/consumer.js";

const here = cacheBucket();
let folder: string;
/** With the packed tarball and the AWS SDK installed. */
let project: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "bucketcache-start-"));
  const { tarball, remove } = await packTarball();
  project = makeProject({});
  await npmInstall(project, tarball);
  remove();
  for (const name of ["@aws-sdk/client-s3", "@aws-sdk/s3-request-presigner"]) linkPackage(project, name);
}, 300_000);
afterAll(() => {
  for (const each of [folder, project]) rmSync(each, { recursive: true, force: true });
});

/** Notes every module that a process loads, by `import` and by `require`, in the file that RECORD names. */
const RECORDER = `
  import { appendFileSync } from "node:fs";
  import { createRequire, register } from "node:module";
  const hooks = \`
    import { appendFileSync } from "node:fs";
    export async function resolve(specifier, context, next) {
      const found = await next(specifier, context);
      appendFileSync(process.env.RECORD, found.url + "\\\\n");
      return found;
    }\`;
  register("data:text/javascript," + encodeURIComponent(hooks));
  process.on("exit", () => {
    const required = Object.keys(createRequire(import.meta.url).cache);
    appendFileSync(process.env.RECORD, required.map((file) => file + "\\n").join(""));
  });`;

/** Returns the packages that a program loads besides ours. */
async function loadedBy(program: string, env: Record<string, string> = {}): Promise<string[]> {
  const recorder = join(folder, "recorder.mjs");
  const record = join(folder, "record");
  writeFileSync(recorder, RECORDER);
  writeFileSync(record, "");
  const code = `
    import { createCache } from "bucketcache";
    import { s3Store } from "bucketcache/s3";
    const { prefix, options } = JSON.parse(process.argv[1]);
    const cache = createCache({ store: s3Store(options), prefix });
    ${program}`;
  const { bucket, endpoint, credentials } = here.bucket.options;
  const options = "AWS_PROFILE" in env ? { bucket, endpoint } : { bucket, endpoint, credentials };
  const data = JSON.stringify({ prefix: here.prefix, options });
  const args = ["--import", recorder, "--input-type=module", "-e", code, data];
  await output(process.execPath, args, project, { ...env, RECORD: record });
  const names = readFileSync(record, "utf8").matchAll(/node_modules\/((?:@[^/]+\/)?[^/.][^/]*)/g);
  const packages = new Set(Array.from(names, ([, name]) => name as string));
  // The package itself shows that the recorder works.
  expect(packages.delete("bucketcache")).toBe(true);
  return [...packages].sort();
}

describe("a process", () => {
  test("that reads and writes with static credentials loads no package at all", async () => {
    await here.open().set("there", { a: 1 });
    const program = `
      if ((await cache.get("there"))?.a !== 1) throw new Error("not read");
      await cache.set("small", "value", { ttl: "1h" });
      const wrapped = cache.wrap((n) => n * 2, { name: "double" });
      if ((await wrapped(21)) !== 42) throw new Error("not computed");
      for await (const _ of cache.list()) { /* all */ }
      await cache.delete("small");`;
    expect(await loadedBy(program)).toEqual([]);
  });

  test("that streams, deletes in batches, presigns and compresses never loads the AWS SDK", async () => {
    const program = `
      await cache.set("large", new Blob([new Uint8Array(20 << 20)]).stream());
      for await (const _ of (await cache.getStream("large"))) { /* all */ }
      await cache.set("text", "text ".repeat(10_000));
      await cache.get("text");
      await cache.set("tagged", new Map([[1, 2n]]));
      await cache.presign("text");
      await cache.deleteMany(["large", "text"]);
      await cache.clear({ all: true });`;
    expect((await loadedBy(program)).filter((name) => /^@(aws-sdk|smithy)/.test(name))).toEqual([]);
  });

  test("that takes credentials from a profile loads client-s3 for them, and no presigner", async () => {
    const { accessKeyId, secretAccessKey } = here.bucket.options.credentials;
    const file = join(folder, "credentials");
    const profile = `[tester]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`;
    writeFileSync(file, profile);
    const env = { AWS_PROFILE: "tester", AWS_SHARED_CREDENTIALS_FILE: file, AWS_CONFIG_FILE: join(folder, "none") };
    const packages = await loadedBy(`await cache.set("k", 1); await cache.get("k");`, env);
    expect(packages).toContain("@aws-sdk/client-s3");
    expect(packages).not.toContain("@aws-sdk/s3-request-presigner");
  });
});
