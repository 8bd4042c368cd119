import { gunzipSync as zlibGunzip, gzipSync as zlibGzip } from "node:zlib";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { bodyStream, readAll, toStream } from "../src/base/body.js";
import { concat, utf8 } from "../src/base/bytes.js";
import { BucketCacheError } from "../src/errors.js";
import { compressible, gunzipStream, gzipStream } from "../src/entry/gzip-stream.js";
import { gunzip, gzip } from "../src/entry/gzip.js";
import type { Bytes } from "../src/types.js";
import { expectSameBytes } from "./support/bytes.js";

/** As long as a busy machine may take. */
const PATIENT = { timeout: 50_000 };

const plain = (bytes: Uint8Array): Bytes => new Uint8Array(bytes);
const sample = (size: number): Bytes => utf8("all work and no play, ".repeat(size / 22 + 1)).slice(0, size);

/** Chunks of the given sizes in turn. */
function inChunks(bytes: Bytes, sizes: readonly number[]): ReadableStream<Bytes> {
  let at = 0;
  let turn = 0;
  return new ReadableStream(
    {
      pull(controller) {
        if (at >= bytes.byteLength) return controller.close();
        const end = at + (sizes[turn++ % sizes.length] ?? 1);
        controller.enqueue(bytes.slice(at, end));
        at = end;
      },
    },
    { highWaterMark: 0 },
  );
}

const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "nothing",
    (error: BucketCacheError) => error.code,
  );

/** Hides `CompressionStream` and `DecompressionStream`, as in pages of before 2023. */
function withoutStreams(): void {
  beforeEach(() => {
    vi.stubGlobal("CompressionStream", undefined);
    vi.stubGlobal("DecompressionStream", undefined);
  });
  afterEach(() => void vi.unstubAllGlobals());
}

/** Hides `node:zlib`, as on runtimes that have none. */
function withoutZlib(): void {
  beforeEach(() => {
    const original = process.getBuiltinModule;
    vi.spyOn(process, "getBuiltinModule").mockImplementation(((name: string) =>
      name === "node:zlib" ? undefined : original.call(process, name)) as never);
  });
  afterEach(() => void vi.restoreAllMocks());
}

// Node's own CompressionStream reads ahead by thousands of chunks, takes further members and lets zeros pass, against
// the Compression Streams standard. There it is not what we use; browsers run these promises on theirs.
function describeGzip({ strict, native = false }: { strict: boolean; native?: boolean }): void {
  test("gives back what it compressed, at sizes on both sides of every threshold", async () => {
    for (const size of [0, 1, 2_000, 5_000, 40_000, 300_000, 1_000_000]) {
      const data = sample(size);
      const packed = await gzip(data);
      expectSameBytes(plain(zlibGunzip(packed)), data);
      expectSameBytes(await gunzip(packed, size, "one"), data);
    }
  });

  test("gives back random bytes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 20_000, size: "max" }), async (data) => {
        expectSameBytes(await gunzip(await gzip(plain(data)), 20_000, "one"), plain(data));
      }),
      { numRuns: 30 },
    );
  });

  test("makes equal bytes of equal bytes", async () => {
    expectSameBytes(await gzip(sample(2_000)), await gzip(sample(2_000)));
    // No time in the header: MTIME is zero.
    expect([...(await gzip(sample(2_000))).subarray(4, 8)]).toEqual([0, 0, 0, 0]);
  });

  test("reads several members in a row, as other programs write them", async () => {
    const parts = [sample(3_000), sample(0), sample(70_000), utf8("end")];
    const packed = concat(parts.map((part) => zlibGzip(part)));
    expectSameBytes(await gunzip(packed, 1e6, "any"), concat(parts));
  });

  test("refuses a second member where there may be one only, whatever either holds", async () => {
    const sizes = [0, 1, 3_000, 70_000];
    for (const first of sizes) {
      for (const second of sizes) {
        const packed = concat([plain(zlibGzip(sample(first))), plain(zlibGzip(sample(second)))]);
        const error: unknown = await gunzip(packed, 1e6, "one").catch((reason: unknown) => reason);
        expect(String(error), `${first} and ${second} bytes`).toMatch(/damaged gzip data: ./);
      }
    }
  });

  test("takes one member that holds what looks like the end of an empty one and the header of the next", async () => {
    for (const inner of [sample(0), sample(100)]) {
      const data = concat([plain(zlibGzip(inner)), plain(zlibGzip(sample(9_000))), utf8("behind")]);
      for (const level of [0, 6]) {
        const packed = plain(zlibGzip(data, { level }));
        expectSameBytes(await gunzip(packed, 1e6, "one"), data);
      }
    }
  });

  test("stops at maxBytes, also for a bomb", async () => {
    for (const size of [1_000, 100_000, 5_000_000]) {
      const packed = plain(zlibGzip(new Uint8Array(size)));
      expect(await codeOf(gunzip(packed, size - 1, "one"))).toBe("ERR_TOO_LARGE");
      expect(await codeOf(gunzip(packed, 0, "one"))).toBe("ERR_TOO_LARGE");
    }
    expect((await gunzip(plain(zlibGzip(new Uint8Array(10))), Infinity, "one")).byteLength).toBe(10);
    expect((await gunzip(plain(zlibGzip(new Uint8Array(0))), 0, "one")).byteLength).toBe(0);
  });

  test("refuses any truncation, any trailing byte and any changed bit, and says that the data is damaged", async () => {
    const packed = plain(zlibGzip(sample(500)));
    for (let end = 0; end < packed.byteLength; end++) {
      await expect(gunzip(packed.slice(0, end), 1e6, "one")).rejects.toThrow(/damaged gzip data: ./);
    }
    for (const extra of [
      ...(strict ? [[0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]] : []),
      [0x1f],
      [0x1f, 0x8b, 1],
      [7],
      [...utf8("garbage and more garbage")],
    ]) {
      await expect(gunzip(concat([packed, plain(Uint8Array.from(extra))]), 1e6, "one")).rejects.toThrow(
        /damaged gzip data: ./,
      );
    }
    // Bytes 3 to 9 of the header carry nothing that changes the content but the flags.
    for (let at = 10; at < packed.byteLength; at++) {
      const changed = packed.slice();
      changed[at] = (changed[at] as number) ^ 0x10;
      await expect(gunzip(changed, 1e6, "one")).rejects.toThrow(/damaged gzip data: ./);
    }
    await expect(gunzip(sample(50_000), 1e6, "one")).rejects.toThrow(/damaged gzip data: ./);
  });

  test("the result owns its memory", async () => {
    const result = await gunzip(plain(zlibGzip(sample(100))), 1e6, "one");
    expect(result.buffer.byteLength).toBe(100);
    expect(result.constructor).toBe(Uint8Array);
  });

  describe("as streams", () => {
    test("give back what they compressed, however it is cut", async () => {
      const data = sample(300_000);
      for (const sizes of [[300_000], [65_536], [1_000, 1, 70_000], [17]]) {
        const packed = await readAll(gzipStream(inChunks(data, sizes)), 1e9);
        expectSameBytes(plain(zlibGunzip(packed)), data);
        expectSameBytes(await readAll(gunzipStream(inChunks(packed, sizes)), 1e9), data);
      }
    });

    test("take an empty source", async () => {
      const packed = await readAll(gzipStream(toStream(new Uint8Array(0))), 100);
      expect(zlibGunzip(packed).byteLength).toBe(0);
      expectSameBytes(await readAll(gunzipStream(toStream(packed)), 100), new Uint8Array(0));
    });

    test("pass the source's own error unchanged", async () => {
      const own = new RangeError("mine");
      const failing = (): ReadableStream<Bytes> =>
        bodyStream(
          (async function* () {
            yield plain(zlibGzip(sample(100_000)).subarray(0, 200));
            throw own;
          })(),
        );
      await expect(readAll(gzipStream(failing()), 1e9)).rejects.toBe(own);
      await expect(readAll(gunzipStream(failing()), 1e9)).rejects.toBe(own);
    });

    test("cancel the source when they are cancelled, before and after the first chunk", async () => {
      const endless = (seen: unknown[]): ReadableStream<Bytes> => {
        const random = new Uint8Array(65_536).map((_, i) => (i * 7_919 * i) >> 3);
        const packed = zlibGzip(random);
        return new ReadableStream({
          pull: (controller) => controller.enqueue(plain(packed)),
          cancel: (reason) => void seen.push(reason),
        });
      };
      for (const through of [gzipStream, (s: ReadableStream<Bytes>) => gunzipStream(s)]) {
        const seen: unknown[] = [];
        await through(endless(seen)).cancel("early");
        const reader = through(endless(seen)).getReader();
        await reader.read();
        await reader.cancel("late");
        expect(seen).toEqual(["early", "late"]);
      }
    });

    if (!native) {
      test("do not read ahead without bound of who reads them", async () => {
        let made = 0;
        // Random bytes, since the bound is in compressed bytes: many blocks that compress well fit below it.
        const block = crypto.getRandomValues(new Uint8Array(65_536));
        const source = (): ReadableStream<Bytes> =>
          new ReadableStream(
            {
              pull(controller) {
                made++;
                controller.enqueue(block.slice());
              },
            },
            { highWaterMark: 0 },
          );
        const reader = gzipStream(source()).getReader();
        await reader.read();
        const after = made;
        // Every task that could read on has run when as many turns have passed.
        for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
        expect(made - after).toBeLessThan(8);
        await reader.cancel();
      });
    }

    test("tell damage as ERR_DAMAGED, and cancel the source", async () => {
      const packed = plain(zlibGzip(sample(200_000)));
      const cases = [
        packed.slice(0, -1),
        packed.slice(0, 100),
        packed.map((byte, i) => (i === 300 ? byte ^ 0x10 : byte)),
        concat([packed, utf8("garbage behind its end")]),
        sample(70_000),
        new Uint8Array(0),
      ];
      for (const damaged of cases) {
        for (const sizes of [[1e6], [100]]) {
          const error: unknown = await readAll(gunzipStream(inChunks(damaged, sizes)), 1e9).catch((e: unknown) => e);
          expect(error).toBeInstanceOf(BucketCacheError);
          expect((error as BucketCacheError).code).toBe("ERR_DAMAGED");
          expect((error as BucketCacheError).message).toMatch(/damaged gzip data: ./);
        }
      }
      let cancelled = false;
      const hostile = new ReadableStream<Bytes>({
        pull: (controller) => controller.enqueue(sample(1_000)),
        cancel: () => void (cancelled = true),
      });
      expect(await codeOf(readAll(gunzipStream(hostile), 1e9))).toBe("ERR_DAMAGED");
      await vi.waitFor(() => expect(cancelled).toBe(true), PATIENT);
    });

    test("refuse a second member where there may be one only, as damage", async () => {
      const packed = concat([plain(zlibGzip(sample(70_000))), plain(zlibGzip(utf8("second")))]);
      for (const sizes of [[1e6], [1_000], [3]])
        expect(await codeOf(readAll(gunzipStream(inChunks(packed, sizes), "one"), 1e6))).toBe("ERR_DAMAGED");
    });

    if (!native)
      test("read several members in a row, wherever the cuts fall", async () => {
        const parts = [utf8("first"), sample(0), sample(70_000), utf8("last")];
        const packed = concat(parts.map((part) => zlibGzip(part)));
        await fc.assert(
          fc.asyncProperty(
            fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 5 }),
            async (sizes) => {
              expectSameBytes(await readAll(gunzipStream(inChunks(packed, sizes), "any"), 1e9), concat(parts));
            },
          ),
          { numRuns: 20 },
        );
      });

    if (!native)
      test("refuse zeros behind the end, in the same chunk and in one of their own", async () => {
        const packed = plain(zlibGzip(sample(1_000)));
        const padded = concat([packed, new Uint8Array(64)]);
        for (const sizes of [[1e6], [packed.byteLength], [7]]) {
          expect(await codeOf(readAll(gunzipStream(inChunks(padded, sizes)), 1e9))).toBe("ERR_DAMAGED");
        }
      });
  });
}

describe("gzip by node:zlib", () => describeGzip({ strict: true }));

describe("gzip by fflate for what is small, and by the platform's streams", () => {
  withoutZlib();
  describeGzip({ strict: false, native: true });
});

describe("gzip of other programs, without node:zlib", () => {
  withoutZlib();
  /** As the standard wants it, which Node's own is laxer than: nothing may follow the first member. */
  beforeEach(() => {
    const Lax = DecompressionStream;
    vi.stubGlobal(
      "DecompressionStream",
      class {
        readonly readable: ReadableStream;
        readonly writable: WritableStream;
        constructor() {
          const lax = new Lax("gzip");
          this.readable = lax.readable;
          const writer = lax.writable.getWriter();
          this.writable = new WritableStream({
            write: async (chunk: Uint8Array) => {
              if (Buffer.from(chunk).indexOf("1f8b08", 1, "hex") > 0) {
                const error = new TypeError("Trailing data");
                void writer.abort(error);
                throw error;
              }
              await writer.write(chunk as never);
            },
            close: () => writer.close(),
            abort: (reason) => writer.abort(reason),
          });
        }
      },
    );
  });
  afterEach(() => void vi.unstubAllGlobals());

  const parts = [sample(70_000), utf8("more"), sample(9_000)];
  const packed = concat(parts.map((part) => zlibGzip(part)));

  test("is read whole, of any number of members", async () => {
    expectSameBytes(await gunzip(packed, 1e6, "any"), concat(parts));
    expect(await codeOf(gunzip(packed, 79_003, "any"))).toBe("ERR_TOO_LARGE");
    await expect(gunzip(concat([packed, utf8("garbage")]), 1e6, "any")).rejects.toThrow(/damaged gzip data: ./);
  });

  test("is read as a stream, of any number of members", async () => {
    for (const sizes of [[1e6], [17], [1_000, 1]])
      expectSameBytes(await readAll(gunzipStream(inChunks(packed, sizes), "any"), 1e6), concat(parts));
    expect(await codeOf(readAll(gunzipStream(inChunks(concat([packed, utf8("x")]), [100]), "any"), 1e6))).toBe(
      "ERR_DAMAGED",
    );
  });
});

describe("gzip by fflate, where the platform has no streams", () => {
  withoutZlib();
  withoutStreams();
  describeGzip({ strict: true });
});

describe("compressible", () => {
  test("is true for text in all its forms, false for what is compressed or unknown", () => {
    for (const type of [
      "text/csv",
      "TEXT/HTML; charset=utf-8",
      "application/json",
      "application/ld+json",
      "application/vnd.bucketcache+json",
      "application/x-ndjson",
      "application/ndjson",
      "image/svg+xml",
      "application/xml",
      "application/javascript",
      "application/wasm",
    ]) {
      expect(compressible(type), type).toBe(true);
    }
    for (const type of [
      "image/png",
      "application/octet-stream",
      "application/zip",
      "video/mp4",
      "application/jsonish",
      "",
      "application/gzip",
    ]) {
      expect(compressible(type), type).toBe(false);
    }
  });
});
