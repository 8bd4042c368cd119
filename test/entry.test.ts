import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  cacheControl,
  formatMetadata,
  hasMarker,
  newNonce,
  parseMetadata,
  type EntryMetadata,
} from "../src/entry/entry.js";
import { anyText } from "./support/data.js";

const nonce = "AAECAwQFBgcICQoLDA0ODw==";
const plain: EntryMetadata = { created: 1795310019.461, codec: "json", nonce, expiresAt: undefined, compressed: false };
const valid = `v=1, created=1795310019.461, codec=json, nonce=:${nonce}:`;

describe("our metadata", () => {
  test("is one RFC 9651 dictionary beside the two names that the Python cache reads", () => {
    expect(formatMetadata(plain)).toEqual({ entry: valid });
    const full: EntryMetadata = {
      ...plain,
      created: 1795310019,
      codec: "msgpack",
      key: "a2V5",
      stale: 60,
      sig: "c2ln",
      expiresAt: 1795310079.4609,
      compressed: true,
    };
    expect(formatMetadata(full)).toEqual({
      entry: `v=1, created=1795310019.0, codec=msgpack, nonce=:${nonce}:, stale=60.0, key=:a2V5:, sig=:c2ln:`,
      expires_at: "1795310079.461",
      compressed: "true",
    });
  });

  const base64 = fc.uint8Array({ minLength: 1, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString("base64"));
  const millis = fc.integer({ min: 0, max: 4e12 }).map((ms) => ms / 1_000);
  const metadata = fc
    .record(
      {
        created: millis,
        codec: fc.stringMatching(/^[a-z*][\w!#$%&'*+.^`|~:/-]{0,63}$/),
        nonce: base64,
        compressed: fc.boolean(),
        expiresAt: fc.option(millis, { nil: undefined }),
        key: base64,
        stale: fc.integer({ min: 0, max: 1e9 }),
        sig: base64,
      },
      { requiredKeys: ["created", "codec", "nonce", "compressed", "expiresAt"] },
    )
    .map((fields) => fields as EntryMetadata);

  test("comes back as it was written, to the millisecond", () => {
    fc.assert(
      fc.property(metadata, (meta) => {
        expect(parseMetadata(formatMetadata(meta))).toEqual({ kind: "entry", meta });
      }),
    );
  });

  test("stays below 512 bytes, names included", () => {
    fc.assert(
      fc.property(metadata, (meta) => {
        const size = Object.entries(formatMetadata(meta)).reduce(
          (sum, [name, text]) => sum + name.length + text.length,
          0,
        );
        expect(size).toBeLessThan(512);
      }),
    );
  });

  test("says nothing of an end that no Date can hold: that is never", () => {
    for (const expiresAt of [Infinity, 1e21, 8.65e12]) {
      expect(formatMetadata({ ...plain, expiresAt })).not.toHaveProperty("expires_at");
    }
    expect(formatMetadata({ ...plain, expiresAt: 8.64e12 })["expires_at"]).toBe("8640000000000");
  });
});

describe("metadata that is read", () => {
  test.each<[string, string, Partial<EntryMetadata>]>([
    ["members in another order", `nonce=:${nonce}:,codec=json,created=1795310019.461,v=1`, {}],
    [
      "white space around commas and at the ends",
      `  v=1\t, created=1795310019.461 ,codec=json,\t nonce=:${nonce}: `,
      {},
    ],
    ["an integer as time", valid.replace(".461", ""), { created: 1795310019 }],
    ["members of a later version", `${valid}, zeta=tok/en:x, a.b-c_d*=:AA==:, *n=-1.5, empty=::`, {}],
    ["the last of equal names, as the RFC says", `codec=text, ${valid}`, {}],
  ])("takes %s", (_, entry, change) => {
    expect(parseMetadata({ entry })).toEqual({ kind: "entry", meta: { ...plain, ...change } });
  });

  test.each<[string, string]>([
    ["another version", valid.replace("v=1", "v=2")],
    ["no version", valid.replace("v=1, ", "")],
    ["a version that is no number", valid.replace("v=1", "v=one")],
    ["no time of creation", valid.replace(/created=[\d.]+, /, "")],
    ["a time that is a token", valid.replace(/created=[\d.]+/, "created=now")],
    ["no codec", valid.replace("codec=json, ", "")],
    ["a codec that is a number", valid.replace("json", "5")],
    ["no nonce", valid.replace(/, nonce.*/, "")],
    ["a nonce that is a token", valid.replace(/:.*:/, "abc")],
    ["bad base64", valid.replace("==", "=")],
    ["base64 without padding", valid.replace("==", "")],
    ["a key that is no byte sequence", `${valid}, key=abc`],
    ["a stale that is no number", `${valid}, stale=abc`],
    ["a string", `${valid}, x="abc"`],
    ["a boolean", `${valid}, x=?1`],
    ["a name without a value", `${valid}, x`],
    ["an inner list", `${valid}, x=(1 2)`],
    ["a parameter", `${valid};x=1`],
    ["a name in upper case", `${valid}, X=1`],
    ["a trailing comma", `${valid}, `],
    ["a trailing comma and tab", `${valid},\t`],
    ["no comma", valid.replace(",", "")],
    ["an empty member", valid.replace(",", ",,")],
    ["four digits after the point", valid.replace(".461", ".4611")],
    ["no digits after the point", valid.replace(".461", ".")],
    ["a number with an exponent", valid.replace("1795310019.461", "1e9")],
    ["sixteen digits", valid.replace("1795310019.461", "1795310019461000")],
    ["a number that is not a number", valid.replace("1795310019.461", "NaN")],
    ["nothing", ""],
    ["more than 2 KB", `${valid}${", a=1".repeat(500)}`],
    ["control characters", `${valid}\r\nx=1`],
  ])("is damaged by %s", (_, entry) => {
    const parsed = parseMetadata({ entry });
    expect(parsed.kind).toBe("damaged");
    expect(parsed).toHaveProperty("reason", expect.stringContaining("entry"));
  });

  test.each([
    "",
    "soon",
    "NaN",
    "inf",
    "Infinity",
    "1e10",
    "0x10",
    "1.",
    ".5",
    "1_000",
    " 1",
    "1,5",
    "9".repeat(16),
    `1.${"0".repeat(21)}`,
  ])("is damaged by the end %j, which is never taken for never", (end) => {
    expect(parseMetadata({ entry: valid, expires_at: end }).kind).toBe("damaged");
    expect(parseMetadata({ expires_at: end }).kind).toBe("damaged");
  });

  test("of other programs is foreign, with its end and its compression", () => {
    expect(parseMetadata({})).toEqual({ kind: "foreign", expiresAt: undefined, compressed: false });
    expect(parseMetadata({ expires_at: "1795310019.460951", compressed: "true", owner: "etl" })).toEqual({
      kind: "foreign",
      expiresAt: 1795310019.460951,
      compressed: true,
    });
  });

  test("never throws, whatever is in it", () => {
    fc.assert(
      fc.property(anyText, fc.string(), (entry, end) => {
        expect(["entry", "damaged"]).toContain(parseMetadata({ entry }).kind);
        expect(parseMetadata({ entry: `${valid}, ${entry}`, expires_at: end }).kind).toBeTypeOf("string");
      }),
    );
  });
});

test("a nonce is 128 bits, and another one each time", () => {
  const nonces = new Set(Array.from({ length: 100 }, newNonce));
  expect(nonces.size).toBe(100);
  for (const text of nonces) expect(Buffer.from(text, "base64")).toHaveLength(16);
});

describe("Cache-Control", () => {
  test("is no-store with our marker, once, whatever else the caller wants", () => {
    expect(cacheControl()).toBe("no-store, bucketcache=1");
    expect(cacheControl("public, max-age=60")).toBe("public, max-age=60, bucketcache=1");
    expect(cacheControl("no-store, bucketcache=1")).toBe("no-store, bucketcache=1");
    expect(cacheControl("BucketCache=2 ,max-age=1")).toBe("max-age=1, bucketcache=1");
    expect(cacheControl("")).toBe("bucketcache=1");
    expect(() => cacheControl("a\r\nx-amz-acl: public-read")).toThrow(TypeError);
    expect(() => cacheControl("é")).toThrow(TypeError);
  });

  test("tells our entries from others", () => {
    for (const ours of [cacheControl(), cacheControl("max-age=1"), "bucketcache=1", "a,BUCKETCACHE=1 ,b"]) {
      expect(hasMarker(ours)).toBe(true);
    }
    for (const other of [
      null,
      undefined,
      "",
      "no-store",
      "bucketcache=10",
      "xbucketcache=1",
      "bucketcache",
      "bucketcache=1x",
    ]) {
      expect(hasMarker(other)).toBe(false);
    }
  });
});
