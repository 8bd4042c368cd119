import { BucketCacheError } from "../src/errors.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bodyStream, readAll, toStream } from "../src/base/body.js";
import { concat, fromBase64, toBase64, toBytes, utf8 } from "../src/base/bytes.js";

const text = async (stream: ReadableStream<Uint8Array>): Promise<string> =>
  new TextDecoder().decode(await readAll(stream as ReadableStream<Uint8Array<ArrayBuffer>>, 1e9));

async function* yields<T>(...items: T[]): AsyncGenerator<T> {
  yield* items;
}

describe("readAll", () => {
  test("returns every byte in order", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array()), async (chunks) => {
        expect(await readAll(bodyStream(yields(...chunks)), 1e6)).toEqual(
          new Uint8Array(chunks.flatMap((c) => [...c])),
        );
      }),
    );
  });

  test("takes exactly maxBytes, refuses one more, and cancels the stream with its error", async () => {
    expect(await readAll(toStream(utf8("12345")), 5)).toEqual(utf8("12345"));
    let reason: unknown;
    const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: (controller) => controller.enqueue(utf8("123")),
      cancel: (why) => void (reason = why),
    });
    const error = await readAll(stream, 5).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(BucketCacheError);
    expect((error as BucketCacheError).code).toBe("ERR_TOO_LARGE");
    expect(reason).toBe(error);
  });

  test("does not keep a pooled buffer alive for a small chunk", async () => {
    const pooled = new Uint8Array(65_536).subarray(10, 20);
    const bytes = await readAll(toStream(pooled), 100);
    expect(bytes.buffer.byteLength).toBe(10);
  });

  test("passes the stream's own error unchanged", async () => {
    const own = new RangeError("mine");
    const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({ start: (controller) => controller.error(own) });
    await expect(readAll(stream, 5)).rejects.toBe(own);
  });
});

describe("bodyStream", () => {
  test("takes strings, bytes, Buffers, Blobs, Responses, streams and async iterables", async () => {
    expect(await text(bodyStream(yields<string | Uint8Array>("ä", utf8("b"), Buffer.from("c"))))).toBe("äbc");
    expect(await text(bodyStream(new Blob(["blob"])))).toBe("blob");
    expect(await text(bodyStream(new Response("response")))).toBe("response");
    expect(await text(bodyStream(new Response(null)))).toBe("");
    expect(await text(bodyStream(toStream(utf8("stream"))))).toBe("stream");
    const strings = new ReadableStream<string>({ start: (c) => (c.enqueue("s"), c.close()) });
    expect(await text(bodyStream(strings))).toBe("s");
  });

  test("encodes any text as a whole however it is cut, surrogate pairs too", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary" }), fc.array(fc.nat(40)), async (whole, cuts) => {
        const at = [0, ...cuts.filter((c) => c <= whole.length).sort((a, b) => a - b), whole.length];
        const parts = at.slice(1).map((end, i) => whole.slice(at[i], end));
        expect(await text(bodyStream(yields(...parts)))).toBe(whole);
      }),
      { numRuns: 40 },
    );
  });

  test("yields plain Uint8Array whatever came in", async () => {
    const reader = bodyStream(yields<Uint8Array>(Buffer.from("x"))).getReader();
    const { value } = await reader.read();
    expect(value?.constructor).toBe(Uint8Array);
    expect(value?.buffer).toBeInstanceOf(ArrayBuffer);
    const shared = new Uint8Array(new SharedArrayBuffer(2));
    expect(toBytes(shared).buffer).toBeInstanceOf(ArrayBuffer);
  });

  test("reads nothing before it is asked, and no further than it is asked", async () => {
    let made = 0;
    const source = (async function* () {
      for (;;) yield utf8(String(++made));
    })();
    const stream = bodyStream(source);
    await Promise.resolve();
    expect(made).toBe(0);
    const reader = stream.getReader();
    await reader.read();
    await reader.read();
    expect(made).toBe(2);
  });

  test("returns the iterator and cancels the stream when it is cancelled", async () => {
    let returned = false;
    const source = (async function* () {
      try {
        for (;;) yield "x";
      } finally {
        returned = true;
      }
    })();
    const reader = bodyStream(source).getReader();
    await reader.read();
    await reader.cancel("enough");
    expect(returned).toBe(true);

    let reason: unknown;
    await bodyStream(new ReadableStream<string>({ cancel: (why) => void (reason = why) })).cancel("enough");
    expect(reason).toBe("enough");
  });

  test("passes the source's own error unchanged", async () => {
    const own = new Error("mine");
    const source = (async function* () {
      yield "x";
      throw own;
    })();
    await expect(readAll(bodyStream(source), 10)).rejects.toBe(own);
  });

  test("refuses what is no body, what was read before, and chunks that are no bytes", async () => {
    expect(() => bodyStream("text" as never)).toThrow(TypeError);
    expect(() => bodyStream(null as never)).toThrow(TypeError);
    const locked = new Blob(["x"]).stream();
    locked.getReader();
    expect(() => bodyStream(locked)).toThrow(/locked/);
    const used = new Response("x");
    await used.text();
    expect(() => bodyStream(used)).toThrow(/clone/);
    let returned = false;
    const numbers = (async function* () {
      try {
        yield 1;
      } finally {
        returned = true;
      }
    })();
    await expect(readAll(bodyStream(numbers as never), 10)).rejects.toThrow(TypeError);
    expect(returned).toBe(true);
    await expect(readAll(bodyStream(yields(new Float64Array(1)) as never), 10)).rejects.toThrow(TypeError);
  });
});

describe("base64", () => {
  test("is what Buffer makes of the same bytes, there and back", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(toBase64(bytes)).toBe(Buffer.from(bytes).toString("base64"));
        expect(fromBase64(toBase64(bytes))).toEqual(new Uint8Array(bytes));
      }),
    );
    const large = concat([new Uint8Array(100_000).fill(7), new Uint8Array(3)]);
    expect(fromBase64(toBase64(large))).toEqual(large);
  });

  test("refuses other text", () => {
    expect(() => fromBase64("a*b")).toThrow();
  });
});
