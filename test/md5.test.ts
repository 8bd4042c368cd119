import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { md5 } from "../src/data/digest.js";

test.each([
  ["", "d41d8cd98f00b204e9800998ecf8427e"],
  ["a", "0cc175b9c0f1b6a831c399e269772661"],
  ["abc", "900150983cd24fb0d6963f7d28e17f72"],
  ["message digest", "f96b697d7cb7938d525a2f31aaf161d0"],
  ["abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"],
  ["ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "d174ab98d277d9f5a5611c2c9f419d9f"],
  [
    "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
    "57edf4a22be3c955ac49da2e2107b67a",
  ],
])("the MD5 of %j is that of RFC 1321", (text, digest) => {
  expect(md5(text)).toBe(digest);
});

const expected = (data: string | Uint8Array) => createHash("md5").update(data).digest("hex");

test("texts of any length, whatever UTF-8 makes of them, have the digest that Node computes", () => {
  for (const unit of ["a", "é", "€", "😀"]) {
    for (let length = 0; length < 140; length++) {
      expect(md5(unit.repeat(length))).toBe(expected(unit.repeat(length)));
      expect(md5(`a${unit.repeat(length)}`)).toBe(expected(`a${unit.repeat(length)}`));
    }
  }
  fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 300 }), (text) => md5(text) === expected(text)));
});

test("a lone surrogate counts as U+FFFD, as UTF-8 encoders write it", () => {
  for (const text of ["\ud800", "a\udc00b", "\udc00\ud800", `${"x".repeat(70)}\udbff`]) {
    expect(md5(text)).toBe(expected(text));
    expect(md5(text)).toBe(md5(text.replace(/\p{Surrogate}/gu, "\ufffd")));
  }
  fc.assert(fc.property(fc.string({ unit: fc.integer({ min: 0xd780, max: 0xe080 }).map((code) => String.fromCharCode(code)) }), (text) => md5(text) === expected(text))); // prettier-ignore
});

test("bytes, also views into larger buffers and shared memory, have the digest that Node computes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(7), (bytes, skip) => {
      const view = bytes.subarray(Math.min(skip, bytes.length));
      expect(md5(view)).toBe(expected(view));
      expect(md5(Buffer.from(view))).toBe(expected(view));
      const shared = new Uint8Array(new SharedArrayBuffer(view.byteLength));
      shared.set(view);
      expect(md5(shared)).toBe(expected(view));
    }),
  );
});

test("bytes stay as they were", () => {
  const bytes = Uint8Array.from({ length: 200 }, (_, i) => i);
  md5(bytes);
  expect([...bytes]).toEqual(Array.from({ length: 200 }, (_, i) => i));
});
