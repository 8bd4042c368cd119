import fc from "fast-check";

/** Any text that has a UTF-8 form. The generator of fast-check for this takes seconds to set up. */
export const anyText = fc.string({
  unit: fc
    .oneof(fc.nat(0x2ff), fc.nat(0x10ffff))
    .filter((point) => point < 0xd800 || point > 0xdfff)
    .map((point) => String.fromCodePoint(point)),
  maxLength: 200,
});

/** Names of properties, among them those that break careless code. */
const propertyName = fc.oneof(
  { weight: 4, arbitrary: fc.string({ maxLength: 6 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("__proto__", "constructor", "toString", "length", "0", "10", "9", "$$Date", "$$$", "$$"),
  },
  { weight: 1, arbitrary: fc.string({ unit: "grapheme", maxLength: 4 }) },
);

function record<T>(item: fc.Arbitrary<T>): fc.Arbitrary<Record<string, T>> {
  return fc.uniqueArray(fc.tuple(propertyName, item), { selector: ([name]) => name, maxLength: 5 }).map((entries) => {
    const object: Record<string, T> = {};
    // Not by assignment, which would set a prototype for `__proto__`.
    for (const [name, value] of entries) {
      Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true });
    }
    return object;
  });
}

const scalar = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.string(),
  fc.string({ unit: "grapheme" }),
  fc.constantFrom("123", "true", '{"a":1}', "\u2028", '"', "\\", "\u0000"),
);

/** Values that JSON can express, `-0` included. */
export const plainJson: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof({ depthSize: "small" }, scalar, fc.array(tie("value"), { maxLength: 5 }), record(tie("value"))),
})).value;

const leaf = fc.oneof(
  scalar,
  fc.constantFrom(undefined, NaN, Infinity, -Infinity, -0),
  fc.bigInt(),
  fc.date({ noInvalidDate: false }),
  fc.webUrl().map((url) => new URL(url)),
  fc.constantFrom(/a/, /b"\/\n/giu, /(?:)/y, /[\]]/s),
  fc.uint8Array(),
  fc.int16Array(),
  fc.float64Array(),
  fc.bigUint64Array(),
  fc.uint8ClampedArray(),
  fc.uint8Array().map((bytes) => bytes.slice().buffer),
);

/** Data with everything that is tagged, at any place. */
export const anyData: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    leaf,
    fc.array(tie("value"), { maxLength: 4 }),
    record(tie("value")),
    fc.array(fc.tuple(tie("value"), tie("value")), { maxLength: 3 }).map((entries) => new Map(entries)),
    fc.array(tie("value"), { maxLength: 3 }).map((items) => new Set(items)),
  ),
})).value;
