import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { deferred } from "./support/deferred.js";
import { findMinio } from "./support/minio.js";
import { ensurePython } from "./support/python.js";
import { runLong, withLock } from "./support/tools.js";

let folder: string;
let said: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bucketcache-setup-"));
  said = [];
  vi.stubEnv("BUCKETCACHE_CACHE", join(folder, "cache"));
  vi.stubEnv("BUCKETCACHE_MINIO", "");
  vi.stubEnv("BUCKETCACHE_PYTHON", "");
  vi.spyOn(process.stderr, "write").mockImplementation((text) => said.push(String(text)) > 0);
});

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

/** A program of the given name that runs a line of shell. */
function program(name: string, line = "exit 0"): string {
  const file = join(folder, name);
  mkdirSync(join(file, ".."), { recursive: true });
  writeFileSync(file, `#!/bin/sh\n${line}\n`);
  chmodSync(file, 0o755);
  return file;
}

// The system's own programs stay reachable for the scripts above, behind ours.
const path = (...folders: string[]) =>
  vi.stubEnv("PATH", [...folders.map((name) => join(folder, name)), "/usr/bin", "/bin"].join(delimiter));

describe("MinIO is taken from the first place that has it", () => {
  test("the environment, then PATH, then the cache", async () => {
    vi.stubEnv("PATH", join(folder, "bin"));
    const cached = program("cache/bin/minio");
    expect(await findMinio()).toEqual({ binary: cached });
    const onPath = program("bin/minio");
    expect(await findMinio()).toEqual({ binary: onPath });
    const named = program("named/minio");
    vi.stubEnv("BUCKETCACHE_MINIO", named);
    expect(await findMinio()).toEqual({ binary: named });
  });

  test("a named binary that is none is an error, not a reason to look elsewhere", async () => {
    program("cache/bin/minio");
    vi.stubEnv("BUCKETCACHE_MINIO", join(folder, "absent"));
    await expect(findMinio()).rejects.toThrow(/BUCKETCACHE_MINIO is ".*absent"/);
  });

  test("a container engine that runs, before anything is built", async () => {
    path("bin");
    program("bin/docker", "exit 1");
    program("bin/go", "exit 1");
    const podman = program("bin/podman");
    expect(await findMinio()).toEqual({ engine: podman });
    expect(said.join("")).toContain("fetching quay.io/minio/minio");
  });

  test("go install, into the cache, once for all who ask at the same time", async () => {
    path("bin");
    program("bin/docker", "exit 1");
    program("bin/podman", "exit 1");
    program("bin/go", `echo run >> '${folder}/runs'; mkdir -p "$GOBIN"; cp "$0" "$GOBIN/minio"`);
    const binary = join(folder, "cache/bin/minio");
    expect(await Promise.all([findMinio(), findMinio()])).toEqual([{ binary }, { binary }]);
    expect(readFileSync(join(folder, "runs"), "utf8")).toBe("run\n");
    expect(said.join("")).toContain("building MinIO with Go");
  });

  test("a failed build says why and leaves nothing that looks like a binary", async () => {
    path("bin");
    program("bin/docker", "exit 1");
    program("bin/podman", "exit 1");
    program("bin/go", `mkdir -p "$GOBIN"; cp "$0" "$GOBIN/minio"; echo 'no space' >&2; exit 2`);
    await expect(findMinio()).rejects.toThrow(/exit code 2[^]*no space/);
    expect(existsSync(join(folder, "cache/bin/minio"))).toBe(false);
  });
});

test("a named Python without the packages is an error that says so", async () => {
  vi.stubEnv("BUCKETCACHE_PYTHON", program("python", "exit 1"));
  await expect(ensurePython()).rejects.toThrow(/BUCKETCACHE_PYTHON is .*core_aws/);
});

test("a long command says what it does, and that it goes on", async () => {
  const done = runLong("waiting", program("wait", `while [ ! -e '${folder}/go' ]; do sleep 0.01; done`), [], {
    every: 5,
  });
  await expect.poll(() => said.some((line) => /waiting: \d+ s so far/.test(line))).toBe(true);
  writeFileSync(join(folder, "go"), "");
  await done;
  expect(said[0]).toBe("[set-up] waiting …\n");
  expect(said.at(-1)).toMatch(/waiting: done in \d+ s/);
});

describe("a lock", () => {
  test("lets one in at a time, and the next when that one failed", async () => {
    const order: string[] = [];
    const released = deferred();
    const first = withLock("thing", async () => {
      order.push("first in");
      await released.promise;
      order.push("first out");
      throw new Error("failed");
    });
    const second = withLock("thing", async () => order.push("second in"));
    await expect.poll(() => said.join("")).toContain("another run makes thing");
    released.resolve();
    await expect(first).rejects.toThrow("failed");
    await second;
    expect(order).toEqual(["first in", "first out", "second in"]);
  });

  test("is taken over when its owner is gone", async () => {
    mkdirSync(join(folder, "cache"));
    // No system gives out a process id this high.
    writeFileSync(join(folder, "cache/thing.lock"), "999999999");
    expect(await withLock("thing", async () => "in")).toBe("in");
    expect(existsSync(join(folder, "cache/thing.lock"))).toBe(false);
  });
});
