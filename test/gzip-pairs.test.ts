import { gunzipSync as zlibGunzip, gzipSync as zlibGzip } from "node:zlib";
import fc from "fast-check";
import { Gunzip } from "fflate/browser";
import { afterEach, describe, expect, test, vi } from "vitest";
import { readAll, toStream } from "../src/base/body.js";
import { concat, utf8 } from "../src/base/bytes.js";
import { decompression, gunzipFflate } from "../src/entry/fflate-gunzip.js";
import { compression, gzipFflate } from "../src/entry/fflate-gzip.js";
import { through } from "../src/entry/gzip-stream.js";
import { gunzipNative, gunzipStreamNative, gzipNative, gzipStreamNative } from "../src/entry/native.js";
import { findZlib, gunzipStreamZlib, gunzipZlib, gzipStreamZlib, gzipZlib, type Zlib } from "../src/entry/zlib.js";
import type { Bytes } from "../src/types.js";
import { expectSameBytes } from "./support/bytes.js";

// Every implementation reads what every other wrote, and refuses what every other refuses.

const zlib = findZlib() as Zlib;

const gzipStreamFflate = (source: ReadableStream<Bytes>) => through(source, async () => compression);
const gunzipStreamFflate = (source: ReadableStream<Bytes>) => through(source, async () => decompression);

interface Implementation {
  write(data: Bytes, cuts: readonly number[]): Promise<Bytes>;
  read(packed: Bytes, maxBytes: number, cuts: readonly number[]): Promise<Bytes>;
  /** Reads several members, and nothing behind them. Node's own `DecompressionStream` is as lax as no browser's. */
  strict: boolean;
}

const IMPLEMENTATIONS: Record<string, Implementation> = {
  "node:zlib": {
    write: async (data) => gzipZlib(zlib, data),
    read: (packed, maxBytes) => gunzipZlib(zlib, packed, maxBytes),
    strict: true,
  },
  "node:zlib, streams": {
    write: (data, cuts) => readAll(gzipStreamZlib(zlib, inChunksEndingAt(data, cuts)), Infinity),
    read: (packed, maxBytes, cuts) => readAll(gunzipStreamZlib(zlib, inChunksEndingAt(packed, cuts)), maxBytes),
    strict: true,
  },
  "the platform's streams, whole": {
    write: (data) => gzipNative(data),
    read: (packed, maxBytes) => gunzipNative(packed, maxBytes),
    strict: false,
  },
  "the platform's streams": {
    write: (data, cuts) => readAll(gzipStreamNative(inChunksEndingAt(data, cuts)), Infinity),
    read: (packed, maxBytes, cuts) => readAll(gunzipStreamNative(inChunksEndingAt(packed, cuts)), maxBytes),
    strict: false,
  },
  fflate: {
    write: async (data) => gzipFflate(data),
    read: async (packed, maxBytes) => gunzipFflate(packed, maxBytes),
    strict: true,
  },
  "fflate, streams": {
    write: (data, cuts) => readAll(gzipStreamFflate(inChunksEndingAt(data, cuts)), Infinity),
    read: (packed, maxBytes, cuts) => readAll(gunzipStreamFflate(inChunksEndingAt(packed, cuts)), maxBytes),
    strict: true,
  },
};
const NAMES = Object.keys(IMPLEMENTATIONS);
const implementation = (name: string) => IMPLEMENTATIONS[name] as Implementation;
const STRICT = NAMES.filter((name) => implementation(name).strict);
const FFLATE = ["fflate", "fflate, streams"];

/** Chunks that end at these offsets, and before them perhaps empty ones. */
function inChunksEndingAt(bytes: Bytes, cuts: readonly number[]): ReadableStream<Bytes> {
  const ends = [...cuts.map((at) => at % (bytes.byteLength + 1)), bytes.byteLength].sort((a, b) => a - b);
  let at = 0;
  return new ReadableStream<Bytes>(
    {
      pull(controller) {
        const end = ends.shift();
        if (end === undefined) return controller.close();
        controller.enqueue(bytes.slice(at, end));
        at = end;
      },
    },
    { highWaterMark: 0 },
  );
}

/** Data that compress well, hardly and not at all, on both sides of every block and window. */
const data = fc
  .tuple(
    fc.uint8Array({ maxLength: 3_000, size: "max" }),
    fc.integer({ min: 1, max: 60 }),
    fc.string({ maxLength: 50 }),
  )
  .map(([bytes, times, text]) =>
    concat(Array.from({ length: times }, (_, i) => (i % 3 === 1 ? utf8(text.repeat(i)) : new Uint8Array(bytes)))),
  );
const cuts = fc.array(fc.nat(200_000), { maxLength: 6 });

/** "damaged" or "too large" where reading fails as it should; any other error is thrown. */
async function refusal(read: Promise<Bytes>): Promise<string> {
  try {
    await read;
    return "none";
  } catch (error) {
    if ((error as { code?: string }).code === "ERR_TOO_LARGE") return "too large";
    expect((error as Error).message).toMatch(/damaged gzip data: \w/);
    return "damaged";
  }
}

describe.each(NAMES)("what %s wrote", (writer) => {
  test.each(NAMES)("is read by %s", async (reader) => {
    await fc.assert(
      fc.asyncProperty(data, cuts, async (plain, at) => {
        const packed = await implementation(writer).write(plain, at);
        expectSameBytes(await implementation(reader).read(packed, plain.byteLength, at), plain);
      }),
      { numRuns: 12 },
    );
  });

  test("says its level and no time, and is the same each time", async () => {
    const plain = utf8("all work and no play, ".repeat(500));
    const packed = await implementation(writer).write(plain, [100]);
    expectSameBytes(await implementation(writer).write(plain, [100]), packed);
    expect([...packed.subarray(0, 8)]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
  });
});

describe.each(STRICT)("%s", (name) => {
  const { read } = implementation(name);

  test("reads several members, whoever wrote each", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(data, fc.constantFrom(...NAMES)), { minLength: 2, maxLength: 4 }),
        cuts,
        async (members, at) => {
          const plain = concat(members.map(([bytes]) => bytes));
          const packed = concat(await Promise.all(members.map(([bytes, by]) => implementation(by).write(bytes, []))));
          expectSameBytes(await read(packed, plain.byteLength, at), plain);
          if (plain.byteLength > 0) expect(await refusal(read(packed, plain.byteLength - 1, at))).toBe("too large");
        },
      ),
      { numRuns: 12 },
    );
  });

  test("reads two equal members, and empty ones, as often as they stand there", async () => {
    for (const plain of [utf8("once"), new Uint8Array(0), utf8("again and ".repeat(2_000))]) {
      for (const times of [2, 3, 50]) {
        const packed = concat(Array.from({ length: times }, () => new Uint8Array(zlibGzip(plain))));
        expectSameBytes(await read(packed, 1e6, [13]), concat(Array.from({ length: times }, () => plain)));
      }
    }
  });

  test("reads headers with a name, a comment, extra fields and a checksum", async () => {
    const plain = utf8("content");
    const packed = new Uint8Array(zlibGzip(plain));
    const extras: [number, number[]][] = [
      [8, [...utf8("name.txt"), 0]],
      [16, [...utf8("comment"), 0]],
      [4, [3, 0, 65, 66, 67]],
      [12, [2, 0, 65, 66, ...utf8("x"), 0]],
      [8, [...utf8("long".repeat(3_000)), 0]],
    ];
    for (const [flags, fields] of extras) {
      const header = Uint8Array.from([...packed.subarray(0, 3), flags, ...packed.subarray(4, 10), ...fields]);
      const member = concat([header, packed.subarray(10)]);
      for (const at of [[], [1, 2, 3], [5_000, 9_000]]) {
        expectSameBytes(await read(member, 100, at), plain);
        expectSameBytes(await read(concat([member, member]), 100, at), utf8("contentcontent"));
      }
    }
    const reserved = packed.slice();
    reserved[3] = 0x40;
    expect(await refusal(read(reserved, 100, []))).toBe("damaged");
  });

  test("refuses what is cut off, wherever", async () => {
    await fc.assert(
      fc.asyncProperty(data, fc.constantFrom(...NAMES), fc.nat(), cuts, async (plain, by, where, at) => {
        const packed = await implementation(by).write(plain, []);
        const some = packed.slice(0, where % packed.byteLength);
        expect(await refusal(read(some, 1e9, at))).toBe("damaged");
        expect(await refusal(read(concat([packed, some]), 1e9, at))).toBe(some.byteLength === 0 ? "none" : "damaged");
      }),
      { numRuns: 25 },
    );
  });

  test("refuses whatever follows, zeros and a copy of the trailer included", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(data, fc.constant(new Uint8Array(0))),
        fc.constantFrom(...NAMES),
        fc.oneof(
          fc.uint8Array({ minLength: 1, maxLength: 40 }),
          fc.integer({ min: 1, max: 40 }).map((n) => new Uint8Array(n)),
        ),
        fc.boolean(),
        cuts,
        async (plain, by, garbage, copy, at) => {
          const packed = await implementation(by).write(plain, []);
          const followed = concat([packed, garbage, ...(copy ? [packed.slice(-8)] : [])]);
          expect(await refusal(read(followed, 1e9, at))).toBe("damaged");
        },
      ),
      { numRuns: 40 },
    );
  });

  test("refuses a changed checksum and length, and any changed bit that changes the content", async () => {
    await fc.assert(
      fc.asyncProperty(
        data,
        fc.constantFrom(...NAMES),
        fc.nat(),
        fc.nat(7),
        cuts,
        async (plain, by, where, bit, at) => {
          const packed = await implementation(by).write(plain, []);
          const change = (offset: number) => packed.map((byte, i) => (i === offset ? byte ^ (1 << bit) : byte));
          expect(await refusal(read(change(packed.byteLength - 1 - (where % 8)), 1e9, at))).toBe("damaged");
          const got = await read(change(10 + (where % (packed.byteLength - 18))), 1e9, at).catch(
            (error: Error) => error,
          );
          // Some bits mean nothing, or another way to the same content.
          if (got instanceof Error) expect(got.message).toMatch(/damaged gzip data: \w/);
          else expectSameBytes(got, plain);
        },
      ),
      { numRuns: 15 },
    );
  });
});

describe.each(FFLATE)("a bomb, for %s,", (name) => {
  afterEach(() => void vi.restoreAllMocks());

  test("is given up before its content is there, also when its trailer claims another size", async () => {
    const bomb = new Uint8Array(zlibGzip(new Uint8Array(50_000_000)));
    for (const claim of [undefined, 0, 1_000, 0xffff_ffff]) {
      if (claim !== undefined) new DataView(bomb.buffer).setUint32(bomb.byteLength - 4, claim, true);
      for (const maxBytes of [0, 100, 4_096, 1_000_000]) {
        // Each byte that fflate is given becomes some thousand.
        const given = vi.spyOn(Gunzip.prototype, "push");
        expect(await refusal(implementation(name).read(bomb, maxBytes, []))).toBe("too large");
        const bytes = given.mock.calls.reduce((sum, [slice]) => sum + slice.byteLength, 0);
        // A stream is read slice by slice, as only its reader knows the limit.
        expect(bytes * 1_000).toBeLessThan(maxBytes + (name === "fflate" ? 130_000 : 8_200_000));
        given.mockRestore();
      }
    }
  });
});

describe("a stream through fflate", () => {
  test("asks its source for no more than it needs for the next chunk, and holds back no more than a slice makes", async () => {
    const packed = new Uint8Array(zlibGzip(new Uint8Array(20_000_000)));
    let asked = 0;
    const source = new ReadableStream<Bytes>(
      {
        pull(controller) {
          const chunk = packed.slice(asked, (asked += 1_000));
          if (chunk.byteLength === 0) controller.close();
          else controller.enqueue(chunk);
        },
      },
      { highWaterMark: 0 },
    );
    const reader = gunzipStreamFflate(source).getReader();
    await settled();
    expect(asked).toBe(0);
    let got = 0;
    for (let turn = 1; turn <= 10; turn++) {
      const { value } = await reader.read();
      got += value!.byteLength;
      await settled();
      // Each thousand bytes make a million, which the reader gets before the next are asked for.
      expect(got).toBeGreaterThan((asked - 1_000) * 900);
      expect(asked).toBeLessThanOrEqual(turn * 1_000);
    }
    await reader.cancel();
  });

  test("compresses as much as is asked for", async () => {
    let asked = 0;
    const block = new Uint8Array(65_536).map((_, i) => (i * 7_919 * i) >> 3);
    const source = new ReadableStream<Bytes>(
      {
        pull(controller) {
          asked++;
          controller.enqueue(block.slice());
        },
      },
      { highWaterMark: 0 },
    );
    const reader = gzipStreamFflate(source).getReader();
    await settled();
    expect(asked).toBe(0);
    for (let turn = 1; turn <= 5; turn++) {
      await reader.read();
      await settled();
      expect(asked).toBeLessThanOrEqual(turn + 1);
    }
    await reader.cancel();
  });

  test("compresses zeros at any place of the first window and behind it, which fflate's own streams do not", async () => {
    const noise = (size: number, seed: number) =>
      new Uint8Array(size).map((_, i) => (Math.imul(i + seed, 2_654_435_761) >>> 13) | 1);
    for (const at of [0, 1, 2, 1_000, 32_764, 32_765, 32_766, 32_767, 32_768, 40_000, 65_535, 65_536]) {
      for (const zeros of [1, 2, 3, 20, 300, 40_000]) {
        const plain = concat([
          noise(at, 1),
          new Uint8Array(zeros),
          noise(100, 1),
          new Uint8Array(zeros),
          noise(50_000, 9),
        ]);
        for (const cuts of [[], [1, 32_768, 65_536], [at, at + zeros]]) {
          const packed = await readAll(gzipStreamFflate(inChunksEndingAt(plain, cuts)), Infinity);
          expectSameBytes(new Uint8Array(zlibGunzip(packed)), plain);
        }
      }
    }
  });

  test("compresses bytes of any kind and length as node:zlib reads them", async () => {
    // Runs of few different bytes, zeros among them, so that matches are found everywhere.
    const runs = fc
      .array(fc.tuple(fc.constantFrom(0, 0, 1, 65, 255), fc.integer({ min: 1, max: 9_000 }), fc.nat(3)), { maxLength: 30 })
      .map((parts) => concat(parts.map(([byte, size, odd]) => new Uint8Array(size).map((_, i) => (odd > 0 && i % (odd * 7) === 0 ? i : byte))))); // prettier-ignore
    await fc.assert(
      fc.asyncProperty(runs, cuts, async (plain, at) => {
        expectSameBytes(
          new Uint8Array(zlibGunzip(await readAll(gzipStreamFflate(inChunksEndingAt(plain, at)), Infinity))),
          plain,
        );
      }),
      { numRuns: 60 },
    );
  });

  test("compresses text about as well as node:zlib", async () => {
    const plain = utf8(
      Array.from({ length: 20_000 }, (_, i) => `{"id":${i},"name":"place ${(i * 7_919) % 1_009}"}\n`).join(""),
    );
    const packed = await readAll(gzipStreamFflate(inChunksEndingAt(plain, [50_000])), Infinity);
    expect(packed.byteLength).toBeLessThan(zlibGzip(plain).byteLength * 1.1);
  });

  test("takes one chunk of any size in slices", async () => {
    const plain = new Uint8Array(3_000_000).map((_, i) => (i * i) >> 7);
    const packed = await readAll(gzipStreamFflate(toStream(plain)), Infinity);
    expectSameBytes(gunzipFflate(packed, 3_000_000), plain);
    expectSameBytes(await readAll(gunzipStreamFflate(toStream(packed)), 3_000_000), plain);
  });
});

/** Every task that could run on has run when as many turns have passed. */
async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}
