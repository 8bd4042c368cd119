import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { md5 } from "../src/data/md5.js";

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

test("texts and bytes of any length, also views into larger buffers, have the digest that Node computes", () => {
  const expected = (data: string | Uint8Array) => createHash("md5").update(data).digest("hex");
  for (let length = 0; length < 260; length++) expect(md5("é".repeat(length))).toBe(expected("é".repeat(length)));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(7), (bytes, skip) => {
      const view = bytes.subarray(Math.min(skip, bytes.length));
      expect(md5(view)).toBe(expected(view));
    }),
  );
});
