import { readAll } from "../base/body.js";
import { utf8 } from "../base/bytes.js";
import { isBucketCacheError } from "../errors.js";
import type { Promised } from "./conformance.js";
import {
  check,
  chunked,
  content,
  equal,
  equalBytes,
  equalMetadata,
  fail,
  found,
  metadataFor,
  pattern,
  PLAIN,
  rejection,
  soon,
} from "./expect.js";

// All legal by the rules for keys; each is somewhere a separator, an escape, or the same as another when handled badly.
const ODD_KEYS = [
  "with space",
  "with+plus",
  "with%20percent",
  "with%2Fescaped slash",
  "a/b/c",
  "a/d",
  "Case",
  "case",
  "ünï/cödé",
  "u\u0308",
  "ü",
  "日本語/😀",
  "it's",
  'say "hi"',
  "<tag>&amp;",
  "a&b=c?d#e;f,g:h@i$j!k*l(m)n[o]{p}|q^r`s~t",
  "dots..in...it",
  ".hidden",
  "CON",
  "-",
  "0",
  "__proto__",
];

/** Registers the promises of `get` and `head`. */
export function reads(promise: Promised): void {
  objectsRead(promise);
  absentAndEmpty(promise);
  keysRead(promise);
  partsRead(promise);
  bodiesRead(promise);
}

function objectsRead(promise: Promised): void {
  promise("has a name", async (store) => {
    check(typeof store.name === "string" && store.name !== "", "store.name should be a text that is not empty");
  });

  promise("gives back bytes, size, content type and metadata as they were put", async (store, prefix) => {
    const key = `${prefix}object`;
    const metadata = {
      entry: 'v=1, codec=json, nonce=:YWJj:, x="y z"',
      expires_at: "1795310019.4",
      compressed: "true",
    };
    const { etag } = await store.put(key, utf8("hello"), {
      contentType: "application/vnd.test+json; charset=utf-8",
      cacheControl: "no-store, bucketcache=1",
      metadata: metadataFor(store, metadata),
    });
    check(typeof etag === "string" && etag !== "", "put should return an ETag");
    const object = await found(store, key);
    equalBytes(await readAll(object.body, 100), utf8("hello"), "the body");
    equal(object.size, 5, "size");
    equal(object.etag, etag, "the ETag read");
    equal(object.contentType, "application/vnd.test+json; charset=utf-8", "contentType");
    equalMetadata(store, object.metadata, metadata, "metadata");
    check(
      object.lastModified instanceof Date && object.lastModified.getTime() > 0,
      "lastModified should be a Date after 1970",
    );
    check(object.now === undefined || object.now.getTime() > 0, "now should be undefined or a Date");
  });

  promise("tells by head what get tells, without a body", async (store, prefix) => {
    const key = `${prefix}object`;
    await store.put(key, pattern(1_000), {
      contentType: "image/png",
      metadata: metadataFor(store, { one: "1", two: "zwei" }),
    });
    const { body, ...object } = await found(store, key);
    await body.cancel();
    const head = await store.head(key);
    if (head === undefined) fail("head of an object should not be undefined");
    for (const field of ["size", "etag", "lastModified", "contentType", "metadata"] as const) {
      equal(head[field], object[field], `${field} of head`);
    }
    check(!("body" in head), "head should have no body");
  });
}

function absentAndEmpty(promise: Promised): void {
  promise("finds nothing where nothing is: undefined, not an error", async (store, prefix) => {
    equal(await store.get(`${prefix}absent`), undefined, "get of an absent key");
    equal(await store.head(`${prefix}absent`), undefined, "head of an absent key");
    equal(
      await store.get(`${prefix}absent`, { range: { offset: 0, length: 1 }, ifNoneMatch: '"x"' }),
      undefined,
      "get of a part of an absent key",
    );
  });

  promise("keeps an empty object", async (store, prefix) => {
    await store.put(`${prefix}bytes`, new Uint8Array(0), PLAIN);
    await store.put(`${prefix}stream`, chunked(new Uint8Array(0), 1), PLAIN);
    await store.put(`${prefix}blob`, new Blob([]), PLAIN);
    for (const name of ["bytes", "stream", "blob"]) {
      const { size, body } = await found(store, prefix + name);
      equal(size, 0, `size of an empty object put as ${name}`);
      equal((await readAll(body, 100)).byteLength, 0, `the body of an empty object put as ${name}`);
    }
  });
}

function keysRead(promise: Promised): void {
  promise("keeps objects under odd keys apart", async (store, prefix) => {
    for (const key of ODD_KEYS) await store.put(prefix + key, utf8(key), PLAIN);
    for (const key of ODD_KEYS) {
      equal(new TextDecoder().decode(await content(store, prefix + key)), key, "the object under this key");
      check((await store.head(prefix + key)) !== undefined, `head should find ${JSON.stringify(key)}`);
    }
    const gone = ODD_KEYS.filter((_, i) => i % 2 === 0);
    for (const key of gone) await store.delete(prefix + key);
    for (const key of ODD_KEYS) {
      const head = await store.head(prefix + key);
      equal(head === undefined, gone.includes(key), `that ${JSON.stringify(key)} is deleted`);
    }
  });

  promise("takes a key of 1,024 bytes, in segments of up to 255", async (store, prefix) => {
    const long = prefix + `${"ä".repeat(120)}/`.repeat(4);
    const key = long + "x".repeat(1_024 - utf8(long).byteLength);
    await store.put(key, utf8("long"), PLAIN);
    equal(new TextDecoder().decode(await content(store, key)), "long", "the object under a long key");
    for await (const object of store.list(prefix)) equal(object.key, key, "the key listed");
  });

  promise(
    "keeps an object and others below its key",
    async (store, prefix) => {
      await store.put(`${prefix}a/b`, utf8("below"), PLAIN);
      await store.put(`${prefix}a`, utf8("above"), PLAIN);
      equal(new TextDecoder().decode(await content(store, `${prefix}a`)), "above", "the upper object");
      equal(new TextDecoder().decode(await content(store, `${prefix}a/b`)), "below", "the lower object");
      await store.delete(`${prefix}a`);
      check((await store.head(`${prefix}a/b`)) !== undefined, "deleting the upper object should leave the lower one");
      await store.put(`${prefix}a`, utf8("above"), PLAIN);
      await store.deleteMany?.([`${prefix}a`]);
      check(
        (await store.head(`${prefix}a/b`)) !== undefined,
        "deleteMany of the upper object should leave the lower one",
      );
    },
    "keys below keys",
  );

  promise(
    "keeps a backslash in a key apart from a slash",
    async (store, prefix) => {
      const keys = ["a\\b", "a/b", "c\\d"];
      for (const key of keys) await store.put(prefix + key, utf8(key), PLAIN);
      for (const key of keys) {
        equal(new TextDecoder().decode(await content(store, prefix + key)), key, `the object ${JSON.stringify(key)}`);
      }
      equal(
        await store.head(`${prefix}c/d`),
        undefined,
        "an object whose key has a slash where another has a backslash",
      );
      const listed: string[] = [];
      for await (const { key } of store.list(prefix)) listed.push(key.slice(prefix.length));
      equal(listed.sort(), [...keys].sort(), "the keys listed");
      await store.delete(`${prefix}a\\b`);
      check(
        (await store.head(`${prefix}a/b`)) !== undefined,
        "deleting a key with a backslash should leave the other one",
      );
    },
    "backslashes",
  );
}

function partsRead(promise: Promised): void {
  promise("reads a part: from the start, the middle, to the end", async (store, prefix) => {
    const key = `${prefix}object`;
    const whole = pattern(1_000);
    await store.put(key, whole, PLAIN);
    for (const range of [
      { offset: 0, length: 1 },
      { offset: 100, length: 50 },
      { offset: 999, length: 1 },
      { offset: 0 },
      { offset: 600 },
    ]) {
      const object = await found(store, key, { range });
      const end = range.length === undefined ? 1_000 : range.offset + range.length;
      const what = `the part ${JSON.stringify(range)}`;
      equalBytes(await readAll(object.body, 2_000), whole.subarray(range.offset, end), what);
      equal(object.size, 1_000, `size, of the whole object, with ${what}`);
    }
  });

  promise("clips a part at the end of the object, and refuses one that begins there", async (store, prefix) => {
    const key = `${prefix}object`;
    const whole = pattern(1_000);
    await store.put(key, whole, PLAIN);
    equalBytes(
      await content(store, key, { range: { offset: 900, length: 500 } }),
      whole.subarray(900),
      "a part past the end",
    );
    for (const offset of [1_000, 5_000]) {
      const what = `get from byte ${offset} of 1,000`;
      const error = await rejection(store.get(key, { range: { offset, length: 10 } }), what);
      check(isBucketCacheError(error), `${what} should reject with a BucketCacheError, not with ${String(error)}`);
    }
  });

  promise("answers not-modified for the ETag that is current, and only for that", async (store, prefix) => {
    const key = `${prefix}object`;
    const { etag } = await store.put(key, utf8("one"), PLAIN);
    equal(await store.get(key, { ifNoneMatch: etag }), "not-modified", "get with the current ETag");
    await store.put(key, utf8("two"), PLAIN);
    equal(new TextDecoder().decode(await content(store, key, { ifNoneMatch: etag })), "two", "get with an older ETag");
  });
}

function bodiesRead(promise: Promised): void {
  promise("yields plain Uint8Array, which are the reader's to change", async (store, prefix) => {
    const key = `${prefix}object`;
    await store.put(key, pattern(100_000), PLAIN);
    const reader = (await found(store, key)).body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      check(
        value instanceof Uint8Array && value.buffer instanceof ArrayBuffer,
        "chunks should be Uint8Array over ArrayBuffer",
      );
      value.fill(0);
    }
    equalBytes(await content(store, key), pattern(100_000), "the object after a reader changed its chunks");
  });

  promise("gives metadata that is the reader's to change", async (store, prefix) => {
    const key = `${prefix}object`;
    const metadata = { a: "1" };
    await store.put(key, utf8("x"), { contentType: "text/plain", metadata: metadataFor(store, metadata) });
    const head = await store.head(key);
    if (head !== undefined) Object.assign(head.metadata, { a: "2", b: "3" });
    equalMetadata(store, (await store.head(key))?.metadata, metadata, "metadata after a reader changed its copy");
  });

  promise("serves concurrent reads of one object on their own", async (store, prefix) => {
    const key = `${prefix}object`;
    const whole = pattern(300_000);
    await store.put(key, whole, PLAIN);
    const objects = await Promise.all(Array.from({ length: 8 }, () => found(store, key)));
    const bodies = await Promise.all(objects.map((object) => readAll(object.body, 1e6)));
    for (const body of bodies) equalBytes(body, whole, "a body read beside others");
  });

  promise("frees what an unread or half-read body holds when it is cancelled", async (store, prefix) => {
    const key = `${prefix}object`;
    await store.put(key, pattern(400_000), PLAIN);
    // More than any usual pool of connections.
    for (let i = 0; i < 120; i++) {
      const { body } = await soon(found(store, key), `get number ${i + 1}, each body before it cancelled`);
      if (i % 2 === 0) await soon(body.cancel(), "cancelling an unread body");
      else {
        const reader = body.getReader();
        await reader.read();
        await soon(reader.cancel(), "cancelling a half-read body");
      }
    }
    equalBytes(await content(store, key), pattern(400_000), "the object after cancelled reads");
  });
}
