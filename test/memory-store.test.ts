import { createHash } from "node:crypto";
import { memoryStore } from "bucketcache/memory";
import { storeConformance } from "bucketcache/testing";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { utf8 } from "../src/base/bytes.js";
import { compareUtf8 } from "../src/local/objects.js";
import { content, pattern } from "../src/testing/expect.js";
import { localTime } from "./support/local-time.js";

const PLAIN = { contentType: "text/plain", metadata: {} };

storeConformance({ describe, test: (name, body) => test(name, body, 30_000) }, async () => memoryStore());

describe("a memory store", () => {
  afterEach(() => void vi.restoreAllMocks());

  test("gives the ETag that S3 gives: the MD5 of the content in quotes, also where Node refuses MD5", async () => {
    const md5 = (bytes: Uint8Array): string => `"${createHash("md5").update(bytes).digest("hex")}"`;
    for (const size of [0, 5, 100_000]) {
      const expected = { etag: md5(pattern(size)), lastModified: expect.any(Date) };
      expect(await memoryStore().put("a", pattern(size), PLAIN)).toEqual(expected);
      const original = process.getBuiltinModule;
      const spy = vi.spyOn(process, "getBuiltinModule").mockImplementation(((name: string) => {
        if (name === "node:crypto") throw new Error("unsupported");
        return original.call(process, name);
      }) as never);
      expect(await memoryStore().put("a", new Blob([pattern(size)]), PLAIN)).toEqual(expected);
      expect(spy).toHaveBeenCalledWith("node:crypto");
      spy.mockRestore();
    }
  });

  test("cannot presign", () => {
    expect(memoryStore().presign).toBeUndefined();
  });

  test("lists objects and others below their keys, and copes with changes meanwhile", async () => {
    const store = memoryStore();
    for (const key of ["a", "a/b", "a/c", "b"]) await store.put(key, utf8(key), PLAIN);
    const seen: string[] = [];
    for await (const { key } of store.list("")) {
      seen.push(key);
      if (key === "a") await store.delete("a/b");
    }
    expect(seen).toEqual(["a", "a/c", "b"]);
  });

  test("gives the old object whole to who reads while it is replaced", async () => {
    const store = memoryStore();
    await store.put("a", pattern(3_000_000), PLAIN);
    const found = await store.get("a");
    await store.put("a", utf8("new"), PLAIN);
    if (typeof found !== "object") expect.fail("it is there");
    const body = Buffer.from(await new Response(found.body).arrayBuffer());
    expect(body.equals(pattern(3_000_000))).toBe(true);
    expect(Buffer.from(await content(store, "a")).toString()).toBe("new");
  });

  test("ends a body with the reason of its signal", async () => {
    const store = memoryStore();
    await store.put("a", pattern(10), PLAIN);
    const controller = new AbortController();
    const found = await store.get("a", { signal: controller.signal });
    if (typeof found !== "object") expect.fail("it is there");
    controller.abort("enough");
    await expect(found.body.getReader().read()).rejects.toBe("enough");
  });

  test("refuses what is no range", async () => {
    const store = memoryStore();
    await store.put("a", pattern(10), PLAIN);
    for (const range of [
      { offset: -1 },
      { offset: 0.5 },
      { offset: 0, length: 0 },
      { offset: 0, length: NaN },
      { offset: 0, length: 1.5 },
    ]) {
      await expect(store.get("a", { range })).rejects.toThrow(TypeError);
    }
  });
});

describe("the order of keys", () => {
  test("is that of their UTF-8 bytes", () => {
    const key = fc.string({ unit: fc.constantFrom("a", "b", "/", "\ud7ff", "\ue000", "\uffff", "😀", "𐀀") });
    fc.assert(
      fc.property(key, key, (a, b) => {
        expect(Math.sign(compareUtf8(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
      }),
    );
  });
});

localTime(() => memoryStore());
