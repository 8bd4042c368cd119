import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Codec } from "bucketcache";
import { decodeForeign, decodeValue } from "../src/entry/decode.js";
import { checkCodecs, encodeValue, type Encoded } from "../src/entry/codec.js";
import { revive } from "../src/data/revive.js";
import { anyData, anyText, plainJson } from "./support/data.js";

const encode = (value: unknown, codecs: readonly Codec[] = []) => encodeValue(value, codecs) as Encoded;
const textOf = ({ body }: Encoded) => Buffer.from(body).toString("utf8");
const bytesOf = (text: string) => new TextEncoder().encode(text);

async function roundTrip(value: unknown, codecs: readonly Codec[] = []): Promise<unknown> {
  const { codec, body } = await encodeValue(value, codecs);
  return decodeValue(codec, body, codecs);
}

describe("JSON", () => {
  test("is chosen exactly for what it gives back", async () => {
    await fc.assert(
      fc.asyncProperty(anyData, async (value) => {
        fc.pre(typeof value !== "string" && !(value instanceof Uint8Array) && !(value instanceof ArrayBuffer));
        expect(encode(value).codec).toBe(survivesJson(value) ? "json" : "tagged");
      }),
      { numRuns: 300 },
    );
  });

  test("is what JSON.stringify writes, in the order of the properties", () => {
    fc.assert(
      fc.property(plainJson, (value) => {
        const encoded = encode({ value, again: [value] });
        fc.pre(encoded.codec === "json");
        expect(textOf(encoded)).toBe(JSON.stringify({ value, again: [value] }));
      }),
    );
    expect(encode({ b: 1, a: undefined }).contentType).toBe("application/json");
    expect(textOf(encode({ b: 1, a: undefined }))).toBe('{"b":1}');
  });

  test("takes null prototypes, other realms, lone surrogates inside, lookalikes of tags, and depth", async () => {
    for (const value of [
      Object.assign(Object.create(null), { a: 1 }),
      runInNewContext("({ a: [1, { b: null }] })"),
      { "\ud800": "\udfff" },
      { $$Date: "1970-01-01T00:00:00.000Z" },
      JSON.parse('{"__proto__":{"a":1}}'),
      JSON.parse("[".repeat(900) + "]".repeat(900)),
    ]) {
      expect(encode(value).codec).toBe("json");
      expect(JSON.stringify(await roundTrip(value))).toBe(JSON.stringify(value));
    }
  });

  test("is what toJSON gives, also beside lookalikes of tags", async () => {
    class Point {
      toJSON() {
        return { x: 1 };
      }
    }
    expect(encode(new Point()).codec).toBe("json");
    expect(await roundTrip({ at: new Point(), like: { $$Map: 1 } })).toEqual({ at: { x: 1 }, like: { $$Map: 1 } });
    class When {
      toJSON() {
        return new Date(5);
      }
    }
    expect(await roundTrip([new When()])).toEqual([new Date(5)]);
  });

  test("tells null, undefined and their absence apart", async () => {
    expect(await roundTrip(null)).toBe(null);
    expect(await roundTrip(undefined)).toBe(undefined);
    expect(await roundTrip([null, undefined])).toEqual([null, undefined]);
    expect(await roundTrip({ a: null, b: undefined })).toStrictEqual({ a: null });
  });
});

/** Whether JSON gives the same back, by trying it. */
function survivesJson(value: unknown): boolean {
  const text = JSON.stringify(value, function (this: Record<string, unknown>, key, item: unknown) {
    const original = this[key];
    if (typeof original === "bigint") return "bigint";
    return item;
  }) as string | undefined;
  return text !== undefined && same(value, JSON.parse(text));
}

function same(a: unknown, b: unknown): boolean {
  if (typeof a !== "object" || a === null || typeof b !== "object" || b === null) return Object.is(a, b);
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  const present = (value: object) =>
    Object.entries(value).filter(([, item]) => item !== undefined || Array.isArray(value));
  const theirs = new Map(present(b));
  const ours = present(a);
  return ours.length === theirs.size && ours.every(([key, item]) => theirs.has(key) && same(item, theirs.get(key)));
}

describe("text", () => {
  test("comes back as it was, also when it looks like JSON, or begins with a BOM", async () => {
    for (const text of ["", "123", "null", '{"a":1}', "\ufeffabc", "\ufeff", "é\u{1f600}\u0000", "a".repeat(100_000)]) {
      const encoded = encode(text);
      expect(encoded).toMatchObject({ codec: "text", contentType: "text/plain; charset=utf-8" });
      expect(textOf(encoded)).toBe(text);
      expect(await roundTrip(text)).toBe(text);
    }
    await fc.assert(
      fc.asyncProperty(anyText, async (text) => {
        expect(await roundTrip(text)).toBe(text);
      }),
    );
  });

  test("with a lone surrogate is tagged, and comes back too", async () => {
    for (const text of ["\ud800", "a\udfffb", "\udc00\ud800"]) {
      expect(encode(text).codec).toBe("tagged");
      expect(await roundTrip(text)).toBe(text);
    }
  });

  test("that is not UTF-8 is damage", () => {
    for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xc0, 0x80]]) {
      expect(() => decodeValue("text", new Uint8Array(bytes), [])).toThrow();
      expect(() => decodeValue("json", new Uint8Array([0x22, ...bytes, 0x22]), [])).toThrow();
    }
  });
});

describe("bytes", () => {
  test("are stored as they are and read as Uint8Array", async () => {
    const all = new Uint8Array([9, 1, 2, 255, 9]);
    for (const value of [
      all.subarray(1, 4),
      Buffer.from([1, 2, 255]),
      new Uint8Array([1, 2, 255]).buffer,
      runInNewContext("new Uint8Array([1, 2, 255])"),
      runInNewContext("new Uint8Array([1, 2, 255]).buffer"),
      new Blob([new Uint8Array([1, 2, 255])]),
    ]) {
      const encoded = await encodeValue(value, []);
      expect(encoded).toMatchObject({ codec: "bytes", contentType: "application/octet-stream" });
      expect(encoded.body.constructor).toBe(Uint8Array);
      expect([...encoded.body]).toEqual([1, 2, 255]);
      expect(await decodeValue("bytes", encoded.body, [])).toEqual(new Uint8Array([1, 2, 255]));
    }
    expect(encode(new Uint8Array()).body).toHaveLength(0);
  });

  test("over shared memory are copied, since the other threads go on writing", () => {
    const shared = new Uint8Array(new SharedArrayBuffer(2));
    const { body } = encode(shared);
    shared[0] = 7;
    expect([...body]).toEqual([0, 0]);
  });

  test("of a Blob or File keep its type", async () => {
    expect(await encodeValue(new Blob(["x"], { type: "text/csv" }), [])).toMatchObject({
      codec: "bytes",
      contentType: "text/csv",
    });
    expect(await encodeValue(new File(["x"], "a.png", { type: "image/png" }), [])).toMatchObject({
      contentType: "image/png",
    });
  });

  test("of other typed arrays, and inside other values, are tagged", async () => {
    for (const value of [new Float32Array([1.5]), [new Uint8Array([1])], { a: new ArrayBuffer(2) }]) {
      expect(encode(value).codec).toBe("tagged");
      expect(await roundTrip(value)).toEqual(value);
    }
  });
});

describe("tagged values", () => {
  test("come back the same: types, order of properties, signs of zero, lone surrogates", async () => {
    await fc.assert(
      fc.asyncProperty(anyData, fc.string({ unit: "binary-ascii" }), async (value, extra) => {
        const whole = { z: undefined, extra: new Map([[extra, value]]), b: [value, `${extra}\ud800`], a: new Date(0) };
        const back = (await roundTrip(whole)) as typeof whole;
        expect(back).toEqual(whole);
        expect(Object.keys(back)).toEqual(["extra", "b", "a"]);
      }),
      { numRuns: 500 },
    );
    expect(encode(new Date(0))).toMatchObject({ codec: "tagged", contentType: "application/vnd.bucketcache+json" });
    expect(Object.is(await roundTrip(-0), -0)).toBe(true);
    expect(textOf(encode({ b: 1n, a: 1 }))).toBe('{"b":{"$$bigint":"1"},"a":1}');
  });

  test("keep pattern and flags of a RegExp, and the validity of a Date", async () => {
    const back = (await roundTrip([/a\/"/giu, new Date(NaN)])) as [RegExp, Date];
    expect(String(back[0])).toBe(String(/a\/"/giu));
    expect(back[1].getTime()).toBeNaN();
  });

  test("never set a prototype", () => {
    const back = revive(
      JSON.parse('{"__proto__":{"$$Map":[["polluted",1]]},"x":{"__proto__":{"polluted":1}},"y":{"$$$__proto__":1}}'),
    ) as Record<string, unknown>;
    expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
    expect(Object.hasOwn(back, "__proto__")).toBe(true);
    expect(Object.getOwnPropertyDescriptor(back, "__proto__")?.value).toEqual(new Map([["polluted", 1]]));
    expect(Object.getPrototypeOf(back["x"])).toBe(Object.prototype);
    expect(back["y"]).toEqual({ $$__proto__: 1 });
    expect(({} as { polluted?: unknown }).polluted).toBe(undefined);
  });

  const deep = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`;
  test.each([
    ["an unknown tag", '{"$$Temporal.Instant":"x"}'],
    ["an empty tag", '{"$$":"x"}'],
    ["a tag that names a function of the platform", '{"$$Function":"return 1"}'],
    ["a number that JSON can say", '{"$$number":"5"}'],
    ["a bigint that is none", '{"$$bigint":"0x10"}'],
    ["a bigint with too many digits", `{"$$bigint":"${"9".repeat(10_001)}"}`],
    ["a bigint that is a number", '{"$$bigint":5}'],
    ["a Date in another form", '{"$$Date":"2026-11-22"}'],
    ["a Date out of range", '{"$$Date":"+999999-01-01T00:00:00.000Z"}'],
    ["a Map that is no list of pairs", '{"$$Map":[[1]]}'],
    ["a Map that is an object", '{"$$Map":{}}'],
    ["a Set that is a string", '{"$$Set":"abc"}'],
    ["a URL that is none", '{"$$URL":"/relative"}'],
    ["a RegExp that is none", '{"$$RegExp":["(",""]}'],
    ["a RegExp with unknown flags", '{"$$RegExp":["a","q"]}'],
    ["a RegExp that is very long", `{"$$RegExp":["${"a".repeat(10_001)}",""]}`],
    ["a RegExp that is a string", '{"$$RegExp":"a"}'],
    ["bytes that are not base64", '{"$$Uint8Array":"%"}'],
    ["bytes that do not fill the elements", '{"$$Int16Array":"AQ=="}'],
    ["depth", deep(1_002)],
    ["great depth", deep(200_000)],
    ["depth of tags", `${'{"$$Set":['.repeat(600)}${"]}".repeat(600)}`],
    ["no JSON", "{"],
  ])("are damaged by %s", async (_, text) => {
    await expect(async () => decodeValue("tagged", bytesOf(text), [])).rejects.toThrow();
  });

  test("are read back at every depth at which they are written", async () => {
    const wraps = [
      (item: unknown) => [item],
      (item: unknown) => new Set([item]),
      (item: unknown) => new Map([[1, item]]),
      (item: unknown) => ({ $$a: item }),
    ];
    // Around the depths at which one, two or three levels of JSON for each reach the limit: writer and reader could
    // differ at just one of them.
    const levels = [332, 333, 334, 335, 499, 500, 501, 502, 998, 999, 1_000, 1_001];
    for (const wrap of wraps) {
      for (const leaf of [undefined, new Date(0), 1n]) {
        let refused = 0;
        for (const level of levels) {
          let value: unknown = leaf;
          for (let i = 0; i < level; i++) value = wrap(value);
          let encoded: Encoded;
          try {
            encoded = encode(value);
          } catch (error) {
            expect(error).toBeInstanceOf(TypeError);
            refused++;
            continue;
          }
          await decodeValue(encoded.codec, encoded.body, []);
        }
        expect(refused).toBeGreaterThan(0);
        expect(refused).toBeLessThan(levels.length);
      }
    }
  });

  test("are refused at once where they would be refused by the reader", () => {
    expect(() => encode({ n: 10n ** 10_000n })).toThrow(/value\.n has more than 10000 digits/);
    expect(() => encode([new RegExp("a".repeat(10_001))])).toThrow(
      /value\[0\] is a pattern of more than 10000 characters/,
    );
  });
});

describe("what cannot be stored", () => {
  const cycle: Record<string, unknown> = { list: [] };
  (cycle["list"] as unknown[]).push(cycle);
  class Point {
    x = 1;
  }
  test.each<[string, unknown, string]>([
    ["a function", { a: [() => 1] }, "value.a[0] is a function"],
    ["a function as the value", () => 1, "value is a function"],
    ["a symbol", [Symbol("s")], "value[0] is a symbol"],
    ["a symbol as property name", { [Symbol("s")]: 1 }, "value has the symbol Symbol(s)"],
    ["a cycle", cycle, "value.list[0] is part of a cycle"],
    ["an instance of a class", { a: new Point() }, "value.a is an instance of Point without toJSON"],
    ["a stream", new ReadableStream(), "value is an instance of ReadableStream"],
    ["a Response inside", [new Response("x")], "value[0] is an instance of Response"],
    ["a Blob inside", [new Blob(["x"])], "value[0] is an instance of Blob"],
    ["a promise", Promise.resolve(1), "value is an instance of Promise"],
    ["a DataView", new DataView(new ArrayBuffer(1)), "value is an instance of DataView"],
    ["shared memory", new SharedArrayBuffer(1), "value is an instance of SharedArrayBuffer"],
    [
      "a false ArrayBuffer",
      {
        get [Symbol.toStringTag]() {
          return "ArrayBuffer";
        },
      },
      "value has the symbol",
    ],
    ["great depth", JSON.parse(`${"[".repeat(100_000)}${"]".repeat(100_000)}`), "nested deeper"],
  ])("is a TypeError with its path: %s", (_, value, message) => {
    expect(() => encodeValue(value, [])).toThrow(TypeError);
    expect(() => encodeValue(value, [])).toThrow(message);
  });
});

describe("codecs of the caller", () => {
  const upper: Codec = {
    name: "upper",
    contentType: "text/x-upper",
    accepts: (value) => typeof value === "string" && value === value.toUpperCase(),
    encode: (value: string) => value.toLowerCase(),
    decode: (body) => new TextDecoder().decode(body).toUpperCase(),
  };

  test("are asked first, and read what they wrote", async () => {
    expect(encode("ABC", [upper])).toMatchObject({ codec: "upper", contentType: "text/x-upper" });
    expect(textOf(encode("ABC", [upper]))).toBe("abc");
    expect(await roundTrip("ABC", [upper])).toBe("ABC");
    expect(encode("Abc", [upper]).codec).toBe("text");
  });

  test("may write bytes, and nothing but bytes and text", () => {
    const binary = { ...upper, accepts: () => true, encode: () => Buffer.from([1, 2]) };
    expect(encode(1, [binary]).body).toEqual(new Uint8Array([1, 2]));
    for (const wrong of [undefined, new ArrayBuffer(1), new Uint16Array(1), Promise.resolve("x")]) {
      expect(() => encode(1, [{ ...upper, accepts: () => true, encode: () => wrong as never }])).toThrow(/codec upper/);
    }
  });

  test("that are gone are named by the error of a read", () => {
    expect(() => decodeValue("upper", bytesOf("abc"), [])).toThrow(/"upper"/);
  });

  test("have names of their own that can stand in a header", () => {
    expect(() => checkCodecs([upper, { ...upper, name: "other:v1/x" }])).not.toThrow();
    for (const name of ["json", "text", "bytes", "tagged"])
      expect(() => checkCodecs([{ ...upper, name }])).toThrow(/taken/);
    expect(() => checkCodecs([upper, upper])).toThrow(/taken/);
    for (const name of ["", "a b", "é", "a,b", "a;b", "1a", "x".repeat(65), 5 as never]) {
      expect(() => checkCodecs([{ ...upper, name }])).toThrow(TypeError);
    }
    for (const contentType of ["", "text/plain\r\nx: y", "é", undefined as never]) {
      expect(() => checkCodecs([{ ...upper, contentType }])).toThrow(TypeError);
    }
  });
});

describe("what other programs stored", () => {
  test("is JSON, else text, else bytes, by what the bytes are", () => {
    expect(decodeForeign(bytesOf("123"))).toBe(123);
    expect(decodeForeign(bytesOf('{"a":["é"]}'))).toEqual({ a: ["é"] });
    expect(decodeForeign(bytesOf("<a>é</a>"))).toBe("<a>é</a>");
    expect(decodeForeign(bytesOf(""))).toBe("");
    expect(decodeForeign(bytesOf("\ufeff{}"))).toBe("\ufeff{}");
    expect(decodeForeign(new Uint8Array([0xff, 0x00]))).toEqual(new Uint8Array([0xff, 0x00]));
    expect(decodeForeign(bytesOf('{"$$Date":"1970-01-01T00:00:00.000Z"}'))).toEqual({
      $$Date: "1970-01-01T00:00:00.000Z",
    });
  });
});

test("tells values that come back as something else, because toJSON took their place", () => {
  const price = { toJSON: () => "1.50 EUR" };
  expect(encode({ price }).converted).toBe(true);
  expect(encode([price, new Date(0)]).converted).toBe(true);
  expect(encode({ price: "1.50 EUR", at: new Date(0), site: new URL("https://example.com") }).converted).toBeFalsy();
});
