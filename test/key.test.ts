import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cacheKey, canonicalize, digestKey, isReserved, keyHash, objectKey, sanitizeName } from "../src/data/key.js";
import { percentEncodePath } from "../src/base/percent.js";
import { revive } from "../src/data/revive.js";
import { anyData, anyText, plainJson } from "./support/data.js";

const md5 = (text: string) => createHash("md5").update(text, "utf8").digest("hex");

/** The same data with the properties of each object in another order. */
function shuffled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shuffled);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).reverse();
  const copy = {};
  for (const [key, item] of entries) Object.defineProperty(copy, key, { value: shuffled(item), enumerable: true });
  return copy;
}

describe("canonical text of plain JSON", () => {
  test("is independent of the order of properties", () => {
    fc.assert(fc.property(plainJson, (value) => canonicalize([shuffled(value)]) === canonicalize([value])));
  });

  test("is JSON that says the same, short of the sign of zero", () => {
    fc.assert(
      fc.property(plainJson, (value) => {
        // Plain data that looks like a tag is the exception, which has its own test.
        const text = canonicalize([value]);
        fc.pre(!text.includes('"$$'));
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify([value])));
      }),
    );
  });

  test("sorts properties by UTF-16 code units, not by code points or locale", () => {
    // U+1F600 begins with the code unit d83d, which is below U+FB33.
    const names = ["\u20ac", "\r", "\ufb33", "1", "\u{1f600}", "\u0080", "\u00f6", "Z", "a"];
    const value = Object.fromEntries(names.map((name) => [name, 0]));
    expect(Object.keys(JSON.parse(canonicalize(value)) as object).slice(1)).toEqual([
      "\r",
      "Z",
      "a",
      "\u0080",
      "\u00f6",
      "\u20ac",
      "\u{1f600}",
      "\ufb33",
    ]);
    const many = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`p${(i * 7) % 40}`, i]));
    expect([...canonicalize(many).matchAll(/"(p\d+)"/g)].map((match) => match[1])).toEqual(Object.keys(many).sort());
  });

  test("writes numbers as ECMAScript does", () => {
    expect(canonicalize([333333333.3333333, 1e30, 4.5, 2e-3, 1e-27, 5e-324, 1e21, 999999999999999868928, -0, 0])).toBe(
      "[333333333.3333333,1e+30,4.5,0.002,1e-27,5e-324,1e+21,999999999999999900000,0,0]",
    );
  });

  test("escapes just what JCS escapes", () => {
    expect(canonicalize('\u20ac$\u000f\nA\'B"\\\\"/\u2028\u007f\b\t\f\r')).toBe(
      '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/\u2028\u007f\\b\\t\\f\\r"',
    );
    expect(canonicalize("\u{1f600}é")).toBe('"\u{1f600}é"');
  });

  test("drops undefined properties and trailing undefined arguments, and keeps the others", () => {
    expect(canonicalize([1, { b: undefined, a: undefined }, undefined, undefined])).toBe("[1,{}]");
    expect(canonicalize([undefined, 1])).toBe('[{"$$undefined":true},1]');
    expect(canonicalize([[1, undefined]])).toBe('[[1,{"$$undefined":true}]]');
    // eslint-disable-next-line no-sparse-arrays
    expect(canonicalize([[1, , 2]])).toBe('[[1,{"$$undefined":true},2]]');
    expect(canonicalize([])).toBe("[]");
    expect(canonicalize([undefined])).toBe("[]");
    expect(canonicalize([null])).toBe("[null]");
  });

  test("takes __proto__ for data, and null prototypes and other realms for plain", () => {
    expect(canonicalize([JSON.parse('{"__proto__":{"a":1},"b":2}')])).toBe('[{"__proto__":{"a":1},"b":2}]');
    expect(canonicalize([Object.assign(Object.create(null), { b: 1, a: 2 })])).toBe('[{"a":2,"b":1}]');
    expect(canonicalize(runInNewContext("[{ b: [1], a: null }]"))).toBe('[{"a":null,"b":[1]}]');
  });

  test("takes repeated references, which are no cycles, at any depth", () => {
    const shared = { x: 1 };
    let deep: unknown = [shared, shared];
    for (let i = 0; i < 100; i++) deep = [deep, shared];
    expect(canonicalize([shared, shared])).toBe('[{"x":1},{"x":1}]');
    expect(canonicalize(deep).match(/x/g)).toHaveLength(102);
  });
});

describe("tags", () => {
  test.each<[string, unknown, string]>([
    ["NaN", NaN, '{"$$number":"NaN"}'],
    ["an infinity", -Infinity, '{"$$number":"-Infinity"}'],
    ["a bigint", -12345678901234567890n, '{"$$bigint":"-12345678901234567890"}'],
    ["a Date", new Date(0), '{"$$Date":"1970-01-01T00:00:00.000Z"}'],
    ["an invalid Date", new Date(NaN), '{"$$Date":null}'],
    [
      "a Map, in insertion order",
      new Map<unknown, unknown>([
        ["b", 1],
        [{ z: 1, a: 2 }, -0],
      ]),
      '{"$$Map":[["b",1],[{"a":2,"z":1},0]]}',
    ],
    ["a Set, in insertion order", new Set(["b", undefined, "a"]), '{"$$Set":["b",{"$$undefined":true},"a"]}'],
    ["a URL", new URL("https://example.com/a b?q=é"), '{"$$URL":"https://example.com/a%20b?q=%C3%A9"}'],
    ["a RegExp", /a"\/b/giu, '{"$$RegExp":["a\\"\\\\/b","giu"]}'],
    ["an ArrayBuffer", new Uint8Array([0, 1, 255]).buffer, '{"$$ArrayBuffer":"AAH/"}'],
    ["a Uint8Array", new Uint8Array([0, 1, 255, 7]).subarray(1, 3), '{"$$Uint8Array":"Af8="}'],
    ["a Buffer as a Uint8Array", Buffer.from([1, 255]), '{"$$Uint8Array":"Af8="}'],
    ["an Int16Array, lowest byte first", new Int16Array([1, -2]), '{"$$Int16Array":"AQD+/w=="}'],
    ["a Float64Array", new Float64Array([1.5]), '{"$$Float64Array":"AAAAAAAA+D8="}'],
    ["a BigInt64Array", new BigInt64Array([-1n]), '{"$$BigInt64Array":"//////////8="}'],
  ])("are written for %s", (_, value, text) => {
    expect(canonicalize([value])).toBe(`[${text}]`);
    expect(canonicalize({ in: value })).toBe(`{"in":${text}}`);
  });

  test("are written for built-ins of another realm and of subclasses", () => {
    for (const source of [
      "new Date(0)",
      "new Map([[1,2]])",
      "new Set([1])",
      "/a/g",
      "new ArrayBuffer(2)",
      "new Uint16Array(2)",
    ]) {
      const there: unknown = runInNewContext(source);
      // eslint-disable-next-line no-eval
      const here: unknown = (0, eval)(source);
      expect(canonicalize([there])).toBe(canonicalize([here]));
    }
    class Counter extends Map<string, number> {
      override get [Symbol.toStringTag]() {
        return "Counter";
      }
      override forEach() {}
      toJSON() {
        return "no";
      }
    }
    expect(canonicalize([new Counter([["a", 1]])])).toBe('[{"$$Map":[["a",1]]}]');
  });

  test("are not written for what only claims to be a built-in", () => {
    class Fake {
      get [Symbol.toStringTag]() {
        return "Date";
      }
    }
    expect(() => canonicalize([new Fake()])).toThrow(/args\[0\] is an instance of Fake/);
    expect(() => canonicalize([Object.create(Date.prototype)])).toThrow(TypeError);
  });

  test("cannot be forged by plain data", () => {
    expect(canonicalize([{ $$Date: "1970-01-01T00:00:00.000Z" }])).toBe('[{"$$$Date":"1970-01-01T00:00:00.000Z"}]');
    expect(canonicalize([{ $$$Date: 1 }])).toBe('[{"$$$$Date":1}]');
    expect(canonicalize([{ $$: 1, b: undefined }])).toBe('[{"$$$":1}]');
    // With a second property, or one `$`, it does not look like a tag and stays plain RFC 8785.
    expect(canonicalize([{ $$Date: 1, b: 2 }])).toBe('[{"$$Date":1,"b":2}]');
    expect(canonicalize([{ $gt: 5 }])).toBe('[{"$gt":5}]');
  });

  test("make different data different: the canonical text gives the data back", () => {
    fc.assert(
      fc.property(anyData, (value) => {
        expect(revive(JSON.parse(canonicalize({ value })))).toEqual({ value: withoutSigns(value) });
      }),
      { numRuns: 500 },
    );
  });
});

/** Drops the sign of zero, which keys do not tell apart. */
function withoutSigns(value: unknown): unknown {
  if (value === 0) return 0;
  if (Array.isArray(value)) return value.map(withoutSigns);
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [withoutSigns(key), withoutSigns(item)]));
  if (value instanceof Set) return new Set([...value].map(withoutSigns));
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withoutSigns(item)]));
}

describe("what is not data", () => {
  class Point {
    x = 1;
  }
  const cycle: Record<string, unknown> = { name: "a" };
  cycle["children"] = [{ parent: cycle }];

  test.each<[string, unknown, string]>([
    ["a function", () => 1, "args[0].user.id is a function"],
    ["a symbol", Symbol("s"), "args[0].user.id is a symbol"],
    [
      "a symbol as property name",
      { [Symbol("tag")]: 1 },
      "args[0].user.id has the symbol Symbol(tag) as a property name",
    ],
    ["an instance of a class", new Point(), "args[0].user.id is an instance of Point without toJSON"],
    ["a promise", Promise.resolve(1), "args[0].user.id is an instance of Promise"],
    ["a stream", new ReadableStream(), "args[0].user.id is an instance of ReadableStream"],
    ["a Blob", new Blob(["x"]), "args[0].user.id is an instance of Blob"],
    ["a Response", new Response("x"), "args[0].user.id is an instance of Response"],
    ["an Error", new Error("x"), "args[0].user.id is an instance of Error"],
    ["a WeakMap", new WeakMap(), "args[0].user.id is an instance of WeakMap"],
    ["a DataView", new DataView(new ArrayBuffer(1)), "args[0].user.id is an instance of DataView"],
    ["a SharedArrayBuffer", new SharedArrayBuffer(1), "args[0].user.id is an instance of SharedArrayBuffer"],
    ["a boxed primitive", Object("a"), "args[0].user.id is an instance of String"],
    ["an object that inherits its data", Object.create({ a: 1 }), "args[0].user.id is an instance of Object"],
    ["a lone surrogate", "a\ud800", "args[0].user.id holds a lone surrogate"],
    ["a lone surrogate in a property name", { "\udc00": 1 }, 'args[0].user.id["\\udc00"] holds a lone surrogate'],
    ["a lone surrogate in a pattern", new RegExp("\ud800"), "holds a lone surrogate"],
    ["a cycle", cycle, "args[0].user.id.children[0].parent is part of a cycle"],
    ["something in a Map", new Map([["k", () => 1]]), "args[0].user.id[0][1] is a function"],
  ])("is refused with its path: %s", (_, id, message) => {
    const call = () => canonicalize([{ user: { id } }]);
    expect(call).toThrow(TypeError);
    expect(call).toThrow(message);
    expect(call).toThrow(/`key` option/);
  });

  test("is named by another root where one is given", () => {
    expect(() => canonicalize({ a: [Symbol.iterator] }, "key(…)")).toThrow(/^key\(…\)\.a\[0\] is a symbol/);
  });

  test("depth is refused, not a crash", () => {
    for (const wrap of [(v: unknown) => [v], (v: unknown) => ({ v }), (v: unknown) => new Set([v])]) {
      let deep: unknown = 1;
      for (let i = 0; i < 200_000; i++) deep = wrap(deep);
      expect(() => canonicalize([deep])).toThrow(/nested deeper than 1000 levels/);
    }
    let fits: unknown = 1;
    for (let i = 0; i < 999; i++) fits = [fits];
    expect(canonicalize([fits])).toHaveLength(2_001);
  });

  test("a cycle behind a lot of data costs no more than some rounds of it", () => {
    const graph: Record<string, unknown> = { a: Array.from({ length: 10_000 }, (_, i) => `row ${i}`) };
    graph["self"] = graph;
    expect(() => canonicalize([graph])).toThrow("args[0].self is part of a cycle");
  });

  test("errors of getters and toJSON pass unchanged", () => {
    const error = new RangeError("mine");
    const fail = () => {
      throw error;
    };
    expect(() =>
      canonicalize([
        {
          get a() {
            return fail();
          },
        },
      ]),
    ).toThrow(error);
    expect(() =>
      canonicalize([
        new (class {
          toJSON = fail;
        })(),
      ]),
    ).toThrow(error);
  });
});

test("an instance with toJSON is what that returns", () => {
  class Money {
    readonly amount: bigint;
    constructor(amount: bigint) {
      this.amount = amount;
    }
    toJSON() {
      return { amount: this.amount };
    }
  }
  expect(canonicalize([new Money(5n)])).toBe('[{"amount":{"$$bigint":"5"}}]');
  expect(canonicalize([{ a: 1, toJSON: () => "plain" }])).toBe('["plain"]');
  class Self {
    toJSON() {
      return this;
    }
  }
  expect(() => canonicalize([new Self()])).toThrow(TypeError);
});

test("any data has a key, equal data an equal one", () => {
  fc.assert(
    fc.property(anyData, (value) => {
      const key = cacheKey("f", [value]);
      expect(key).toMatch(/^f\/[0-9a-f]{32}$/);
      expect(cacheKey("f", revive(JSON.parse(canonicalize([value]))) as unknown[])).toBe(key);
    }),
  );
});

describe("keys of function results", () => {
  test("are name and md5 of the UTF-8 text, whatever the script and length", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(digestKey("f", text)).toBe(`f/${md5(text)}`);
      }),
    );
    for (const text of ["", "é", "日本語", "\u{1f600}".repeat(40), "x".repeat(119), "é".repeat(60_000)]) {
      expect(digestKey("f", text)).toBe(`f/${md5(text)}`);
    }
  });

  test("replace < and > in names, and refuse names that cannot be part of an object key", () => {
    expect(cacheKey("<locals>.f", [1])).toBe(`_locals_.f/${md5("[1]")}`);
    expect(sanitizeName("app/users")).toBe("app/users");
    for (const name of ["", "/a", "a/", "a//b", "..", "a\n", "a\\..", "\ud800", "x".repeat(256), undefined as never]) {
      expect(() => cacheKey(name, [1]), JSON.stringify(name)).toThrow(TypeError);
    }
  });

  test("take only an array of arguments", () => {
    expect(() => cacheKey("f", "abc" as never)).toThrow(/array/);
  });

  test("have a hash that tells apart what a name or an md5 does not", async () => {
    const expected = createHash("sha256").update('<f>\0["é"]').digest("base64");
    expect(await keyHash("<f>", '["é"]')).toBe(expected);
    expect(await keyHash("_f_", '["é"]')).not.toBe(expected);
  });
});

describe("object keys", () => {
  test("are prefix and key, as given", () => {
    expect(objectKey("cache/", "a/b-c_d.json")).toBe("cache/a/b-c_d.json");
    expect(objectKey("", "naïve key (1)+%20\\x")).toBe("naïve key (1)+%20\\x");
    expect(objectKey("p-", ".hidden")).toBe("p-.hidden");
    expect(objectKey("", "...")).toBe("...");
  });

  test.each([
    ["", "is empty"],
    ["/a", "begins with a slash"],
    ["a//b", "segment"],
    ["a/", "segment"],
    [".", "segment"],
    ["a/../b", "segment"],
    ["a\\..\\b", "segment"],
    ["a\\", "segment"],
    ["./a", "segment"],
    ["a\u0000", "control"],
    ["a\u007f", "control"],
    ["a\ud800b", "lone surrogate"],
    ["x".repeat(256), "255 bytes"],
    ["é".repeat(128), "255 bytes"],
    [`${"x".repeat(200)}/`.repeat(6) + "x", "1,024 bytes"],
  ])("are refused: %j", (key, rule) => {
    for (const prefix of ["cache/", "", "p"]) {
      expect(() => objectKey(prefix, key)).toThrow(TypeError);
      expect(() => objectKey(prefix, key)).toThrow(rule);
    }
  });

  test("count the prefix", () => {
    const key = `${"x".repeat(254)}/`.repeat(4).slice(0, 1_018);
    expect(objectKey("cache/", key)).toHaveLength(1_024);
    expect(() => objectKey("cache1/", key)).toThrow("1,024 bytes");
    expect(() => objectKey("", 5 as never)).toThrow(/must be a string/);
    expect(() => objectKey("a/.", "./x")).toThrow("segment");
  });

  test("below .bucketcache/ are reserved", () => {
    expect(isReserved("cache/", "cache/.bucketcache/lease/x")).toBe(true);
    expect(isReserved("", ".bucketcache/x")).toBe(true);
    expect(isReserved("cache/", "cache/.bucketcache")).toBe(false);
    expect(isReserved("cache/", ".bucketcache/x")).toBe(false);
  });

  test("are percent-encoded segment by segment", () => {
    expect(percentEncodePath("a b/é!'()*~-_.+%2F\\")).toBe("a%20b/%C3%A9%21%27%28%29%2A~-_.%2B%252F%5C");
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (key) => {
        const path = percentEncodePath(key);
        expect(path).toMatch(/^(?:[A-Za-z0-9._~/-]|%[0-9A-F]{2})*$/);
        expect(path.split("/").map(decodeURIComponent).join("/")).toBe(key);
      }),
    );
  });
});

describe("published vectors", () => {
  interface Vector {
    title: string;
    name: string;
    args: unknown;
    canonical: string;
    key: string;
    keyHash: string;
  }
  const { vectors, numbers, refused } = JSON.parse(
    readFileSync(new URL("../schema/key-vectors.json", import.meta.url), "utf8"),
  ) as {
    vectors: Vector[];
    numbers: { ieee754: string; text: string }[];
    refused: { title: string; args: unknown[]; path: string }[];
  };

  test.each(vectors.map((vector) => [vector.title, vector] as const))("hold: %s", async (_, vector) => {
    const args = revive(structuredClone(vector.args)) as unknown[];
    expect(canonicalize(args)).toBe(vector.canonical);
    expect(cacheKey(vector.name, args)).toBe(vector.key);
    expect(vector.key.endsWith(`/${md5(vector.canonical)}`)).toBe(true);
    expect(await keyHash(vector.name, vector.canonical)).toBe(vector.keyHash);
  });

  test.each(numbers)("hold: the number $ieee754 is $text", ({ ieee754, text }) => {
    expect(canonicalize([Buffer.from(ieee754, "hex").readDoubleBE()])).toBe(`[${text}]`);
  });

  test.each(refused)("hold: $title is refused", ({ args, path }) => {
    expect(() => canonicalize(args)).toThrow(`${path} holds`);
  });
});
