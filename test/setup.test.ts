import { execFile } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join, relative } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { ensureProgram } from "./runtimes/run/programs.js";
import { ensureTool } from "./support/consumer.js";
import { ensureBrowsers } from "./support/browsers.js";
import { deferred } from "./support/deferred.js";
import { findMinio } from "./support/minio.js";
import { ensurePython } from "./support/python.js";
import { required, runLong, step, withLock } from "./support/tools.js";

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

describe("a step that fails says which one, why, and what to do:", () => {
  /** What a step says before it gives up, all three parts of it. */
  const message = (name: string, why: string, remedy: string) =>
    new RegExp(`^The set-up of the tests failed at: ${name}[^]*\n\nWhy: ${why}[^]*\n\nWhat to do: [^]*${remedy}`);

  test("MinIO, where nothing could bring it", async () => {
    vi.stubEnv("PATH", join(folder, "bin"));
    // Where Go's own installer puts it is looked at, too.
    if (existsSync("/usr/local/go/bin/go")) program("bin/go", "echo 'no proxy' >&2; exit 1");
    await expect(findMinio()).rejects.toThrow(message("MinIO", "(neither minio nor go|building MinIO)", "install Go"));
  });

  test("MinIO that does not build", async () => {
    path("bin");
    program("bin/docker", "exit 1");
    program("bin/podman", "exit 1");
    program("bin/go", "echo 'no space' >&2; exit 2");
    await expect(findMinio()).rejects.toThrow(
      message("MinIO", "building MinIO[^]*exit code 2[^]*no space", "BUCKETCACHE_MINIO"),
    );
  });

  test("Python without venv, and packages that do not come", async () => {
    vi.stubEnv("PATH", join(folder, "bin"));
    program("bin/python3", "echo 'No module named venv' >&2; exit 1");
    await expect(ensurePython()).rejects.toThrow(message("Python", "making[^]*No module named venv", "python3-venv"));
    program(
      "bin/python3",
      // Makes a "virtual environment" whose own python can do nothing.
      `/bin/mkdir -p "$3/bin"; echo '#!/bin/sh' > "$3/bin/python"
       echo 'echo no index >&2; exit 1' >> "$3/bin/python"; /bin/chmod +x "$3/bin/python"`,
    );
    await expect(ensurePython()).rejects.toThrow(message("Python", "installing[^]*no index", "PyPI"));
  });

  test("a runtime and a tool from npm", async () => {
    vi.stubEnv("PATH", join(folder, "bin"));
    vi.stubEnv("BUCKETCACHE_DENO", "");
    program("bin/npm", "echo 'E404' >&2; exit 1");
    await expect(ensureProgram("deno")).rejects.toThrow(message("deno@", "installing[^]*E404", "BUCKETCACHE_DENO"));
    await expect(ensureTool("rollup")).rejects.toThrow(message("rollup@", "installing[^]*E404", "registry"));
    program("bin/npm");
    await expect(ensureProgram("deno")).rejects.toThrow(message("deno@", ".*does not run", "BUCKETCACHE_DENO"));
  });

  test("of two steps, one within the other, the inner one", async () => {
    const inner = () => step("inner", "do this", () => Promise.reject(new Error("because")));
    await expect(step("outer", "do that", inner)).rejects.toThrow(message("inner", "because", "do this"));
  });

  test("a mistake in the set-up itself keeps its stack", async () => {
    await expect(required(Promise.reject(new TypeError("oops")))).rejects.toThrow(TypeError);
  });
});

test("a runtime from npm may run its install script, whatever npm does by default", async () => {
  vi.stubEnv("BUCKETCACHE_BUN", "");
  path("bin");
  program(
    "bin/npm",
    `while [ "$1" != --prefix ]; do shift; done; cd "$2"; cat package.json > '${folder}/seen'
     mkdir -p node_modules/bun/bin; echo '#!/bin/sh' > node_modules/bun/bin/bun.exe; chmod +x node_modules/bun/bin/bun.exe`,
  );
  await ensureProgram("bun");
  expect(JSON.parse(readFileSync(join(folder, "seen"), "utf8"))).toMatchObject({ allowScripts: { bun: true } });
});

describe("a run of Vitest that cannot begin ends with what the step says, and nothing of Vitest's:", () => {
  /** Answers like a MinIO that is ready. */
  let server: Server;
  let address: string;
  beforeAll(async () => {
    server = createServer((_, response) => void response.end());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => void server.close());

  const usingServer = () => {
    vi.stubEnv("BUCKETCACHE_TEST_ENDPOINT", address);
    vi.stubEnv("BUCKETCACHE_TEST_ACCESS_KEY_ID", "key");
    vi.stubEnv("BUCKETCACHE_TEST_SECRET_ACCESS_KEY", "secret");
  };

  /** All that a run of these tests prints, and how it ends. */
  function vitest(project: string, file: string): Promise<{ code: unknown; said: string }> {
    const root = join(import.meta.dirname, "..");
    const args = [join(root, "node_modules/vitest/vitest.mjs"), "run", "--project", project, file];
    const { VITEST: _, NODE_OPTIONS: __, ...env } = process.env;
    return new Promise((resolve) => {
      execFile(process.execPath, args, { cwd: root, env: { ...env, NO_COLOR: "1" } }, (error, stdout, stderr) => {
        resolve({ code: error?.code ?? 0, said: stdout + stderr });
      });
    });
  }

  function expectOnly({ code, said }: { code: unknown; said: string }, ...parts: (string | RegExp)[]): void {
    expect(code).toBe(1);
    for (const part of parts) expect(said).toMatch(part);
    expect(said).not.toMatch(/^ *(at |❯)/m);
    expect(said).not.toMatch(/No test files|Unhandled|node_modules\/vitest/);
  }

  test("no MinIO", async () => {
    vi.stubEnv("BUCKETCACHE_TEST_ENDPOINT", "");
    path("bin");
    program("bin/docker", "exit 1");
    program("bin/podman", "exit 1");
    program("bin/go", "echo 'no space' >&2; exit 2");
    expectOnly(await vitest("integration", "support.test.ts"), "failed at: MinIO", /Why: .*\nno space/, "What to do: ");
  });

  test("no Python", async () => {
    usingServer();
    vi.stubEnv("PATH", join(folder, "bin"));
    program("bin/python3", "echo 'No module named venv' >&2; exit 1");
    const ended = await vitest("integration", "support.test.ts");
    expectOnly(ended, "failed at: Python", /Why: .*\nNo module named venv/, "What to do: ");
  });

  test("no browsers", async () => {
    usingServer();
    vi.stubEnv("PATH", join(folder, "bin"));
    // Where there can be no folder, Playwright gives up at once instead of trying to download again and again.
    vi.stubEnv("PLAYWRIGHT_BROWSERS_PATH", join(program("browsers"), "none"));
    for (const name of ["CHROMIUM", "FIREFOX", "WEBKIT_DRIVER"]) vi.stubEnv(`BUCKETCACHE_${name}`, "");
    program("bin/apt-get", "echo 'no mirror' >&2; exit 100");
    const ended = await vitest("e2e", "tabs.test.ts");
    expectOnly(
      ended,
      "failed at: browsers",
      /Why: there is no .*webkit\ninstalling .* by Playwright failed/,
      "What to do: ",
    );
    if (process.getuid?.() === 0) expect(ended.said).toMatch(/\nupdating the package lists failed.*\nno mirror/);
  });
});

test("a browser of Playwright's that lacks libraries gets them where it may, and is an error elsewhere", async () => {
  vi.stubEnv("PATH", join(folder, "bin"));
  vi.stubEnv("BUCKETCACHE_CHROMIUM", "");
  vi.stubEnv("PLAYWRIGHT_BROWSERS_PATH", join(folder, "browsers"));
  const { chromium } = await import("playwright");
  const executable = chromium.executablePath();
  expect(executable).toContain(folder);
  const there = `[ -e '${folder}/libraries' ] || { echo 'libnss3.so: cannot open shared object file' >&2; exit 127; }`;
  program(relative(folder, executable), there);
  if (process.platform === "linux") {
    await expect(ensureBrowsers(["chromium"])).rejects.toThrow(
      /Why: chromium of Playwright does not start[^]*What to do: [^]*install --with-deps/,
    );
  }
  // Playwright calls it by a shell, after it has asked which packages there are.
  program("bin/sh", 'exec /bin/sh "$@"');
  program("bin/apt-get", `case "$*" in install*libnss3*) : > '${folder}/libraries';; esac`);
  const mayInstall = process.getuid?.() === 0 && existsSync("/usr/bin/apt-get");
  if (mayInstall) expect(await ensureBrowsers(["chromium"])).toEqual({ chromium: { executablePath: executable } });
});

describe("a bare machine", () => {
  /** Asks for one where the system calls these programs; those that are not named are the system's. */
  function bare(...programs: [name: string, line: string][]): Promise<{ code: unknown; said: string }> {
    for (const [name, line] of programs) program(`bin/${name}`, line);
    path("bin");
    return new Promise((resolve) => {
      const file = join(import.meta.dirname, "../.ci/bare");
      execFile(file, ["echo", "ran"], (error, stdout, stderr) => {
        resolve({ code: error?.code ?? 0, said: stdout + stderr });
      });
    });
  }

  test("that the system refuses is told apart from a check that fails", async () => {
    const linux = ["uname", "echo Linux"] as const;
    const root = ["id", "echo 0"] as const;
    expect(await bare(["uname", "echo Darwin"])).toEqual({
      code: 77,
      said: "A bare machine is not possible here: it needs Linux, and this is Darwin\n",
    });
    expect(await bare([...linux], ["id", "echo 1000"])).toEqual({
      code: 77,
      said: expect.stringMatching(/^A bare machine is not possible here: it needs root/),
    });
    const others = (["mount", "chroot", "git", "tar"] as const).map((name) => [name, "exit 1"] as [string, string]);
    const unshare = ["unshare", "echo 'unshare failed: Operation not permitted' >&2; exit 1"] as const;
    expect(await bare([...linux], [...root], [...unshare], ...others)).toEqual({
      code: 77,
      said: "A bare machine is not possible here: unshare failed: Operation not permitted\n",
    });
    // Namespaces, but no mounts: the arguments before the program are unshare's own.
    const allowed = ["unshare", 'while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"'] as const;
    const mount = ["mount", "echo 'mount: permission denied' >&2; exit 32"] as const;
    expect(await bare([...linux], [...root], [...allowed], ...others, [...mount])).toEqual({
      code: 77,
      said: "A bare machine is not possible here: mount: permission denied\n",
    });
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
