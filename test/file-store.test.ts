import { execFile } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { fileStore } from "bucketcache/file";
import { storeConformance } from "bucketcache/testing";
import { build } from "esbuild";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BucketCacheError } from "../src/errors.js";
import { decodeName, encodeName, fileSegment, pathOf } from "../src/local/file-names.js";
import { chunked, content, pattern } from "../src/testing/expect.js";
import { localTime } from "./support/local-time.js";
import { utf8 } from "../src/base/bytes.js";

const base = mkdtempSync(join(tmpdir(), "bucketcache-file-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));
let count = 0;
const freshDirectory = (): string => join(base, `store-${++count}`);

const PLAIN = { contentType: "text/plain", metadata: {} };
const textAt = async (store: ReturnType<typeof fileStore>, key: string): Promise<string> =>
  Buffer.from(await content(store, key)).toString();
const keysOf = async (store: ReturnType<typeof fileStore>, prefix = ""): Promise<string[]> => {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  return keys;
};
/** Every file below a folder, by its path in it. */
const filesBelow = (directory: string): string[] =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(directory.length + 1));
const storeErrorOf = (promise: Promise<unknown>): Promise<BucketCacheError> =>
  promise.then(
    () => expect.fail("it should reject"),
    (error: unknown) => {
      expect(error).toBeInstanceOf(BucketCacheError);
      return error as BucketCacheError;
    },
  );

storeConformance({ describe, test: (name, body) => test(name, body, 30_000) }, async () =>
  fileStore({ directory: freshDirectory() }),
);

describe("names in a folder", () => {
  const key = fc.string({ unit: "grapheme", maxLength: 400 }).filter((text) => !/\p{Surrogate}/u.test(text));

  test("come back as the segment that they stand for, and no two are equal on any file system", () => {
    fc.assert(
      fc.property(key, key, (a, b) => {
        expect(decodeName(encodeName(a))).toBe(a);
        if (a !== b) expect(encodeName(a)).not.toBe(encodeName(b));
        expect(encodeName(a)).toMatch(/^[a-z0-9_=-]+$/);
        expect(encodeName(a)).not.toMatch(/^(con|prn|aux|nul|com\d|lpt\d)$/);
      }),
    );
    for (const name of ["con", "nul", "aux", "com1", "lpt9"]) {
      expect(encodeName(name)).not.toBe(name);
      expect(decodeName(encodeName(name))).toBe(name);
    }
  });

  test("fit every file system, or the key is stored elsewhere", () => {
    fc.assert(
      fc.property(key, (a) => {
        const path = pathOf(a);
        if (path === undefined) return expect(encodeName(a).length).toBeGreaterThan(150);
        expect(path.every((name) => name.length <= 200)).toBe(true);
        expect(path.join("/").length).toBeLessThanOrEqual(512);
      }),
    );
  });

  test("are only read back when we make them", () => {
    for (const name of ["A", "a.b", "=4", "=zz", "=61", "", "=c3", ".entry", "con", "a b", "=ff"]) {
      expect(decodeName(name), name).toBeUndefined();
    }
    expect(fileSegment("a.txt")).toBeUndefined();
    expect(fileSegment("a.entry")).toBe("a");
  });
});

describe("a file store", () => {
  test("needs a directory, and makes it when first written to", async () => {
    expect(() => fileStore({ directory: "" })).toThrow(TypeError);
    expect(() => (fileStore as () => unknown)()).toThrow(/directory/);
    const directory = join(freshDirectory(), "deep", "down");
    const store = fileStore({ directory });
    expect(await store.get("a")).toBeUndefined();
    expect(await keysOf(store)).toEqual([]);
    await store.delete("a");
    expect(existsSync(directory)).toBe(false);
    await store.put("a", utf8("x"), PLAIN);
    expect(await textAt(store, "a")).toBe("x");
  });

  test("keeps everything over a restart, metadata and time too", async () => {
    const directory = freshDirectory();
    const options = { contentType: "text/x", metadata: { Entry: "v=1" }, cacheControl: "no-store" };
    const { etag } = await fileStore({ directory }).put("a/b", utf8("body"), options);
    const before = await fileStore({ directory }).head("a/b");
    const again = fileStore({ directory });
    expect(await textAt(again, "a/b")).toBe("body");
    expect(await again.head("a/b")).toMatchObject({ etag, contentType: "text/x", metadata: { entry: "v=1" } });
    expect((await again.head("a/b"))?.lastModified).toEqual(before?.lastModified);
  });

  test("keeps apart what file systems confuse, and never leaves its folder", async () => {
    const directory = join(freshDirectory(), "inner");
    const store = fileStore({ directory });
    const keys = [
      "a",
      "a/b",
      "A",
      "a/B",
      "a.",
      "a ",
      "a. ",
      "con",
      "CON",
      "con.txt",
      "nul/aux",
      "../up",
      "..",
      ".",
      "/abs",
    ];
    keys.push(
      "",
      "a//b",
      "a/",
      "c:\\x",
      "\0",
      "é",
      "e\u0301",
      "~tmp/x",
      "~lock",
      "a.entry",
      "a.entry/b",
      "x".repeat(1_024),
      "X".repeat(1_024),
    );
    for (const key of keys) await store.put(key, utf8(`<${key}>`), PLAIN);
    for (const key of keys) expect(await textAt(store, key)).toBe(`<${key}>`);
    const order = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    expect(await keysOf(store)).toEqual(order);
    for (const name of filesBelow(directory)) expect(name).toMatch(/^[a-z0-9_=~./-]+$/);
    expect(readdirSync(join(directory, ".."))).toEqual(["inner"]);
    await store.deleteMany?.(keys);
    expect(filesBelow(directory)).toEqual([]);
    await expect(store.put("\ud800", utf8("x"), PLAIN)).rejects.toThrow(TypeError);
  });

  test("lists keys of any kind under any prefix as a sorted array would", async () => {
    const segment = fc.constantFrom(
      "a",
      "A",
      "b",
      "ä",
      "😀",
      "\uff5e",
      "a b",
      "a-",
      "",
      "x".repeat(230),
      "Ü".repeat(90),
    );
    const key = fc.array(segment, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(key, { maxLength: 12 }),
        fc.array(key, { maxLength: 3 }),
        fc.nat(6),
        async (keys, some, cut) => {
          const store = fileStore({ directory: freshDirectory() });
          await Promise.all(keys.map((one) => store.put(one, utf8("x"), PLAIN)));
          const prefixes = ["", ...some, ...keys.slice(0, 2), ...keys.map((one) => [...one].slice(0, cut).join(""))];
          for (const prefix of prefixes) {
            const expected = keys.filter((one) => one.startsWith(prefix));
            expected.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
            expect(await keysOf(store, prefix)).toEqual(expected);
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  test("gives the old entry whole to who reads while it is replaced or deleted", async () => {
    const store = fileStore({ directory: freshDirectory() });
    for (const size of [10, 3_000_000]) {
      const old = pattern(size);
      await store.put("k", old, PLAIN);
      const [one, two] = [await store.get("k"), await store.get("k")];
      await store.put("k", utf8("new"), PLAIN);
      await store.delete("k");
      for (const object of [one, two]) {
        if (object === undefined || object === "not-modified") expect.fail("it is there");
        const body = Buffer.from(await new Response(object.body).arrayBuffer());
        expect(body.equals(old)).toBe(true);
      }
    }
  });

  test("serves no file that was cut off, changed in length, or is somebody else's", async () => {
    const directory = freshDirectory();
    const store = fileStore({ directory });
    await store.put("k", pattern(100_000), PLAIN);
    await store.put("other", utf8("other"), PLAIN);
    const path = join(directory, "k.entry");
    const whole = readFileSync(path);
    const absent = async (): Promise<void> => {
      expect(await store.get("k")).toBeUndefined();
      expect(await store.head("k")).toBeUndefined();
      expect(await keysOf(store)).toEqual(["other"]);
    };
    for (const size of [0, 5, 12, 50_000, 100_000, whole.byteLength - 1]) {
      writeFileSync(path, whole);
      truncateSync(path, size);
      await absent();
    }
    for (const bytes of [
      whole.subarray(1),
      Buffer.concat([whole, whole]),
      Buffer.from("hello"),
      Buffer.alloc(whole.byteLength),
      readFileSync(join(directory, "other.entry")),
    ]) {
      writeFileSync(path, bytes);
      await absent();
    }
    writeFileSync(join(directory, "README.md"), "not ours");
    mkdirSync(join(directory, "Not Ours"));
    rmSync(path);
    mkdirSync(path);
    await absent();
    rmSync(path, { recursive: true });
    writeFileSync(path, "foreign");
    // What is not an entry does not count as one for conditions either.
    await store.put("k", utf8("again"), { ...PLAIN, ifNoneMatch: "*" });
    expect(await textAt(store, "k")).toBe("again");
  });

  test("follows no symbolic link, neither to read nor to write", async () => {
    const [directory, outside] = [freshDirectory(), freshDirectory()];
    const store = fileStore({ directory });
    const other = fileStore({ directory: outside });
    for (const key of ["dir/secret", "secret"]) await other.put(key, utf8("secret"), PLAIN);
    await store.put("x", utf8("x"), PLAIN);
    symlinkSync(join(outside, "dir"), join(directory, "dir"));
    symlinkSync(join(outside, "secret.entry"), join(directory, "secret.entry"));
    for (const key of ["dir/secret", "secret"]) {
      expect(await store.get(key)).toBeUndefined();
      expect(await store.head(key)).toBeUndefined();
    }
    expect(await keysOf(store)).toEqual(["x"]);
    expect(await keysOf(store, "dir/")).toEqual([]);
    const before = filesBelow(outside);
    const error = await storeErrorOf(store.put("dir/new", utf8("new"), PLAIN));
    expect(error.code).toBe("ERR_STORE");
    expect(error.message).toMatch(/symbolic link/);
    await store.delete("dir/secret");
    await store.put("secret", utf8("mine"), PLAIN);
    expect(filesBelow(outside)).toEqual(before);
    expect(await textAt(other, "secret")).toBe("secret");
    expect(await textAt(store, "secret")).toBe("mine");
    // The folder itself may be one: that is the user's choice.
    const link = freshDirectory();
    symlinkSync(directory, link);
    expect(await textAt(fileStore({ directory: link }), "secret")).toBe("mine");
  });

  test("leaves nothing behind after failed and aborted writes and after deletes", async () => {
    const directory = freshDirectory();
    const store = fileStore({ directory });
    await store.put("a/b/c", utf8("x"), PLAIN);
    await store.put("a/d", utf8("x"), PLAIN);
    await expect(
      store.put(
        "a/e/f",
        chunked(pattern(1e6), 1e4, () => Promise.reject(new Error("no"))),
        PLAIN,
      ),
    ).rejects.toThrow("no");
    await storeErrorOf(store.put("a/d", utf8("y"), { ...PLAIN, ifNoneMatch: "*" }));
    await store.delete("a/b/c");
    expect(filesBelow(directory)).toEqual([join("a", "d.entry")]);
    expect(existsSync(join(directory, "a", "b"))).toBe(false);
    await store.delete("a/d");
    expect(readdirSync(directory).sort()).toEqual(["~lock", "~tmp"]);
  });

  test("removes temporary files of crashed processes after a day, and younger ones not", async () => {
    const directory = freshDirectory();
    await fileStore({ directory }).put("a", utf8("x"), PLAIN);
    const [old, young] = [join(directory, "~tmp", "1-old"), join(directory, "~tmp", "1-young")];
    for (const path of [old, young]) writeFileSync(path, "left over");
    const yesterday = Date.now() / 1_000 - 25 * 3_600;
    utimesSync(old, yesterday, yesterday);
    await fileStore({ directory }).put("a", utf8("y"), PLAIN);
    expect(existsSync(old)).toBe(false);
    expect(existsSync(young)).toBe(true);
  });

  test("writes with many folders coming and going, from two stores at once", async () => {
    const directory = freshDirectory();
    const stores = [fileStore({ directory }), fileStore({ directory })];
    await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const store = stores[i % 2] as ReturnType<typeof fileStore>;
        for (let round = 0; round < 5; round++) {
          await store.put(`x/y/${i}`, utf8(String(round)), PLAIN);
          expect(await textAt(store, `x/y/${i}`)).toBe(String(round));
          await store.delete(`x/y/${i}`);
        }
      }),
    );
    expect(filesBelow(directory)).toEqual([]);
  });

  test("takes over the lock of a process that died", async () => {
    const directory = freshDirectory();
    const store = fileStore({ directory });
    const { pid } = await new Promise<{ pid: number }>((resolve) => {
      const child = execFile(process.execPath, ["-e", ""], () => resolve({ pid: child.pid as number }));
    });
    let locks: string[] = [];
    await store.put("k", chunked(utf8("x"), 1), PLAIN);
    // What the lock of this key is called shows while it is held.
    const watch = new Promise<void>((resolve) => {
      const look = (): void => {
        locks = readdirSync(join(directory, "~lock"));
        if (locks.length > 0) resolve();
        else setImmediate(look);
      };
      look();
    });
    const writes = (async () => {
      while (locks.length === 0) await store.put("k", utf8("y"), PLAIN);
    })();
    await watch;
    await writes;
    writeFileSync(join(directory, "~lock", locks[0] as string), `${pid} ${hostname()}`);
    await store.put("k", utf8("after"), PLAIN);
    expect(await textAt(store, "k")).toBe("after");
    expect(readdirSync(join(directory, "~lock"))).toEqual([]);
  });

  test("says what to do when the folder cannot be used", async () => {
    const place = freshDirectory();
    writeFileSync(place, "a file");
    for (const directory of [place, join(place, "below")]) {
      const store = fileStore({ directory });
      for (const call of [
        () => store.get("a/b"),
        () => store.head("a"),
        () => keysOf(store),
        () => store.put("a", utf8("x"), PLAIN),
        () => store.delete("a"),
      ]) {
        const error = await storeErrorOf(call());
        expect(error.code).toBe("ERR_STORE");
        expect(error.store).toBe("file");
        expect(error.message).toMatch(/ENOTDIR|EEXIST/);
        expect(error.message).toMatch(/choose a directory/);
      }
    }
  });

  // Root may do everything.
  if (process.getuid?.() !== 0) {
    test("says which permission is missing", async () => {
      const directory = freshDirectory();
      const store = fileStore({ directory });
      await store.put("a", utf8("x"), PLAIN);
      chmodSync(join(directory, "~tmp"), 0o500);
      expect((await storeErrorOf(store.put("a", utf8("y"), PLAIN))).code).toBe("ERR_FORBIDDEN");
      chmodSync(join(directory, "~tmp"), 0o700);
      chmodSync(join(directory, "a.entry"), 0);
      const error = await storeErrorOf(store.get("a"));
      expect(error).toMatchObject({ code: "ERR_FORBIDDEN", key: "a" });
      expect(error.message).toMatch(/right to read/);
    });
  }
});

describe("processes that share a folder", () => {
  const run = promisify(execFile);
  const script = join(base, "worker.mjs");
  beforeAll(async () => {
    await build({
      stdin: {
        contents: `
          import { fileStore } from "./file.js";
          const [directory, work, id] = process.argv.slice(2);
          const store = fileStore({ directory });
          const plain = { contentType: "text/plain", metadata: {} };
          const text = async (key) => {
            const object = await store.get(key);
            return object && { etag: object.etag, value: await new Response(object.body).text() };
          };
          if (work === "count") {
            for (let done = 0; done < 25; ) {
              const { etag, value } = await text("counter");
              try {
                await store.put("counter", new TextEncoder().encode(String(Number(value) + 1)), { ...plain, ifMatch: etag });
                done++;
              } catch (error) {
                if (error.code !== "ERR_CONFLICT") throw error;
              }
            }
          } else if (work === "first") {
            let won = 0;
            for (let i = 0; i < 40; i++) {
              await store.put("first/" + i, new TextEncoder().encode(id), { ...plain, ifNoneMatch: "*" }).then(
                () => won++,
                (error) => { if (error.code !== "ERR_CONFLICT") throw error; },
              );
            }
            console.log(won);
          } else if (work === "mixed") {
            for (let i = 0; i < 60; i++) {
              const body = new Uint8Array(200_000).fill(Number(id));
              await store.put("shared/value", body, plain);
              const object = await store.get("shared/value");
              if (object === undefined) continue;
              const bytes = new Uint8Array(await new Response(object.body).arrayBuffer());
              if (bytes.length !== 200_000 || bytes.some((byte) => byte !== bytes[0])) throw new Error("a mixture was read");
              if (i % 5 === 0) await store.delete("shared/value");
            }
          } else {
            await store.put("victim", new ReadableStream({
              pull: (controller) => controller.enqueue(new Uint8Array(500_000)),
            }), plain);
          }`,
        resolveDir: fileURLToPath(new URL("../src/stores", import.meta.url)),
        loader: "js",
      },
      bundle: true,
      platform: "node",
      format: "esm",
      outfile: script,
      logLevel: "silent",
    });
  });
  const all = (directory: string, work: string, workers: number): Promise<string[]> =>
    Promise.all(
      Array.from({ length: workers }, async (_, i) => {
        const { stdout } = await run(process.execPath, [script, directory, work, String(i + 1)]);
        return stdout.trim();
      }),
    );

  test("lose no update that is conditional", { timeout: 30_000 }, async () => {
    const directory = freshDirectory();
    const store = fileStore({ directory });
    await store.put("counter", utf8("0"), PLAIN);
    await all(directory, "count", 3);
    expect(await textAt(store, "counter")).toBe("75");
  });

  test("have one winner for each new entry", { timeout: 30_000 }, async () => {
    const won = await all(freshDirectory(), "first", 3);
    expect(won.map(Number).reduce((a, b) => a + b)).toBe(40);
  });

  test("never read a mixture of two writes", { timeout: 30_000 }, async () => {
    await all(freshDirectory(), "mixed", 3);
  });

  test("leave the old entry in place when one is killed while it writes", { timeout: 30_000 }, async () => {
    const directory = freshDirectory();
    const store = fileStore({ directory });
    await store.put("victim", utf8("old"), PLAIN);
    const child = execFile(process.execPath, [script, directory, "endless", "1"]);
    const ended = new Promise((resolve) => child.once("exit", resolve));
    const written = (): number => filesBelow(join(directory, "~tmp")).length;
    while (written() === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    child.kill("SIGKILL");
    await ended;
    expect(await textAt(store, "victim")).toBe("old");
    expect(await keysOf(store)).toEqual(["victim"]);
    await store.put("victim", utf8("new"), PLAIN);
    expect(await textAt(store, "victim")).toBe("new");
  });
});

localTime(() => fileStore({ directory: freshDirectory() }));
