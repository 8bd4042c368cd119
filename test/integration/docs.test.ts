import { execFile } from "node:child_process";
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import {
  ListMultipartUploadsCommand,
  PutBucketCorsCommand,
  PutBucketLifecycleConfigurationCommand,
  S3Client,
  type BucketLifecycleConfiguration,
  type CORSRule,
} from "@aws-sdk/client-s3";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, inject, test, vi } from "vitest";
import type * as Main from "bucketcache";
import { startDevServer } from "bucketcache/dev";
import type * as Handler from "bucketcache/handler";
import type * as S3 from "bucketcache/s3";
import { linkPackage, makeProject, npmInstall, output, packTarball, writeFiles } from "../support/consumer.js";
import { makeBucket } from "../support/bucket.js";
import { addressOf, atItsLines, printedBlocks, programsOf, read, type Program } from "../support/printed.js";
import { runAws, runPython } from "../support/python.js";

// Every code block of README, guides and doc comments, as a reader copies it: from the page into a project where the packed
// tarball is installed. The info of a block's fence says how it is checked, by a name in CHECKS.

const ROOT = new URL("../../", import.meta.url);
const TSC = fileURLToPath(new URL("node_modules/typescript/bin/tsc", ROOT));
const manifest = JSON.parse(read("package.json")) as {
  name: string;
  scripts: Record<string, string>;
} & Record<"dependencies" | "peerDependencies" | "devDependencies", Record<string, string>>;

/** The check for each info string of a block: its title in the report, and the function that runs it. */
const CHECKS: Record<string, { title: string; check: (program: Program) => Promise<void> }> = {
  ts: { title: "is compiled by tsc, and runs on a dev server", check: runTypeScript },
  js: { title: "runs on a dev server", check: runJavaScript },
  "js start": { title: "is a start that the suite of runtimes runs, and is bundled", check: checkStart },
  html: { title: "has scripts that tsc checks, and is bundled", check: checkPage },
  sh: { title: "names packages, scripts, arguments and paths that exist", check: checkCommands },
  "sh aws": { title: "is run by a shell, with the AWS command line, on a dev server", check: runShell },
  python: { title: "runs in Python", check: async ([{ code }]) => void (await runPython(inject("python"), code)) },
  http: { title: "is sent to a handler, which answers what is printed", check: exchange },
  json: { title: "is JSON", check: async ([{ code }]) => void JSON.parse(code) },
  "json policy": { title: "confines a session on MinIO to the prefix, and suffices there", check: confine },
  "json cors": { title: "is taken by the dev server as the rule of a bucket", check: putCors },
  "json lifecycle": { title: "is taken by MinIO as the rules of a bucket", check: putLifecycle },
  "text key": { title: "is the key of the call named above it", check: checkKey },
  "text folders": { title: "names folders that exist", check: checkFolders },
  "text drawing": { title: "is a drawing, in which there is nothing to run", check: async () => {} },
};

const blocks = printedBlocks();
const programs = programsOf(blocks);

let project: string;
let removePack: () => void = () => {};
/** Messages of tsc, by file. */
let mistakes: Map<string, string[]>;

beforeAll(async () => {
  const { tarball, remove } = await packTarball();
  removePack = remove;
  project = makeProject({});
  await npmInstall(project, tarball);
  linkPackage(project, "@types/node");
  for (const name of importedPackages()) if (name !== manifest.name) linkPackage(project, name);
  for (const program of programs) writeFiles(project, { [fileOf(program)]: sourceOf(program) });
  mistakes = new Map([
    ...(await compile("tsconfig.json", ".ts", {
      ...{ lib: ["ES2023"], types: ["node"], outDir: "out", sourceMap: true },
      ...{ exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
    })),
    ...(await compile("tsconfig.page.json", ".page.js", {
      ...{ lib: ["ES2023", "DOM", "DOM.Iterable", "DOM.AsyncIterable"], types: [] },
      ...{ allowJs: true, checkJs: true, noEmit: true, strict: false },
    })),
  ]);
}, 300_000);

afterAll(() => {
  removePack();
  rmSync(project, { recursive: true, force: true });
});

describe("what is printed runs:", () => {
  for (const program of programs) {
    const { info } = program[0];
    const { title, check } = CHECKS[info] ?? {
      title: "has a check",
      check: async () => expect.fail(`no check is named "${info}": ${Object.keys(CHECKS).join(", ")}`),
    };
    test(`${addressOf(program)} (${info}) ${title}`, () => check(program));
  }
});

test("no block is left out, and no check is without a block", () => {
  // Counted in another way than blocks are found.
  const pages = new Set(blocks.map(({ page }) => page));
  const fences = [...pages].flatMap((page) => [...read(page).matchAll(/^[ *]*```/gm)]);
  expect(blocks.filter(({ info }) => info !== "")).toHaveLength(fences.length / 2);
  expect(programs.flat()).toHaveLength(blocks.length);
  const special = Object.keys(CHECKS).filter((info) => info.includes(" "));
  expect(special.filter((info) => !blocks.some((block) => block.info === info))).toEqual([]);
});

test("every start that the suite of runtimes runs is printed", () => {
  const printed = blocks.filter(({ info }) => info === "js start").map(({ code }) => code);
  expect(printed.sort()).toEqual([...starts().values()].sort());
});

// Programs

async function runTypeScript(program: Program): Promise<void> {
  expect(mistakes.get(fileOf(program)) ?? []).toEqual([]);
  await runOnDevServer(program, join("out", fileOf(program).replace(/ts$/, "js")));
}

async function runJavaScript(program: Program): Promise<void> {
  await runOnDevServer(program, fileOf(program));
}

/** Runs a file where `s3Store({ bucket: "my-results" })` finds a bucket, and compares what it prints with the comments. */
async function runOnDevServer(program: Program, file: string): Promise<void> {
  const server = await startDevServer({ buckets: ["my-results"] });
  try {
    const said = await output(process.execPath, ["--enable-source-maps", file], project, environment(server));
    const squeeze = (text: string) => text.replace(/[\s'"]/g, "");
    const printed = program.flatMap(({ code }) => [...code.matchAll(/^ *console\.log\(.*\); \/\/ ([\d[{"'].*)$/gm)]);
    let rest = squeeze(said);
    for (const [line, result] of printed) {
      expect(rest, line).toContain(squeeze(result as string));
      rest = rest.slice(rest.indexOf(squeeze(result as string)) + squeeze(result as string).length);
    }
  } finally {
    await server.close();
  }
}

function environment({ endpoint, region, credentials }: Awaited<ReturnType<typeof startDevServer>>) {
  return {
    AWS_ENDPOINT_URL_S3: endpoint,
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  };
}

/** Where a program lies in the project. Each kind of program has an ending of its own, by which tsc finds it. */
function fileOf([{ page, line, info }]: Program): string {
  const ending = info === "html" ? "page.js" : info === "js start" ? "start.js" : (info.split(" ")[0] as string);
  return `${page.replaceAll("/", "-")}.${line}.${ending}`;
}

function sourceOf(program: Program): string {
  if (program[0].info !== "html") return atItsLines(program);
  const [{ code, line }] = program;
  // Only the scripts, in their lines.
  let inside = false;
  const lines = code.split("\n").map((text) => {
    if (/<script\b/.test(text)) inside = true;
    else if (text.includes("</script>")) inside = false;
    else if (inside) return text;
    return "";
  });
  return `${"\n".repeat(line - 1)}${lines.join("\n")}`;
}

/** The packages that blocks import, which must be the library, built into Node, or known to package.json. */
function importedPackages(): string[] {
  const code = programs.map(sourceOf).join("\n");
  const names = [...code.matchAll(/^import (?:.* from )?"((?:@[^/"]+\/)?[^/"]+)/gm)].map(([, name]) => name as string);
  return [...new Set(names)].filter((name) => !name.startsWith("node:"));
}

async function compile(config: string, ending: string, options: object): Promise<Map<string, string[]>> {
  const files = readdirSync(project).filter((name) => name.endsWith(ending));
  expect(files).not.toEqual([]);
  const compilerOptions = {
    ...{ target: "ES2022", module: "NodeNext", moduleDetection: "force", strict: true, skipLibCheck: true },
    ...{ noEmitOnError: false, rootDir: "." },
    ...options,
  };
  writeFiles(project, { [config]: JSON.stringify({ compilerOptions, files }) });
  const said = await new Promise<string>((resolve) =>
    execFile(process.execPath, [TSC, "-p", config, "--pretty", "false"], { cwd: project }, (_, stdout) =>
      resolve(stdout),
    ),
  );
  const found = new Map<string, string[]>();
  for (const line of said.split("\n").filter((text) => /^\S/.test(text))) {
    const file = /^(.*?)\(\d+,\d+\): /.exec(line)?.[1] ?? "";
    if (!files.includes(file)) throw new Error(said);
    found.set(file, [...(found.get(file) ?? []), line]);
  }
  return found;
}

/** Bundles a file for a page; imports of what is not there are errors. */
async function bundle(file: string): Promise<string> {
  const result = await build({
    ...{ entryPoints: [join(project, file)], bundle: true, format: "esm", write: false, logLevel: "silent" },
    ...{ external: ["node:*"], target: "es2022" },
  });
  return result.outputFiles[0]!.text;
}

function starts(): Map<string, string> {
  const folder = new URL("examples/runtimes/", ROOT);
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => /\.m?js$/.test(name));
  return new Map(names.map((name) => [name, readFileSync(new URL(name.replaceAll("\\", "/"), folder), "utf8")]));
}

async function checkStart(program: Program): Promise<void> {
  expect([...starts().values()]).toContain(program[0].code);
  expect((await bundle(fileOf(program))).length).toBeGreaterThan(20_000);
}

async function checkPage(program: Program): Promise<void> {
  expect(mistakes.get(fileOf(program)) ?? []).toEqual([]);
  expect(sourceOf(program)).toContain("import ");
  expect(await bundle(fileOf(program))).not.toMatch(/@aws-sdk|from\s*["']node:/);
}

// Commands

async function checkCommands([{ code }]: Program): Promise<void> {
  const commands = code
    .split("\n")
    .flatMap((line) => line.replace(/(^|\s)#.*$/, "").split("&&"))
    .map((command) => command.trim())
    .filter((command) => command !== "");
  expect(commands).not.toEqual([]);
  for (const command of commands) {
    const [program, verb, ...rest] = command.split(/\s+/) as [string, string, ...string[]];
    if (program === "npx") {
      expect(existsSync(new URL(`node_modules/.bin/${verb}`, ROOT)), command).toBe(true);
    } else if (program === "npm" && verb === "install") {
      for (const name of rest) {
        const { dependencies, peerDependencies, devDependencies } = manifest;
        const known = { [manifest.name]: "", ...dependencies, ...peerDependencies, ...devDependencies };
        expect(Object.keys(known), command).toContain(name);
      }
    } else if (program === "npm" && verb !== "ci") {
      const [script, args] = verb === "run" ? [rest[0] as string, rest.slice(1)] : [verb, rest];
      expect(Object.keys(manifest.scripts), command).toContain(script);
      checkArguments(command, script, args);
    } else {
      expect(command, "a command that the test does not know").toBe("npm ci");
    }
  }
}

/** The words after `--` must occur in what the script runs. */
function checkArguments(command: string, script: string, args: string[]): void {
  if (args.length === 0) return;
  expect(args[0], command).toBe("--");
  const file = /node (\S+)/.exec(manifest.scripts[script] as string)?.[1] as string;
  const folder = fileURLToPath(new URL(`${dirname(file)}/`, ROOT));
  const sources = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.m?[jt]s$/.test(entry.name) && !entry.parentPath.includes("node_modules"))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8"))
    .join("\n");
  for (const word of args.slice(1)) {
    if (/^\d+$/.test(word)) continue;
    expect(sources.match(new RegExp(`\\b${word.replace(/^--/, "")}\\b`)), `${command}: ${word}`).not.toBeNull();
  }
}

/** Runs a block with its placeholders (the port, the secret) replaced by those of a server. */
async function runShell([{ code }]: Program): Promise<void> {
  const server = await startDevServer();
  try {
    writeFiles(project, { "bin/aws": `#!/bin/sh\nexec "${inject("python")}" -m awscli "$@"\n` });
    chmodSync(join(project, "bin/aws"), 0o755);
    const script = code
      .replace("http://127.0.0.1:9000", server.endpoint)
      .replace("…", server.credentials.secretAccessKey);
    expect(script).toContain(server.endpoint);
    expect(script).toContain(server.credentials.secretAccessKey);
    const { cache, close } = await openCache({ bucket: "bucketcache", ...server });
    await cache.set("key", "value");
    await close();
    const PATH = `${join(project, "bin")}${delimiter}${process.env["PATH"]}`;
    expect(await output("sh", ["-e", "-c", script], project, { PATH })).toContain("PRE cache/");
  } finally {
    await server.close();
  }
}

// The protocol

/** Sends a printed request to a handler at the printed time. */
async function exchange(program: Program): Promise<void> {
  expect(program).toHaveLength(2);
  const [request, answer] = program.map(({ code }) => {
    const [head, body] = code.split("\n\n") as [string, string];
    const [first, ...lines] = head.split("\n") as [string, ...string[]];
    return { first, headers: lines.map((line) => line.split(": ") as [string, string]), body };
  }) as [Message, Message];
  // "…" in a text stands for any text, and as a member for any others.
  const printed = JSON.parse(answer.body.replaceAll(", … }", ', "…": "" }')) as { now: number };

  const { createPresignHandler } = await packed<typeof Handler>("bucketcache/handler");
  const { s3Store } = await packed<typeof S3>("bucketcache/s3");
  const credentials = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "secret" };
  const handler = createPresignHandler({
    store: s3Store({ bucket: "my-results", region: "eu-central-1", credentials }),
    prefix: "cache/",
    authorize: () => true,
  });
  vi.useFakeTimers({ toFake: ["Date"], now: printed.now * 1000 });
  try {
    const [method, path] = request.first.split(" ") as [string, string];
    const { headers, body } = request;
    const response = await handler(new Request(`https://app.example.com${path}`, { method, headers, body }));
    expect(answer.first).toMatch(new RegExp(`^${response.status} `));
    for (const [name, value] of answer.headers) expect(response.headers.get(name), name).toBe(value);
    expect(await response.json()).toEqual(withGaps(printed));
  } finally {
    vi.useRealTimers();
  }
}

interface Message {
  first: string;
  headers: [string, string][];
  body: string;
}

function withGaps(value: unknown): unknown {
  if (typeof value === "string" && value.includes("…")) {
    const parts = value.split("…").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    return expect.stringMatching(new RegExp(`^${parts.join(".+")}$`));
  }
  if (Array.isArray(value)) return value.map(withGaps);
  if (typeof value !== "object" || value === null) return value;
  const { "…": gap, ...members } = Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, withGaps(item)]),
  );
  return gap === undefined ? members : expect.objectContaining(members);
}

// Settings of buckets

/** A session with the printed policy does all that a cache does below the prefix, and nothing beside it. */
async function confine([{ code }]: Program): Promise<void> {
  const { bucket, options, client, remove } = await makeBucket();
  const { endpoint, region } = options;
  const { accessKeyId, secretAccessKey } = options.credentials;
  try {
    expect(code).toContain("my-results");
    const role = ["--role-arn", "arn:aws:iam::000000000000:role/cache", "--role-session-name", "cache"];
    const policy = code.replaceAll("my-results", bucket);
    const said = await runAws(
      inject("python"),
      ["sts", "assume-role", ...role, "--policy", policy, "--endpoint-url", endpoint, "--output", "json"],
      { env: { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_DEFAULT_REGION: region } },
    );
    const { Credentials } = JSON.parse(said) as { Credentials: Record<string, string> };
    const credentials = {
      accessKeyId: Credentials["AccessKeyId"] as string,
      secretAccessKey: Credentials["SecretAccessKey"] as string,
      sessionToken: Credentials["SessionToken"] as string,
    };
    const { cache, close } = await openCache({ bucket, endpoint, region, credentials });
    const other = await openCache({ bucket, endpoint, region, credentials }, "other/");
    await cache.set("a", 1);
    expect(await cache.get("a")).toBe(1);
    expect(await cache.get("absent")).toBeUndefined();
    // Larger than a part, and of unknown size: an upload in parts, and one that is aborted.
    await cache.set("large", parts(10));
    await expect(cache.set("broken", parts(10, new Error("broken")))).rejects.toThrow("broken");
    const left = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: "cache/broken" }));
    expect(left.Uploads ?? []).toEqual([]);
    const keys: string[] = [];
    for await (const { key } of cache.list()) keys.push(key);
    expect(keys.sort()).toEqual(["a", "large"]);
    await cache.clear({ all: true });
    expect(await cache.has("a")).toBe(false);
    await expect(other.cache.set("a", 1)).rejects.toMatchObject({ code: "ERR_FORBIDDEN" });
    await expect(other.cache.get("a")).rejects.toMatchObject({ code: "ERR_FORBIDDEN" });
    await close();
    await other.close();
  } finally {
    await remove();
  }
}

async function* parts(count: number, error?: Error): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i++) yield new Uint8Array(1024 * 1024).map((_, j) => (i + j * j) % 251);
  if (error !== undefined) throw error;
}

async function putCors([{ code }]: Program): Promise<void> {
  const server = await startDevServer({ buckets: ["my-results"] });
  const { endpoint, region, forcePathStyle, credentials } = server;
  const client = new S3Client({ endpoint, region, forcePathStyle, credentials });
  try {
    const CORSRules = JSON.parse(code) as CORSRule[];
    await client.send(new PutBucketCorsCommand({ Bucket: "my-results", CORSConfiguration: { CORSRules } }));
    const origin = CORSRules[0]?.AllowedOrigins?.[0] as string;
    const answer = await fetch(`${endpoint}/my-results/absent`, { headers: { origin } });
    expect(answer.headers.get("access-control-allow-origin")).toBe(origin);
    await answer.body?.cancel();
  } finally {
    client.destroy();
    await server.close();
  }
}

async function putLifecycle([{ code }]: Program): Promise<void> {
  const { bucket, client, remove } = await makeBucket();
  try {
    const LifecycleConfiguration = JSON.parse(code) as BucketLifecycleConfiguration;
    await client.send(new PutBucketLifecycleConfigurationCommand({ Bucket: bucket, LifecycleConfiguration }));
  } finally {
    await remove();
  }
}

// Texts

async function checkKey([{ code, before }]: Program): Promise<void> {
  const [, name, args] = /`(\w+)\(([^`]*)\)`[^`]*$/.exec(before) as unknown as [string, string, string];
  const print = `import { cacheKey } from "bucketcache"; console.log("cache/" + cacheKey("${name}", [${args}]));`;
  const key = (await output(process.execPath, ["--input-type=module", "-e", print], project)).trim();
  expect((code.split("\n")[0] as string).replace(/\s/g, "")).toBe(key);
}

async function checkFolders([{ code }]: Program): Promise<void> {
  for (const line of code.trim().split("\n")) {
    expect(existsSync(new URL(line.split(/\s+/)[0] as string, ROOT)), line).toBe(true);
  }
}

/** A module of the tarball, in this process. */
async function packed<Module>(specifier: string): Promise<Module> {
  const file = createRequire(join(project, "package.json")).resolve(specifier);
  return (await import(/* @vite-ignore */ pathToFileURL(file).href)) as Module;
}

async function openCache(options: Parameters<typeof S3.s3Store>[0], prefix = "cache/") {
  const { createCache } = await packed<typeof Main>("bucketcache");
  const { s3Store } = await packed<typeof S3>("bucketcache/s3");
  const cache = createCache({ store: s3Store(options), prefix, memory: false });
  return { cache, close: () => cache.close() };
}
